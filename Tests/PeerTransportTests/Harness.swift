import Disk
import Glibc
import Logging
import Metrics
import NIOCore
import NIOPosix
import PeerTransport
import RaftMessages
import Synchronization
import Testing
import WriteAheadLog

/// What a transport told its owner, for a test to wait for.
final class Log: Sendable {
    struct Contents {
        var received: [Message] = []
        /// What was not said to be taken.
        var untaken: [ReceivedMessages] = []
        var batches = 0
        var unreachable: [UInt64] = []
        var snapshots: [(to: UInt64, succeeded: Bool)] = []
        var removals = 0
        var requests: [PeerRequest] = []
    }

    struct Timeout: Error, CustomStringConvertible { let description: String }

    private let contents = Mutex(Contents())

    func change(_ body: (inout sending Contents) -> Void) { contents.withLock { body(&$0) } }
    var now: Contents { contents.withLock { $0 } }

    /// Waits until `condition` holds, for a time that only a failure uses up.
    @discardableResult
    func wait(_ what: String, seconds: Int = 60, until condition: (Contents) -> Bool) async throws -> Contents {
        let end = NIODeadline.now() + .seconds(Int64(seconds))
        while true {
            let now = now
            if condition(now) { return now }
            if NIODeadline.now() > end { throw Timeout(description: "waited in vain until \(what)") }
            try await Task.sleep(nanoseconds: 2_000_000)
        }
    }
}

/// A transport on loopback, with a directory of its own.
final class Node: Sendable {
    static let cluster: UInt64 = 0xc1

    let id: UInt64
    let port: Int
    let directory: String
    let log = Log()
    let metrics = MemberMetrics()
    let transport: PeerTransport
    let group: MultiThreadedEventLoopGroup

    /// The transport, for what the transport itself calls.
    private final class Holder: Sendable {
        let transport = Mutex<PeerTransport?>(nil)
    }

    var url: String { "http://127.0.0.1:\(port)" }

    init(
        _ id: UInt64, port: Int? = nil, cluster: UInt64 = Node.cluster, version: String = "3.7.0",
        answer: @escaping @Sendable (PeerCall) -> Void = { $0.respond(PeerResponse(status: 404, text: "no\n")) },
        takes: Bool = true, backlogBytes: Int? = nil, connectionLimit: Int? = nil, readTimeout: Int64? = nil,
        writeTimeout: Int64? = nil, localAddress: String? = nil,
        reply: @escaping @Sendable ([Message]) -> [Message] = { _ in [] }
    ) async throws {
        self.id = id
        let (socket, boundPort) = try Self.listen(port ?? 0)
        self.port = boundPort
        directory = "/tmp/peer-transport-\(getpid())-\(boundPort)-\(UInt64.random(in: 0 ... .max))"
        try POSIXDisk().createDirectory(directory)
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var logger = Logger(label: "peer-\(id)")
        logger.logLevel = getenv("PEER_LOG") == nil ? .critical : .debug
        let log = log
        let holder = Holder()
        var settings = PeerTransport.Settings(
            memberID: id, clusterID: cluster, serverVersion: version,
            advertisedPeerURLs: ["http://127.0.0.1:\(boundPort)"], electionMilliseconds: 1000,
            snapshots: SnapshotDirectory(disk: POSIXDisk(), path: directory), logger: logger, metrics: metrics)
        if let connectionLimit { settings.connectionLimit = connectionLimit }
        if let backlogBytes { settings.backlogBytes = backlogBytes }
        settings.localAddress = localAddress
        if let readTimeout { settings.readTimeout = readTimeout }
        if let writeTimeout { settings.writeTimeout = writeTimeout }
        transport = PeerTransport(
            group: group, settings: settings,
            events: PeerEvents(
                received: { received in
                    log.change {
                        $0.received += received.messages
                        $0.batches += 1
                        if !takes { $0.untaken.append(received) }
                    }
                    if takes { received.taken() }
                    let replies = reply(received.messages)
                    holder.transport.withLock { $0 }?.send(replies)
                }, unreachable: { id in log.change { $0.unreachable.append(id) } },
                snapshotReported: { id, succeeded in log.change { $0.snapshots.append((id, succeeded)) } },
                removed: { log.change { $0.removals += 1 } },
                request: { call in
                    log.change { $0.requests.append(call.request) }
                    answer(call)
                }))
        holder.transport.withLock { [transport] in $0 = transport }
        try await transport.accept(from: socket)
    }

    /// Listens on loopback; port 0 is a free one.
    static func listen(_ port: Int) throws -> (CInt, Int) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 && Glibc.listen(descriptor, 64) == 0
                    && getsockname(descriptor, address, &length) == 0
            }
        }
        guard bound else { throw Log.Timeout(description: "cannot listen on port \(port): errno \(errno)") }
        return (descriptor, Int(in_port_t(bigEndian: address.sin_port)))
    }

    func stop() async throws {
        await transport.stop()
        try await group.shutdownGracefully()
        try POSIXDisk().remove(directory)
    }

    /// Waits until the streams from and to `other` are open, as far as this end can tell.
    func connected(to other: Node) async throws {
        let end = NIODeadline.now() + .seconds(60)
        while transport.statuses[other.id].map({ $0.streamsIn < 2 || $0.streamsOut < 2 }) ?? true {
            if NIODeadline.now() > end { throw Log.Timeout(description: "\(id) and \(other.id) do not connect") }
            try await Task.sleep(nanoseconds: 2_000_000)
        }
    }
}

/// Two transports that know each other.
func pair(_ second: Node? = nil) async throws -> (Node, Node) {
    let one = try await Node(1)
    let two: Node
    if let second { two = second } else { two = try await Node(2) }
    one.transport.setPeer(2, urls: [two.url])
    two.transport.setPeer(1, urls: [one.url])
    try await one.connected(to: two)
    try await two.connected(to: one)
    return (one, two)
}

/// An append of one entry with `bytes` of data, which goes on behind `index`.
func peerAppend(_ from: UInt64, _ to: UInt64, behind index: UInt64, bytes: Int) -> Message {
    Message(
        type: .append, to: to, from: from, term: 5, logTerm: 5, index: index,
        entries: [Entry(term: 5, index: index + 1, data: Array(repeating: 1, count: bytes))])
}

func peerHeartbeat(_ from: UInt64, _ to: UInt64, commit: UInt64 = 0) -> Message {
    Message(type: .heartbeat, to: to, from: from, term: 5, commit: commit)
}

/// Waits until what `node` knows of the peer `id` satisfies `condition`.
@discardableResult
func waitForStatus(
    _ node: Node, of id: UInt64, _ what: String, _ condition: (PeerStatus) -> Bool
) async throws -> PeerStatus {
    let end = NIODeadline.now() + .seconds(60)
    while true {
        if let status = node.transport.statuses[id], condition(status) { return status }
        if NIODeadline.now() > end { throw Log.Timeout(description: "waited in vain until \(what)") }
        try await Task.sleep(nanoseconds: 2_000_000)
    }
}
