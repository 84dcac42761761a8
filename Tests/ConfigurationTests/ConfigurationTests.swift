import Testing

@testable import Configuration

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

    /// A command line that Go's flag package cannot read ends with exit code 2, any other mistake with 1.
    @Test(
        arguments: [
            (["--nonsense"], "flag provided but not defined: -nonsense", 2),
            (["--name"], "flag needs an argument: -name", 2),
            (["---x"], "bad flag syntax: ---x", 2),
            (["--=x"], "bad flag syntax: --=x", 2),
            (["stray"], "'stray' is not a valid flag", 1),
            (["-"], "'-' is not a valid flag", 1),
            (["--", "--name"], "'--name' is not a valid flag", 1),
            (["--snapshot-count=x"], "invalid value \"x\" for flag -snapshot-count: parse error", 2),
            (["--heartbeat-interval=-1"], "invalid value \"-1\" for flag -heartbeat-interval: parse error", 2),
            (
                ["--max-concurrent-streams=4294967296"],
                "invalid value \"4294967296\" for flag -max-concurrent-streams: "
                    + "strconv.ParseUint: parsing \"4294967296\": value out of range", 2
            ),
            (["--enable-v2=maybe"], "invalid boolean value \"maybe\" for -enable-v2: parse error", 2),
            (["--grpc-keepalive-timeout=5"], "invalid value \"5\" for flag -grpc-keepalive-timeout: parse error", 2),
            (
                ["--initial-cluster-state=old"], "invalid value \"old\" for flag -initial-cluster-state: invalid value",
                2
            ),
            (
                ["--listen-client-urls=gopher://127.0.0.1:1"],
                "invalid value \"gopher://127.0.0.1:1\" for flag -listen-client-urls: "
                    + "URL scheme must be http, https, unix, or unixs: gopher://127.0.0.1:1", 2
            ),
            (
                ["--listen-peer-urls=http://example.com:2379"],
                "expected IP in URL for binding (http://example.com:2379)", 1
            ),
            (
                ["--listen-client-urls=http://127.0.0.1:2379"],
                "--advertise-client-urls is required when --listen-client-urls is set explicitly", 1
            ),
            (
                ["--election-timeout=400"],
                "--election-timeout[400ms] should be at least as 5 times as --heartbeat-interval[100ms]", 1
            ),
            (
                ["--election-timeout=60000"],
                "--election-timeout[60000ms] is too long, and should be set less than 50000ms", 1
            ),
            (["--auto-compaction-mode=x"], "unknown auto-compaction-mode \"x\"", 1),
            (["--log-level=loud"], "unrecognized level: \"loud\"", 1),
            (
                ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
                "min version (TLS1.3) is greater than max version (TLS1.2)", 1
            ),
            (["--discovery-token=t"], "both --discovery-token and --discovery-endpoints must be set", 1),
            (
                ["--discovery-fallback=proxy"],
                "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"", 1
            ),
            (
                ["--max-learners=2", "--experimental-max-learners=3"],
                "cannot set --experimental-max-learners and --max-learners at the same time, "
                    + "please use --max-learners only", 1
            ),
        ] as [([String], String, Int32)])
    func mistakesAreNamed(arguments: [String], expected: String, exitCode: Int32) {
        do {
            _ = try MemberConfiguration.parse(arguments: arguments, environment: [:])
            Issue.record("accepted \(arguments)")
        } catch {
            #expect(error.description == expected)
            #expect(error.exitCode == exitCode)
        }
    }

    /// Nobody mends a command line in ten rounds: each mistake is said, whatever the others are.
    @Test func allMistakesAreNamedAtOnce() {
        let arguments = [
            "--nonsense", "7", "--snapshot-count=many", "stray", "--election-timeout=100", "--proxy=on",
            "--feature-gates=CompactHashCheck,Nonsense=true", "--enable-log-rotation",
        ]
        do {
            _ = try configuration(arguments)
            Issue.record("accepted")
        } catch let error as InvalidConfiguration {
            #expect(
                error.mistakes.map(\.text) == [
                    "flag provided but not defined: -nonsense",
                    "'stray' is not a valid flag",
                    "invalid value \"many\" for flag -snapshot-count: parse error",
                    "--proxy=on: the v2 proxy is not served (removed in v3.6); run etcd without it",
                    "invalid value \"CompactHashCheck,Nonsense=true\" for flag -feature-gates: "
                        + "missing bool value for CompactHashCheck",
                    "invalid value \"CompactHashCheck,Nonsense=true\" for flag -feature-gates: "
                        + "unrecognized feature gate: Nonsense",
                    "--log-outputs requires a single file path when --log-rotate-config-json is defined",
                    "--election-timeout[100ms] should be at least as 5 times as --heartbeat-interval[100ms]",
                ])
        } catch {
            Issue.record(error)
        }
    }

    /// Numbers as Go's `strconv` reads them.
    @Test(
        arguments: [
            ("10", 10), ("0x10", 16), ("0b11", 3), ("0o17", 15), ("017", 15), ("1_000", 1000), ("0x_1_0", 16),
            ("1__0", nil), ("_1", nil), ("1_", nil), ("0_7", 7), ("", nil),
            ("-1", nil), ("+1", nil), (" 1", nil), ("1e3", nil), ("08", nil), ("18446744073709551615", .max),
            ("18446744073709551616", nil),
        ] as [(String, UInt64?)])
    func numbers(text: String, expected: UInt64?) {
        let number: Result<UInt64, GoNumber.Failure> = GoNumber.integer(text)
        #expect((try? number.get()) == expected)
    }

    @Test func secretsAreNotRepeated() {
        #expect {
            try configuration([], environment: ["ETCD_DISCOVERY_PASSWORD": "hush", "ETCD_SNAPSHOT_COUNT": "x"])
        } throws: { !"\($0)".contains("hush") }
        do {
            let told = try configuration([], environment: ["ETCD_ROOT_PASSWORD": "hush", "ETCD_NAME": "a"])
            #expect(told.notes == [.usedVariable("ETCD_NAME"), .unknownVariable("ETCD_ROOT_PASSWORD")])
        } catch {
            Issue.record(error)
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
