import Foundation
import Testing

@testable import Configuration

/// docs/compatibility/config.json, which says of each flag, variable and key how it compares with etcd 3.7, is made out
/// of the definitions. `CONFIGURATION_LIST=write swift test --filter CompatibilityListTests` writes it anew.
@Suite struct CompatibilityListTests {
    private static let everyFlag = "ConfigurationTests/EveryFlagTests/eachWayIsTheSame"
    private static let connections = "Tests/EndToEnd/test_connections.py::"
    private static let manners = "Tests/EndToEnd/test_manners.py::"
    private static let endToEnd = "Tests/EndToEnd/"
    private static let configuration = "Tests/EndToEnd/test_configuration.py::"

    /// Flags of other versions, which etcd 3.7 refuses as unknown.
    private static let older: Set<String> = [
        "max-snapshots", "discovery", "discovery-proxy", "enable-v2", "experimental-enable-v2v3", "proxy",
        "proxy-failure-wait", "proxy-refresh-interval", "proxy-dial-timeout", "proxy-write-timeout",
        "proxy-read-timeout", "debug", "log-package-levels",
    ]

    /// What is different beyond that, and why.
    private static let differences: [String: String] = [
        "max-concurrent-streams":
            "when not given, a client may have 16,384 streams on a connection instead of four billion",
        "compaction-batch-limit": "when not given, a batch is 250 revisions, so that no write waits for one",
        "compaction-sleep-interval":
            "when not given, the pause is as long as the batch took, so compacting takes at most half of a core",
        "config-file":
            "unknown keys are refused by name and line instead of ignored; durations may also be texts such as 5s",
        "experimental-enable-v2v3": "refused unless empty: the v2 API is not served from the v3 store",
        "experimental-stop-grpc-service-on-defrag":
            "of etcd before 3.7, and still taken; health says so, and calls are served all the same",
        "proxy": "only 'off'; the v2 proxy is refused",
        "memory-mlock": "refused when the system does not allow it, instead of going on without",
        "log-outputs": "lines wait in memory for a slow destination; beyond 8 MiB they are dropped and counted",
    ]
    /// Tests that show what follows from a flag, beyond that it is read.
    private static let shown: [String: [String]] = [
        "name": ["Tests/EndToEnd/test_cli.py::test_environment"],
        "data-dir": ["Tests/EndToEnd/test_cli.py::test_environment"],
        "wal-dir": ["Tests/EndToEnd/test_cli.py::test_wal_directory"],
        "max-txn-ops": [
            endToEnd + "test_cli.py::test_environment",
            endToEnd + "test_grpc_kv_differential.py::test_txn_limit_follows_its_flag",
        ],
        "max-request-bytes": ["Tests/EndToEnd/test_grpc_kv_differential.py::test_request_size"],
        "quota-backend-bytes": ["Tests/EndToEnd/test_quota.py::test_quotas_of_every_kind"],
        "enable-grpc-gateway": ["Tests/EndToEnd/test_json_differential.py::test_without_gateway"],
        "memory-mlock": [manners + "test_memory_is_locked_or_the_start_refused"],
        "listen-client-urls": [manners + "test_unix_socket"],
        "listen-peer-urls": [manners + "test_peers_by_unix_sockets"],
        "initial-advertise-peer-urls": [
            manners + "test_peers_by_unix_sockets", configuration + "test_the_default_host_is_advertised",
        ],
        "advertise-client-urls": [configuration + "test_the_default_host_is_advertised"],
        "initial-cluster": ["Tests/EndToEnd/test_cli.py::test_ids_of_a_cluster"],
        "initial-cluster-token": ["Tests/EndToEnd/test_cli.py::test_ids_of_a_cluster"],
        "max-concurrent-streams": [connections + "test_streams_are_limited", connections + "test_no_limit_of_streams"],
        "grpc-keepalive-interval": [connections + "test_a_silent_client_is_probed"],
        "grpc-keepalive-timeout": [connections + "test_a_silent_client_is_probed"],
        "grpc-keepalive-min-time": [connections + "test_a_client_may_ping_so_often"],
        "client-cert-allowed-cn": ["Tests/EndToEnd/test_tls.py::test_a_configuration_file_allows_common_names"],
        "socket-reuse-port": [
            manners + "test_a_port_may_be_shared", "EtcdServerTests/ListeningSocketTests/optionsOfListeners",
        ],
        "socket-reuse-address": ["EtcdServerTests/ListeningSocketTests/optionsOfListeners"],
        "max-wals": [endToEnd + "test_flags.py::test_old_segments_of_the_log_are_removed"],
        "backend-batch-interval": [endToEnd + "test_flags.py::test_the_backend_is_committed_as_often_as_asked"],
        "backend-batch-limit": [endToEnd + "test_flags.py::test_the_backend_is_committed_as_often_as_asked"],
        "pre-vote": ["MemberTests/ElectionFlagTests/trialVotesLeaveTheTermAlone"],
        "initial-election-tick-advance": [
            "MemberTests/ElectionFlagTests/itIsAdvancedOnceAllOthersAreThere",
            "MemberTests/ElectionFlagTests/theFirstElectionComesEarlier",
        ],
        "raft-read-timeout": [
            "EtcdServerTests/ServerSettingsTests/timeoutsOfStreamsBetweenMembers",
            "PeerTransportTests/TransportTests/readTimeout",
        ],
        "raft-write-timeout": [
            "EtcdServerTests/ServerSettingsTests/timeoutsOfStreamsBetweenMembers",
            "PeerTransportTests/TransportTests/writeTimeout",
        ],
        "discovery-dial-timeout": [endToEnd + "test_discovery.py::test_version_3_with_a_service_that_is_silent"],
        "discovery-request-timeout": [endToEnd + "test_discovery.py::test_version_3_with_a_service_that_is_silent"],
        "log-level": ["Tests/EndToEnd/test_cli.py::test_log_level"],
        "log-format": [manners + "test_console_lines"],
        "log-outputs": [manners + "test_several_log_outputs", "LogOutputTests/JournalTests"],
        "disable-log-sampling": [manners + "test_a_flood_of_lines_is_sampled", "LogOutputTests/LogSamplingTests"],
        "enable-log-rotation": [manners + "test_log_rotation"],
        "log-rotation-config-json": [manners + "test_log_rotation", "LogOutputTests/FileDestinationTests"],
        "unsafe-no-fsync": [manners + "test_unsafe_no_fsync_says_so"],
        "watch-progress-notify-interval": [manners + "test_progress_is_notified_as_often_as_asked"],
        "compaction-batch-limit": [manners + "test_compaction_in_small_batches"],
        "compaction-sleep-interval": [manners + "test_compaction_in_small_batches"],
        "heartbeat-interval": [manners + "test_a_leader_hands_over_before_it_ends"],
        "election-timeout": [manners + "test_a_leader_hands_over_before_it_ends"],
        "config-file": [
            configuration + "test_a_file_stands_alone", configuration + "test_unknown_keys_are_refused_by_name",
        ],
        "version": [configuration + "test_help_and_version"],
        "feature-gates": ["ConfigurationTests/ConsistencyTests"],
        "snapshot-count": [endToEnd + "test_metrics_moving.py::test_files_of_snapshots_are_timed"],
        "snapshot-catchup-entries": [
            endToEnd + "test_snapshots.py::test_watchers_miss_nothing_and_hear_nothing_twice"
        ],
        "auto-compaction-mode": [
            manners + "test_old_revisions_go_by_themselves", "MemberTests/AutoCompactorTests",
        ],
        "auto-compaction-retention": [
            manners + "test_old_revisions_go_by_themselves", "MemberTests/AutoCompactorTests",
        ],
        "listen-client-http-urls": [endToEnd + "test_http_paths.py::test_listeners_for_http"],
        "listen-metrics-urls": [
            endToEnd + "test_http_paths.py::test_listeners_for_metrics",
            manners + "test_monitoring_is_answered_before_the_member_serves",
        ],
        "cors": [endToEnd + "test_json_differential.py::test_origins"],
        "host-whitelist": [endToEnd + "test_json_differential.py::test_hosts"],
        "metrics": [
            endToEnd + "test_metrics_moving.py::test_times_of_calls_are_there_only_with_extensive_metrics"
        ],
        "warning-apply-duration": [
            endToEnd + "test_metrics.py::test_slow_requests_are_logged_with_the_stage_that_took_the_time"
        ],
        "warning-unary-request-duration": [
            endToEnd + "test_metrics.py::test_slow_requests_are_logged_with_the_stage_that_took_the_time"
        ],
        "enable-distributed-tracing": [
            endToEnd + "test_tracing.py::test_each_operation_has_a_span_with_its_stages"
        ],
        "distributed-tracing-address": [
            endToEnd + "test_tracing.py::test_each_operation_has_a_span_with_its_stages"
        ],
        "distributed-tracing-service-name": [endToEnd + "test_tracing.py::test_the_spans_of_a_put_in_a_cluster"],
        "distributed-tracing-instance-id": [endToEnd + "test_tracing.py::test_the_spans_of_a_put_in_a_cluster"],
        "distributed-tracing-sampling-rate": [
            endToEnd + "test_tracing.py::test_a_rate_traces_calls_that_say_nothing"
        ],
        "force-new-cluster": [endToEnd + "test_bootstrap.py::test_force_new_cluster"],
        "initial-cluster-state": [endToEnd + "test_bootstrap.py::test_joins"],
        "discovery": [endToEnd + "test_discovery.py::test_version_2"],
        "discovery-proxy": [endToEnd + "test_discovery.py::test_version_2_through_a_proxy"],
        "discovery-token": [endToEnd + "test_discovery.py::test_version_3"],
        "discovery-endpoints": [endToEnd + "test_discovery.py::test_version_3"],
        "discovery-user": [endToEnd + "test_discovery.py::test_version_3_with_a_user"],
        "discovery-password": [endToEnd + "test_discovery.py::test_version_3_with_a_user"],
        "discovery-jwt": [endToEnd + "test_discovery.py::test_version_3_with_a_token_in_a_file"],
        "discovery-srv-name": [endToEnd + "test_discovery.py::test_service_records"],
        "discovery-insecure-transport": [endToEnd + "test_discovery.py::test_version_3_over_tls"],
        "discovery-insecure-skip-tls-verify": [endToEnd + "test_discovery.py::test_version_3_over_tls"],
        "discovery-cert": [endToEnd + "test_discovery.py::test_version_3_over_tls"],
        "discovery-key": [endToEnd + "test_discovery.py::test_version_3_over_tls"],
        "discovery-cacert": [endToEnd + "test_discovery.py::test_version_3_over_tls"],
        "discovery-keepalive-time": [endToEnd + "test_discovery.py::test_version_3_with_a_service_that_is_silent"],
        "discovery-keepalive-timeout": [endToEnd + "test_discovery.py::test_version_3_with_a_service_that_is_silent"],
        "strict-reconfig-check": ["MemberTests/MembershipChangeTests/theStrictCheckLooksAtTheConnections"],
        "max-snapshots": [endToEnd + "test_flags.py::test_old_snapshots_are_removed"],
        "bootstrap-defrag-threshold-megabytes": [
            endToEnd + "test_storage.py::test_defragmentation_at_the_start"
        ],
        "experimental-set-member-localaddr": [
            "EtcdServerTests/ServerSettingsTests/theAddressThatConnectionsComeFrom",
            "PeerTransportTests/TransportTests/localAddress",
        ],
        "experimental-initial-corrupt-check": [
            endToEnd + "test_corruption.py::test_a_damaged_member_does_not_start"
        ],
        "experimental-compact-hash-check-enabled": [
            endToEnd + "test_corruption.py::test_compactions_are_compared"
        ],
        "enable-v2": [
            endToEnd + "test_v2_differential.py::test_keys",
            endToEnd + "test_v2_differential.py::test_without_the_flag",
        ],
        "discovery-srv": [endToEnd + "test_discovery.py::test_service_records"],
        "corrupt-check-time": [endToEnd + "test_corruption.py::test_the_leader_compares_all_members"],
        "compact-hash-check-time": [endToEnd + "test_corruption.py::test_compactions_are_compared"],
        "max-learners": [configuration + "test_deprecated_flags_warn_and_work"],
        "proxy": ["ConfigurationTests/ConfigurationTests/allMistakesAreNamedAtOnce"],
        "discovery-fallback": ["ConfigurationTests/ConfigurationTests/mistakesAreNamed"],
    ]

    private struct Row {
        var kind: String
        var name: String
        var why = ""
        var isAbsent = false
        var tests: [String]

        var line: String {
            let status = isAbsent ? "absent" : why.isEmpty ? "same" : "different"
            let list = tests.map(Self.quoted).joined(separator: ", ")
            let reason = why.isEmpty ? "" : ", \"why\": \(Self.quoted(why))"
            return "{\"kind\": \"\(kind)\", \"name\": \(Self.quoted(name)), \"status\": \"\(status)\"\(reason), "
                + "\"tests\": [\(list)]}"
        }

        private static func quoted(_ text: String) -> String {
            "\"\(text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\""
        }
    }

    private static func why(_ flag: FlagDefinition, named name: String) -> String {
        if case .none(let reason) = flag.effect { return "taken with a warning and without effect: \(reason)" }
        if flag.kind == .ignored { return "" }
        if name.hasPrefix("audit-log-") { return "only here: etcd has no audit log" }
        if name == "grpc-gateway-errors" {
            return "only here: the form of errors in JSON, that of etcd 3.4 and 3.5 or that of 3.6 and 3.7"
        }
        if let difference = differences[flag.name] { return difference }
        if older.contains(name) || name.hasPrefix("experimental-") || name == "log-output" {
            return "of etcd before 3.7, and still taken"
        }
        return ""
    }

    private static func tests(_ flag: FlagDefinition) -> [String] {
        if flag.kind == .ignored { return ["ConfigurationTests/EveryFlagTests/droppedFlagsWarn"] }
        if flag.isFileOnly {
            return ["ConfigurationTests/EveryFlagTests/someKeysAreOfFilesAlone"] + (shown[flag.name] ?? [])
        }
        if let shown = shown[flag.name], flag.name == "config-file" || flag.name == "version" { return shown }
        return [everyFlag] + (shown[flag.name] ?? [])
    }

    private static var rows: [Row] {
        var rows: [Row] = []
        for flag in MemberConfiguration.definitions {
            for name in flag.names {
                let (why, tests) = (why(flag, named: name), tests(flag))
                if flag.isFileOnly {
                    let key = (flag.filePath ?? []).joined(separator: ".")
                    rows.append(Row(kind: "config", name: key, why: why, tests: tests))
                    continue
                }
                rows.append(Row(kind: "flag", name: "--\(name)", why: why, tests: tests))
                guard flag.kind != .ignored, name != "version" else { continue }
                rows.append(
                    Row(
                        kind: "environment", name: FlagDefinition.environmentName(name), why: why,
                        tests: name == "config-file" ? tests : [everyFlag]))
                guard let path = flag.filePath else { continue }
                let key = name == flag.name ? path.joined(separator: ".") : name
                rows.append(Row(kind: "config", name: key, why: fileReason(flag, key) ?? why, tests: [everyFlag]))
            }
        }
        return rows + general
    }

    private static func fileReason(_ flag: FlagDefinition, _ key: String) -> String? {
        if key.hasSuffix(".crl-file") { return "etcd has no key for it" }
        return ["raft-read-timeout", "raft-write-timeout"].contains(key) ? "etcd has no key for it" : nil
    }

    private static let general = [
        Row(
            kind: "environment", name: "a flag and its variable at once",
            tests: [configuration + "test_a_flag_and_its_variable_at_once"]),
        Row(kind: "environment", name: "a wrong value in a variable", tests: [configuration + "test_wrong_variables"]),
        Row(
            kind: "environment", name: "ETCD_… that belongs to no flag",
            why: "warned of by its name alone, since the value may be a password",
            tests: [configuration + "test_unknown_variables_are_warned_of"]),
        Row(
            kind: "environment", name: "NOTIFY_SOCKET", why: "STOPPING=1 is sent too",
            tests: [manners + "test_systemd_is_told"]),
        Row(
            kind: "config", name: "an unknown key", why: "refused by name and line; etcd ignores it",
            tests: [configuration + "test_unknown_keys_are_refused_by_name"]),
        Row(
            kind: "config", name: "a key that stands there twice", why: "refused by name; etcd takes the last",
            tests: ["ConfigurationTests/FileTests/mistakesNameTheirLine"]),
        Row(
            kind: "config", name: "numbers and truths in YAML's forms",
            tests: [
                "ConfigurationTests/FileTests/formsOfNumbers", "ConfigurationTests/FileTests/formsOfTruths",
                configuration + "test_forms_in_files",
            ]),
        Row(
            kind: "config", name: "a value of a wrong type",
            why: "the same are refused, with file, line and key, but a number or a truth is taken for a text",
            tests: [configuration + "test_wrong_files", "ConfigurationTests/FileTests/mistakesNameTheirLine"]),
        Row(kind: "exit", name: "0 after --help and --version", tests: [configuration + "test_help_and_version"]),
        Row(
            kind: "exit", name: "2 for a command line that cannot be read",
            why: "the texts are etcd's, but all mistakes are listed at once",
            tests: [configuration + "test_wrong_command_lines", configuration + "test_all_mistakes_at_once"]),
        Row(
            kind: "exit", name: "1 for a configuration that is wrong",
            why: "the texts are etcd's, but all mistakes are listed at once, in plain lines as etcd 3.4 has them",
            tests: [configuration + "test_wrong_command_lines", configuration + "test_wrong_files"]),
        Row(
            kind: "exit", name: "1 when an address cannot be listened at",
            tests: ["Tests/EndToEnd/test_cli.py::test_port_in_use"]),
        Row(
            kind: "exit", name: "1 when a log file cannot be had",
            tests: [manners + "test_a_log_file_that_cannot_be_had"]),
        Row(
            kind: "exit", name: "by the signal after SIGTERM and SIGINT",
            tests: [configuration + "test_the_process_ends_by_its_signal"]),
        Row(
            kind: "exit", name: "a second signal", why: "ends the process at once",
            tests: [manners + "test_a_second_signal_ends_the_process_at_once"]),
        Row(
            kind: "exit", name: "etcd gateway, etcd grpc-proxy", why: "not part of this server", isAbsent: true,
            tests: [configuration + "test_proxies_are_refused_by_name"]),
    ]

    private static let folder = #filePath.replacing(
        "Tests/ConfigurationTests/CompatibilityListTests.swift", with: "docs/compatibility")

    /// The flags that other lists name, whose own tests show more of them.
    private static func listedElsewhere() throws -> Set<String> {
        struct Listed: Decodable {
            var kind: String
            var name: String
        }
        var names: Set<String> = []
        for file in try FileManager.default.contentsOfDirectory(atPath: folder) where file.hasSuffix(".json") {
            guard file != "config.json" else { continue }
            let data = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(file)"))
            for row in try JSONDecoder().decode([Listed].self, from: data) {
                names.insert("\(row.kind) \(row.name.drop { $0 == "-" })")
            }
        }
        return names
    }

    /// Each row of the definitions stands in the list or in another one, and the list has no others.
    @Test func theListIsWhatTheDefinitionsSay() throws {
        let path = "\(Self.folder)/config.json"
        let elsewhere = try Self.listedElsewhere()
        let own = Self.rows.filter { !elsewhere.contains("\($0.kind) \($0.name.drop { $0 == "-" })") }
        if ProcessInfo.processInfo.environment["CONFIGURATION_LIST"] == "write" {
            let text = "[\n" + own.map(\.line).joined(separator: ",\n") + "\n]\n"
            try text.write(toFile: path, atomically: true, encoding: .utf8)
        }
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let lines = Set(text.split(separator: "\n").map { $0.hasSuffix(",") ? String($0.dropLast()) : String($0) })
        let missing = own.map(\.line).filter { !lines.contains($0) }
        let surplus = lines.subtracting(Self.rows.map(\.line)).subtracting(["[", "]"])
        #expect(missing.isEmpty, "CONFIGURATION_LIST=write adds them")
        #expect(surplus.isEmpty, "CONFIGURATION_LIST=write removes them")
    }
}
