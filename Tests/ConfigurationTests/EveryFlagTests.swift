import Testing

@testable import Configuration

/// Each flag by each way: word, environment variable and file, under each of its names, bring the same about.
@Suite struct EveryFlagTests {
    /// A value other than the default, where the kind alone does not give one that is accepted.
    private static let samples: [String: String] = [
        "auth-token": "jwt,pub-key=a,sign-method=RS256", "auto-compaction-mode": "revision",
        "auto-compaction-retention": "5",
        "cipher-suites": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "bcrypt-cost": "5", "cors": "http://example.com:80", "debug": "true",
        "discovery-user": "name:word", "election-timeout": "2000", "feature-gates": "CompactHashCheck=true",
        "heartbeat-interval": "50", "host-whitelist": "a,b", "initial-cluster": "default=http://localhost:2380",
        "log-format": "console", "log-level": "warn", "log-outputs": "stdout",
        "log-rotation-config-json": #"{"maxsize": 7}"#, "metrics": "extensive", "proxy": "off",
        "raft-read-timeout": "7s", "raft-write-timeout": "7s", "tls-max-version": "TLS1.3",
        "tls-min-version": "TLS1.3", "experimental-enable-v2v3": "", "discovery-fallback": "exit", "logger": "zap",
        "self-signed-cert-validity": "3",
    ]
    /// What a flag needs beside it to be accepted, or to show.
    private static let companions: [String: [String: String]] = [
        "auto-compaction-mode": ["auto-compaction-retention": "5"],
        "discovery-endpoints": ["discovery-token": "t"],
        "enable-log-rotation": ["log-outputs": "/tmp/log"],
        "listen-client-urls": ["advertise-client-urls": "http://127.0.0.1:1"],
        "log-rotation-config-json": ["enable-log-rotation": "true", "log-outputs": "/tmp/log"],
        "experimental-enable-lease-checkpoint-persist": ["experimental-enable-lease-checkpoint": "true"],
    ]
    /// Flags that show nothing by themselves: without effect, or with one accepted value.
    private static let silent: Set<String> = [
        "experimental-enable-v2v3", "discovery-fallback", "logger", "proxy", "discovery-srv-name", "discovery-token",
        "initial-cluster",
    ]

    private static let discoveryService = ["discovery-endpoints": "127.0.0.1:1", "discovery-token": "t"]

    private static let words = MemberConfiguration.groups.flatMap(\.flags).filter { !$0.isFileOnly }
    static let flags: [String] = words.map(\.name).filter { $0 != "config-file" && $0 != "version" }
    static let keysOfFiles: [String] = MemberConfiguration.groups.flatMap(\.flags).filter(\.isFileOnly).map(\.name)

    private static func definition(_ name: String) -> FlagDefinition {
        MemberConfiguration.definitions.first { $0.name == name }!
    }

    private static func sample(_ definition: FlagDefinition) -> String {
        if let sample = samples[definition.name] { return sample }
        switch definition.kind {
        case .text: return "other"
        case .toggle: return definition.fallback == "true" ? "false" : "true"
        case .unsigned, .signed: return "77"
        case .duration: return "77s"
        case .urls: return "http://127.0.0.1:77"
        case .list: return "first,second"
        case .choice(let values): return values.first { $0 != definition.fallback } ?? definition.fallback
        case .ignored: return "1"
        }
    }

    private static func beside(_ name: String) -> [String: String] {
        var beside = companions[name] ?? [:]
        if name.hasPrefix("discovery-"), definition(name).filePath?.first == "discovery-config" {
            beside.merge(discoveryService) { first, _ in first }
            beside[name] = nil
        }
        return beside
    }

    /// Everything that was understood, as text; without what is said about how it came.
    private static func outcome(
        _ arguments: [String], _ environment: [String: String] = [:], file: String? = nil
    ) throws -> String {
        let request = try MemberConfiguration.parse(
            arguments: arguments + (file == nil ? [] : ["--config-file=f"]), environment: environment,
            readFile: { _ in .success(file ?? "") })
        guard case .run(var configuration) = request else { throw InvalidConfiguration("no run") }
        configuration.notes = []
        return text(of: configuration)
    }

    /// A value with all that is in it; what has no order of its own is sorted.
    private static func text(of value: Any) -> String {
        let mirror = Mirror(reflecting: value)
        guard !mirror.children.isEmpty else { return String(reflecting: value) }
        let parts = mirror.children.map { "\($0.label ?? ""): \(text(of: $0.value))" }
        let isUnordered = mirror.displayStyle == .dictionary || mirror.displayStyle == .set
        return "\(mirror.subjectType)(\((isUnordered ? parts.sorted() : parts).joined(separator: ", ")))"
    }

    @Test(arguments: flags)
    func eachWayIsTheSame(name: String) throws {
        let definition = Self.definition(name)
        let value = Self.sample(definition)
        let beside = Self.beside(name)
        let words = beside.map { "--\($0.key)=\($0.value)" }
        let byWord = try Self.outcome(words + ["--\(name)=\(value)"])
        if Self.silent.contains(name) || definition.effect != .served {
            #expect(byWord.isEmpty == false)
        } else {
            // Without its companion the flag beside it may be refused, which is a difference too.
            #expect((try? Self.outcome(words)) != byWord, "\(name)=\(value) shows nowhere")
        }
        for other in definition.formerNames {
            #expect(try Self.outcome(words + ["--\(other)=\(value)"]) == byWord)
        }
        for form in definition.names {
            let variable = FlagDefinition.environmentName(form)
            #expect(try Self.outcome(words, [variable: value]) == byWord || value.isEmpty, "\(variable)")
            var values = beside.map { (Self.definition($0.key).filePath ?? [], Self.definition($0.key), $0.value) }
            guard let path = definition.filePath else { continue }
            values.append((form == name ? path : [form], definition, value))
            let file = Self.file(values)
            #expect(try Self.outcome([], file: file) == byWord, "\(file)")
        }
    }

    /// What etcd has in files alone is neither a flag nor a variable.
    @Test(arguments: keysOfFiles)
    func someKeysAreOfFilesAlone(name: String) throws {
        let definition = Self.definition(name)
        let beside = Self.beside(name).map {
            (Self.definition($0.key).filePath ?? [], Self.definition($0.key), $0.value)
        }
        let without = try Self.outcome([], file: Self.file(beside))
        for path in [definition.filePath ?? []] + definition.otherFilePaths {
            let file = Self.file(beside + [(path, definition, Self.sample(definition))])
            #expect((try Self.outcome([], file: file) == without) == (definition.effect != .served), "\(file)")
        }
        #expect(throws: InvalidConfiguration.self) { try Self.outcome(["--\(name)=\(Self.sample(definition))"]) }
        let variable = FlagDefinition.environmentName(name)
        guard
            case .run(let configuration) = try MemberConfiguration.parse(
                arguments: [], environment: [variable: Self.sample(definition)])
        else { throw InvalidConfiguration("no run") }
        #expect(configuration.notes.contains(.unknownVariable(variable)))
        #expect(!MemberConfiguration.help.contains(name))
    }

    /// The values as a YAML file, those of one section together.
    private static func file(_ values: [(path: [String], definition: FlagDefinition, value: String)]) -> String {
        var text = ""
        var sections: [String: [(path: [String], definition: FlagDefinition, value: String)]] = [:]
        for entry in values {
            if entry.path.count > 1 {
                sections[entry.path[0], default: []].append(
                    (Array(entry.path.dropFirst()), entry.definition, entry.value))
            } else {
                text += "\(entry.path[0]): \(scalar(entry.definition, entry.value))\n"
            }
        }
        for (section, entries) in sections {
            text += "\(section):\n"
            text += file(entries).split(separator: "\n").map { "  \($0)\n" }.joined()
        }
        return text
    }

    private static func scalar(_ definition: FlagDefinition, _ value: String) -> String {
        switch definition.kind {
        case .toggle, .unsigned, .signed: value
        case .list(inFile: .sequence), .list(inFile: .either):
            "[\(value.split(separator: ",").joined(separator: ", "))]"
        default: "'\(value)'"
        }
    }

    /// Names of etcd's early days are taken, with or without a value behind `=`.
    @Test(arguments: MemberConfiguration.ignoredFlags.map(\.name))
    func droppedFlagsWarn(name: String) throws {
        for form in ["-\(name)", "--\(name)=1"] {
            guard case .run(let configuration) = try MemberConfiguration.parse(arguments: [form], environment: [:])
            else { throw InvalidConfiguration("no run") }
            #expect(configuration.notes.contains(.warning("flag \"-\(name)\" is no longer supported - ignoring.")))
        }
    }

    @Test func theHelpNamesEveryFlag() {
        for name in Self.words.flatMap(\.names) {
            #expect(MemberConfiguration.help.contains("--\(name)"))
        }
    }

    /// The defaults are those of etcd 3.7.
    @Test func everyDefaultIsOneOfItsValues() throws {
        for flag in MemberConfiguration.groups.flatMap(\.flags) {
            let settings = Settings(MemberConfiguration.definitions)
            switch flag.kind {
            case .toggle: _ = settings.isOn(flag.name)
            case .unsigned: _ = settings.number(flag.name) as UInt64
            case .signed: _ = settings.number(flag.name) as Int64
            case .duration: _ = settings.nanoseconds(flag.name)
            case .urls: _ = settings.urls(flag.name)
            case .choice: _ = settings.choice(flag.name)
            case .list, .text, .ignored: _ = settings.list(flag.name)
            }
            #expect(settings.mistakes.isEmpty)
        }
    }
}
