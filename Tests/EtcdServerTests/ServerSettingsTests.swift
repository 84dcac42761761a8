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

    /// With the feature it is the first advertised address that is neither a name nor loopback.
    @Test func theAddressThatConnectionsComeFrom() throws {
        let urls = "--initial-advertise-peer-urls=http://a:1,http://127.0.0.1:2,http://192.0.2.7:3,http://192.0.2.8:4"
        #expect(try peers(urls).localAddress == nil)
        for flag in ["--feature-gates=SetMemberLocalAddr=true", "--experimental-set-member-localaddr"] {
            #expect(try peers(urls, flag).localAddress == "192.0.2.7")
            #expect(try peers(flag).localAddress == nil)
        }
    }
}
