/// Something that the log is to say about the way in which a member was configured.
public enum ConfigurationNote: Equatable, Sendable {
    /// All comes from this file.
    case fileLoaded(String)
    /// An environment variable that set a flag.
    case usedVariable(String)
    /// A variable named as a flag's would be, which is none. Its value may be somebody's secret.
    case unknownVariable(String)
    /// Something that should be said otherwise, or was better not said.
    case warning(String)

    /// What the values given bring about.
    static func notes(_ settings: Settings, _ configuration: MemberConfiguration) -> [Self] {
        var notes: [Self] = []
        for name in settings.given.keys.sorted() {
            guard let definition = settings.definitions[name] else { continue }
            if definition.kind == .ignored {
                notes.append(.warning("flag \"-\(name)\" is no longer supported - ignoring."))
                continue
            }
            if case .none(let reason) = definition.effect {
                let shown = definition.isFileOnly ? definition.filePath?.joined(separator: ".") : "--\(name)"
                notes.append(.warning("\(shown ?? name) has no effect: \(reason)"))
            }
            if let warning = definition.warning { notes.append(.warning(warning)) }
            if name != definition.name {
                notes.append(.warning("--\(name) is deprecated. Use '--\(definition.name)' instead."))
            } else if let gate = definition.gate {
                notes.append(.warning("--\(name) is deprecated. Use '--feature-gates=\(gate)=true' instead."))
            }
        }
        if configuration.unsafeNoFsync {
            notes.append(.warning("--unsafe-no-fsync: nothing is synchronised; a crash of the machine LOSES DATA"))
        }
        if configuration.name == "default" {
            notes.append(
                .warning(
                    "it isn't recommended to use default name, please set a value for --name. Note that etcd might run "
                        + "into issue when multiple members have the same default name"))
        }
        return notes
    }
}

extension Settings {
    /// A flag may be given under one of its names only.
    func checkNames() {
        for definition in Set(definitions.values.map(\.name)).sorted().compactMap({ definitions[$0] }) {
            for former in definition.formerNames where given[former] != nil && given[definition.name] != nil {
                note(
                    "cannot set --\(former) and --\(definition.name) at the same time, please use "
                        + "--\(definition.name) only")
            }
        }
    }
}
