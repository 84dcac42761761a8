import Testing

@testable import Configuration

/// A member that listens at all addresses names one by which others find it, unless it was told which.
@Suite struct DefaultAdvertisingTests {
    private func parse(_ arguments: String...) throws -> MemberConfiguration {
        guard case .run(let configuration) = try MemberConfiguration.parse(arguments: arguments, environment: [:])
        else { throw InvalidConfiguration("no run") }
        return configuration
    }

    @Test func localhostGivesWayWhereTheMemberListensEverywhere() throws {
        var configuration = try parse(
            "--name=a", "--listen-peer-urls=http://0.0.0.0:1", "--listen-client-urls=http://0.0.0.0:2",
            "--advertise-client-urls=http://localhost:2379")
        #expect(configuration.wantsDefaultHost)
        configuration.advertise(defaultHost: "10.0.0.1")
        #expect(configuration.initialAdvertisePeerURLs == ["http://10.0.0.1:1"])
        #expect(configuration.advertiseClientURLs == ["http://10.0.0.1:2"])
        #expect(configuration.initialClusterText == "a=http://10.0.0.1:1")
        #expect(!configuration.wantsDefaultHost)
    }

    @Test func whatWasSaidStands() throws {
        for arguments in [
            ["--listen-peer-urls=http://127.0.0.1:1"],
            ["--listen-peer-urls=http://0.0.0.0:1", "--initial-advertise-peer-urls=http://10.0.0.2:1"],
            ["--listen-client-urls=http://0.0.0.0:2", "--advertise-client-urls=http://localhost:2"],
        ] {
            guard case .run(let configuration) = try MemberConfiguration.parse(arguments: arguments, environment: [:])
            else { throw InvalidConfiguration("no run") }
            #expect(!configuration.wantsDefaultHost, "\(arguments)")
        }
        var configuration = try parse(
            "--listen-peer-urls=http://0.0.0.0:1", "--initial-cluster=default=http://10.0.0.1:1,b=http://10.0.0.2:1")
        configuration.advertise(defaultHost: "10.0.0.1")
        #expect(configuration.initialClusterText == "default=http://10.0.0.1:1,b=http://10.0.0.2:1")
        #expect(configuration.advertiseClientURLs == ["http://localhost:2379"])
    }
}
