import Configuration
import Disk
import Logging
import PeerTransport
import Testing
import WriteAheadLog

@testable import EtcdServer

/// What flags say of connections, as those that make them are told.
@Suite struct ServerSettingsTests {
    private func peers(_ arguments: String...) throws -> PeerTransport.Settings {
        guard case .run(let configuration) = try MemberConfiguration.parse(arguments: arguments, environment: [:])
        else { throw InvalidConfiguration("no run") }
        return PeerTransport.Settings(
            memberID: 1, clusterID: 2, serverVersion: "3.7.0", advertisedPeerURLs: [], electionMilliseconds: 1000,
            snapshots: SnapshotDirectory(disk: MemoryDisk(), path: "snap"), logger: Logger(label: "test")
        ).following(configuration)
    }

    @Test func timeoutsOfStreamsBetweenMembers() throws {
        let usual = try peers()
        #expect([usual.readTimeout, usual.writeTimeout] == [5000, 5000])
        let longer = try peers("--raft-read-timeout=7s", "--raft-write-timeout=1m")
        #expect([longer.readTimeout, longer.writeTimeout] == [7000, 60_000])
        // etcd raises what is below its default.
        let shorter = try peers("--raft-read-timeout=1s", "--raft-write-timeout=1ms")
        #expect([shorter.readTimeout, shorter.writeTimeout] == [5000, 5000])
    }
}
