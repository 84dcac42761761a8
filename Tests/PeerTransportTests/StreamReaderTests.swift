import Disk
import Logging
import NIOCore
import NIOPosix
import Testing
import WriteAheadLog

@testable import PeerTransport

@Suite struct StreamReaderTests {
    /// A connection over TLS is closed by both sides, and may bring something until the other one has agreed.
    @Test("What comes on a connection whose peer was dropped reaches for no peer")
    func readerOutlivesItsPeer() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let core = TransportCore(
            loop: loop,
            settings: PeerTransport.Settings(
                memberID: 1, clusterID: Node.cluster, serverVersion: "3.7.0", advertisedPeerURLs: [],
                electionMilliseconds: 1000,
                snapshots: SnapshotDirectory(disk: MemoryDisk(), path: "/"), logger: Logger(label: "reader")),
            events: PeerEvents(
                received: { $0.taken() }, unreachable: { _ in }, snapshotReported: { _, _ in }, removed: {},
                request: { _ in }))
        try await loop.submit {
            weak var gone: Peer?
            let reader: StreamReader
            do {
                let peer = Peer(2, urls: [], core: core)
                gone = peer
                reader = StreamReader(.appends, from: peer)
                reader.stop()
                peer.stop()
            }
            #expect(gone == nil)
            reader.receiveFailed()
            reader.read(1)
        }.get()
        try await loop.flatSubmit { core.stop() }.get()
    }
}
