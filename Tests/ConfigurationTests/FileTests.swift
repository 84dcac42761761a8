import Testing

@testable import Configuration

/// Configuration files.
@Suite struct FileTests {
    private func parse(
        _ file: String, _ arguments: [String] = ["--config-file=etcd.yml"], environment: [String: String] = [:]
    ) throws -> MemberConfiguration {
        let request = try MemberConfiguration.parse(
            arguments: arguments, environment: environment, readFile: { _ in .success(file) })
        guard case .run(let configuration) = request else { throw InvalidConfiguration("not a run") }
        return configuration
    }

    private func mistakes(_ file: String) -> [String] {
        do {
            _ = try parse(file)
            return []
        } catch let error as InvalidConfiguration {
            return error.mistakes.map(\.text)
        } catch {
            return ["\(error)"]
        }
    }

    /// The file that etcd ships as an example has nearly this shape.
    @Test func aWholeFile() throws {
        let configuration = try parse(
            """
            # This is the configuration file for the etcd server.
            name: 'infra1'
            data-dir:
            snapshot-count: 5000
            heartbeat-interval: 200
            election-timeout: 2000
            listen-client-urls: http://127.0.0.1:12379, http://127.0.0.1:22379
            cors:
            initial-cluster-state: existing
            pre-vote: no
            grpc-keepalive-interval: 600000000000
            grpc-keepalive-timeout: 30s
            auto-compaction-retention: 1
            log-outputs: [stderr, /var/log/etcd.log]
            cipher-suites: [
              TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
              TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
            ]
            client-transport-security:
              cert-file: cert.pem
              key-file: key.pem
              client-cert-auth: true
              allowed-hostname: [a, b]
            peer-transport-security:
              auto-tls: true
              allowed-cn: one
              skip-client-san-verification: true
            discovery-config:
              endpoints: [http://127.0.0.1:1]
              token: t
              auth: {username: u, password: p}
            socket-options: {reuse-port: true}
            """)
        #expect(configuration.name == "infra1")
        #expect(configuration.dataDirectory == "infra1.etcd")
        #expect(configuration.snapshotCount == 5000)
        #expect(configuration.listenClientURLs.map(\.port) == [12379, 22379])
        // Unlike a flag, a file does not ask for it.
        #expect(configuration.advertiseClientURLs == ["http://localhost:2379"])
        #expect(configuration.initialClusterState == .existing)
        #expect(!configuration.preVote)
        #expect(configuration.grpc.keepaliveIntervalMilliseconds == 600_000)
        #expect(configuration.grpc.keepaliveTimeoutMilliseconds == 30_000)
        #expect(configuration.autoCompaction == .periodic(milliseconds: 3_600_000))
        #expect(configuration.logging.outputs == [.standardError, .file("/var/log/etcd.log")])
        #expect(configuration.tlsPolicy.cipherSuites.count == 2)
        #expect(configuration.clientTLS.certificateFile == "cert.pem")
        #expect(configuration.clientTLS.requiresClientCertificate)
        #expect(configuration.clientTLS.allowedHostnames == ["a", "b"])
        #expect(configuration.peerTLS.isAutomatic)
        #expect(configuration.peerTLS.allowedCommonNames == ["one"])
        #expect(configuration.peerTLS.skipsClientSANVerification)
        #expect(configuration.discovery.service?.user == "u")
        #expect(configuration.sockets.reusesPort)
    }

    /// With a file, nothing else counts; but the command line must make sense.
    @Test func aFileShadowsFlagsAndVariables() throws {
        let environment = ["ETCD_NAME": "environment", "ETCD_SNAPSHOT_COUNT": "x"]
        for arguments in [["--config-file=etcd.yml", "--max-wals=9"], ["--config-file", "etcd.yml"]] {
            let configuration = try parse("max-snapshots: 7", arguments, environment: environment)
            #expect(configuration.name == "default")
            #expect(configuration.maxSnapshots == 7)
            #expect(configuration.maxWALs == 5)
            #expect(configuration.notes.first == .fileLoaded("etcd.yml"))
        }
        let byVariable = try parse(
            "name: file", [], environment: ["ETCD_CONFIG_FILE": "f", "ETCD_NAME": "environment"])
        #expect(byVariable.name == "file")
        #expect(throws: InvalidConfiguration.self) { try parse("name: file", ["--config-file=f", "--nonsense"]) }
    }

    /// YAML has several ways to write a number and a truth.
    @Test(arguments: [
        ("0x10", 16), ("0o10", 8), ("010", 8), ("0b101", 5), ("1_000", 1000), ("+5", 5), ("1e1", 10), ("5.0", 5),
        ("-0", 0),
    ])
    func formsOfNumbers(text: String, value: Int) throws {
        let configuration = try parse("quota-backend-bytes: \(text)")
        // Zero is the default.
        #expect(configuration.quotaBackendBytes == (value == 0 ? 2 << 30 : Int64(value)))
    }

    @Test(arguments: ["5000000000", "5e9", "5_000_000_000", "5s", "\"5s\"", "5000ms"])
    func formsOfDurations(text: String) throws {
        #expect(try parse("grpc-keepalive-timeout: \(text)").grpc.keepaliveTimeoutMilliseconds == 5_000)
    }

    @Test(arguments: ["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"])
    func formsOfTruths(text: String) throws {
        #expect(try !parse("pre-vote: \(text)").preVote)
    }

    /// An empty choice is the default, as in etcd, and so is a certificate's life of no years.
    @Test func emptyChoices() throws {
        let configuration = try parse("\u{feff}initial-cluster-state: ''\nself-signed-cert-validity: 0\n")
        #expect(configuration.initialClusterState == .new)
        #expect(configuration.tlsPolicy.selfSignedValidityYears == 1)
    }

    @Test func keysAreTakenInAnyCase() throws {
        // What etcd 3.4 needs for a field without a key of its own.
        #expect(try parse("SnapshotCatchUpEntries: 10").snapshotCatchUpEntries == 10)
        #expect(try parse("Name: a\nexperimental-snapshot-catch-up-entries: 3").snapshotCatchUpEntries == 3)
    }

    @Test(
        arguments: [
            ("nonsense: 1", ["etcd.yml:1: unknown key \"nonsense\""]),
            (
                "name: a\ncert-file: c",
                ["etcd.yml:2: unknown key \"cert-file\"; write \"cert-file\" under \"client-transport-security\""]
            ),
            ("config-file: c", ["etcd.yml:1: unknown key \"config-file\"; it is a flag only"]),
            ("pre-vote: \"true\"", ["etcd.yml:1: the value of \"pre-vote\" must be true or false, not \"true\""]),
            ("max-wals: many", ["etcd.yml:1: the value of \"max-wals\" must be a whole number, not \"many\""]),
            ("max-wals: 5.5", ["etcd.yml:1: the value of \"max-wals\" must be a whole number, not \"5.5\""]),
            ("max-wals: 0x", ["etcd.yml:1: the value of \"max-wals\" must be a whole number, not \"0x\""]),
            ("max-wals: 1e400", ["etcd.yml:1: the value of \"max-wals\" must be a whole number, not \"1e400\""]),
            ("max-wals: .inf", ["etcd.yml:1: the value of \"max-wals\" must be a whole number, not \".inf\""]),
            ("max-wals: 09", ["etcd.yml:1: invalid value \"09\" for max-wals: parse error"]),
            ("pre-vote: yEs", ["etcd.yml:1: the value of \"pre-vote\" must be true or false, not \"yEs\""]),
            ("pre-vote: 1", ["etcd.yml:1: the value of \"pre-vote\" must be true or false, not \"1\""]),
            ("max-wals: \"5\"", ["etcd.yml:1: the value of \"max-wals\" must be a whole number, not \"5\""]),
            ("max-wals: -5", ["etcd.yml:1: invalid value \"-5\" for max-wals: parse error"]),
            (
                "log-outputs: stderr",
                ["etcd.yml:1: the value of \"log-outputs\" must be a list of texts, not \"stderr\""]
            ),
            ("name: [a]", ["etcd.yml:1: the value of \"name\" must be a text, not a list"]),
            (
                "client-transport-security: yes",
                ["etcd.yml:1: the value of \"client-transport-security\" must be a section of its own"]
            ),
            (
                "peer-transport-security:\n  nonsense: 1\n  auto-tls: maybe",
                [
                    "etcd.yml:2: unknown key \"nonsense\"",
                    "etcd.yml:3: the value of \"auto-tls\" must be true or false, not \"maybe\"",
                ]
            ),
            (
                "grpc-keepalive-timeout: soon",
                ["etcd.yml:1: invalid value \"soon\" for grpc-keepalive-timeout: parse error"]
            ),
            ("- a", ["etcd.yml: the file is no mapping of keys to values"]),
            ("a", ["etcd.yml: the file is no mapping of keys to values"]),
            ("name: a\nname: b", ["etcd.yml: the key \"name\" stands there more than once"]),
            (
                "discovery-config: {auth: {password: [hush]}}",
                ["etcd.yml:1: the value of \"password\" must be a text, not something else"]
            ),
        ])
    func mistakesNameTheirLine(file: String, expected: [String]) {
        #expect(mistakes(file) == expected)
    }

    @Test(arguments: ["name: [", "name: {a", "\tname: a", "name: \"a", "&a name: *b", "name: !!binary ???", "%"])
    func whatIsNoYAMLIsRefused(file: String) {
        #expect(mistakes(file).count == 1 || file.contains("binary"))
    }

    @Test(arguments: ["", "# nothing\n", "---\n", "name: ~\n", "max-wals:\n"])
    func anEmptyFileMeansTheDefaults(file: String) throws {
        #expect(try parse(file).name == "default")
    }

    /// Each alias stands for the one before it ten times: a file that would grow without bound if it were expanded.
    @Test func aliasesDoNotGrow() {
        var file = "a0: &a0 [x]\n"
        for number in 1...12 {
            let alias = "*a\(number - 1)"
            file += "a\(number): &a\(number) [\(Array(repeating: alias, count: 10).joined(separator: ", "))]\n"
        }
        #expect(mistakes(file).count == 13)
    }

    @Test func aMissingFileIsNamed() {
        #expect {
            try MemberConfiguration.parse(arguments: ["--config-file=nowhere.yml"], environment: [:])
        } throws: { "\($0)" == "open nowhere.yml: no such file or directory" }
    }
}
