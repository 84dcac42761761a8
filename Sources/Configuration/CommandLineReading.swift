/// The command line in Go's manner, since that is what etcd's users type: one or two dashes, the value behind `=` or in
/// the next word, switches alone or with `=false`.
struct CommandLineReading {
    /// What the words ask for besides values.
    private(set) var wantsHelp = false
    private(set) var wantsVersion = false

    /// Reads `arguments` (without the program's name) into `settings`.
    init(_ arguments: [String], into settings: Settings) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" { break }
            guard argument.hasPrefix("-"), argument.count > 1 else {
                settings.note("'\(argument)' is not a valid flag")
                continue
            }
            let body = argument.drop { $0 == "-" }
            guard !body.isEmpty, argument.count - body.count <= 2, !body.hasPrefix("=") else {
                settings.note("bad flag syntax: \(argument)", isUsage: true)
                continue
            }
            let parts = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            let attached = parts.count == 2 ? String(parts[1]) : nil
            guard let definition = settings.definitions[name], !definition.isFileOnly else {
                if name == "help" || name == "h" {
                    wantsHelp = settings.mistakes.isEmpty
                    if wantsHelp { return }
                    continue
                }
                settings.note("flag provided but not defined: -\(name)", isUsage: true)
                // Its value, which is no flag.
                if attached == nil, let next = rest.first, !next.hasPrefix("-") { rest.removeFirst() }
                continue
            }
            guard let value = attached ?? Self.value(definition, &rest) else {
                settings.note("flag needs an argument: -\(name)", isUsage: true)
                continue
            }
            settings.set(name, .init(name: name, text: value, source: .argument))
        }
        for argument in rest { settings.note("'\(argument)' is not a valid flag") }
        wantsVersion = settings.isOn("version")
    }

    private static func value(_ definition: FlagDefinition, _ rest: inout ArraySlice<String>) -> String? {
        switch definition.kind {
        case .toggle: "true"
        case .ignored: ""
        default: rest.popFirst()
        }
    }
}
