import Configuration
import Testing

@Suite struct ConfigurationTests {
    private func configuration(
        _ arguments: [String], environment: [String: String] = [:]
    ) throws -> MemberConfiguration {
        guard
            case .run(let configuration) = try MemberConfiguration.parse(arguments: arguments, environment: environment)
        else {
            throw InvalidConfiguration("not a run")
        }
        return configuration
    }

    @Test func defaultsAreThoseOfEtcd() throws {
        let configuration = try configuration([])
        #expect(configuration.name == "default")
        #expect(configuration.dataDirectory == "default.etcd")
        #expect(configuration.listenClientURLs.map(\.text) == ["http://localhost:2379"])
        #expect(try configuration.initialCluster().peerURLs.map(\.urls) == [["http://localhost:2380"]])
        #expect(configuration.snapshotCount == 10_000)
        #expect(configuration.quotaBackendBytes == 2 << 30)
        #expect(configuration.maxRequestBytes == 1_572_864)
        #expect(configuration.autoCompaction == .off)
        #expect(configuration.backendBatchMilliseconds == 100)
        #expect(configuration.strictReconfigurationCheck)
        #expect(configuration.maximumLearners == 1)
    }

    /// The number of learners has another name since 3.6.
    @Test func membershipFlags() throws {
        #expect(try !configuration(["--strict-reconfig-check=false"]).strictReconfigurationCheck)
        #expect(try configuration(["--max-learners=3"]).maximumLearners == 3)
        #expect(try configuration(["--experimental-max-learners=2"]).maximumLearners == 2)
    }

    @Test func flagsTakeEveryFormOfGo() throws {
        for form in [["--name=flag"], ["--name", "flag"], ["-name", "flag"], ["-name=flag"]] {
            let configuration = try configuration(form, environment: ["ETCD_SNAPSHOT_COUNT": "7"])
            #expect(configuration.name == "flag")
            #expect(configuration.snapshotCount == 7)
        }
    }

    @Test func aFlagMayNotStandInTheEnvironmentToo() {
        #expect {
            try configuration(["--name=flag"], environment: ["ETCD_NAME": "environment"])
        } throws: { error in
            "\(error)".hasPrefix("conflicting environment variable \"ETCD_NAME\" is shadowed")
        }
    }

    @Test(
        arguments: [
            (["--nonsense"], "error verifying flags, flag provided but not defined: -nonsense. See 'etcd --help'."),
            (["--name"], "error verifying flags, flag needs an argument: -name. See 'etcd --help'."),
            (["stray"], "'stray' is not a valid flag"),
            (
                ["--snapshot-count=x"],
                "invalid value \"x\" for flag --snapshot-count: it is not a number in range. See 'etcd --help'."
            ),
            (
                ["--listen-client-urls=127.0.0.1:2379"],
                "invalid value \"127.0.0.1:2379\" for flag --listen-client-urls: "
                    + "URL \"127.0.0.1:2379\" has no scheme (http, https, unix or unixs)"
            ),
            (
                ["--listen-client-urls=http://example.com:2379"],
                "expected IP in URL for binding (http://example.com:2379) in --listen-client-urls"
            ),
            (
                ["--listen-client-urls=http://127.0.0.1:2379"],
                "--advertise-client-urls is required when --listen-client-urls is set explicitly"
            ),
            (
                ["--election-timeout=400"],
                "--election-timeout[400ms] should be at least as 5 times as --heartbeat-interval[100ms]"
            ),
            (
                ["--election-timeout=60000"],
                "--election-timeout[60000ms] is too long, and should be set less than 50000ms"
            ),
        ] as [([String], String)])
    func mistakesAreNamed(arguments: [String], expected: String) {
        do {
            _ = try MemberConfiguration.parse(arguments: arguments, environment: [:])
            Issue.record("accepted \(arguments)")
        } catch {
            #expect(error.description == expected)
        }
    }

    /// The words are those of etcd 3.4.23.
    @Test(
        arguments: [
            ("--initial-cluster=default=http://localhost:2380", nil),
            (
                "--initial-cluster=other=http://localhost:2380",
                "couldn't find local name \"default\" in the initial cluster configuration"
            ),
            (
                "--initial-cluster=default=http://localhost:9999",
                "--initial-cluster has default=http://localhost:9999 but missing from "
                    + "--initial-advertise-peer-urls=http://localhost:2380 "
                    + "(resolved urls: \"http://localhost:2380\" != \"http://localhost:9999\")"
            ),
            (
                "--initial-cluster=default=http://localhost:2380,default=http://localhost:9999",
                "--initial-cluster has default=http://localhost:9999 but missing from "
                    + "--initial-advertise-peer-urls=http://localhost:2380 "
                    + "(len([\"http://localhost:2380\"]) != len([\"http://localhost:2380\" \"http://localhost:9999\"]))"
            ),
            (
                "--initial-cluster=default=http://127.0.0.1:2380",
                "--initial-cluster has default=http://127.0.0.1:2380 but missing from "
                    + "--initial-advertise-peer-urls=http://localhost:2380 "
                    + "(resolved urls: \"http://localhost:2380\" != \"http://127.0.0.1:2380\")"
            ),
            (
                "--initial-cluster=nonsense",
                "invalid value \"nonsense\" for flag --initial-cluster: "
                    + "\"nonsense\" in the initial cluster is not name=URL"
            ),
        ] as [(String, String?)])
    func theMemberMustBeInItsInitialCluster(argument: String, expected: String?) throws {
        let configuration = try configuration([argument])
        do {
            try configuration.checkInitialCluster()
            #expect(expected == nil)
        } catch {
            #expect(error.description == expected)
        }
    }

    @Test(
        arguments: [
            ("periodic", "1", .periodic(milliseconds: 3_600_000)),
            ("periodic", "90s", .periodic(milliseconds: 90_000)),
            ("periodic", "0", .off),
            ("revision", "1000", .revision(count: 1000)),
        ] as [(String, String, MemberConfiguration.AutoCompaction)])
    func autoCompaction(mode: String, retention: String, expected: MemberConfiguration.AutoCompaction) throws {
        let arguments = ["--auto-compaction-mode=\(mode)", "--auto-compaction-retention=\(retention)"]
        #expect(try configuration(arguments).autoCompaction == expected)
    }

    @Test(
        arguments: [
            ("100ms", 100_000_000), ("1h30m", 5_400_000_000_000), ("1.5s", 1_500_000_000), ("0", 0), ("5", nil),
            ("", nil), ("x", nil),
        ] as [(String, Int64?)])
    func durations(text: String, expected: Int64?) {
        #expect(GoDuration.nanoseconds(text) == expected)
    }
}
