/// Variables named `ETCD_…`, each of which stands for a flag.
enum EnvironmentReading {
    /// Reads the variables into `settings`; as in etcd, a flag may stand only in one place.
    static func read(_ environment: [String: String], into settings: Settings) -> [ConfigurationNote] {
        var notes: [ConfigurationNote] = []
        var variables = environment.filter { $0.key.hasPrefix("ETCD_") }
        for name in settings.definitions.keys.sorted() where settings.definitions[name]?.isFileOnly == false {
            let key = FlagDefinition.environmentName(name)
            guard let text = variables.removeValue(forKey: key) else { continue }
            if let given = settings.given[name], given.source == .argument {
                settings.note(
                    "conflicting environment variable \"\(key)\" is shadowed by corresponding "
                        + "command-line flag (either unset environment variable or disable flag)")
                continue
            }
            guard !text.isEmpty, !isSpecial(name) else {
                notes.append(.unknownVariable(key))
                continue
            }
            notes.append(.usedVariable(key))
            settings.set(name, .init(name: name, text: text, source: .environment))
        }
        notes += variables.keys.sorted().map { .unknownVariable($0) }
        return notes
    }

    /// The words that ask for something else than a running member are words of the command line only.
    private static func isSpecial(_ name: String) -> Bool { name == "version" || name == "config-file" }
}
