/// Command-line flags in Go's manner, since that is what etcd's users type: one or two dashes, the value behind `=` or
/// in the next word, switches alone or with `=false`.
struct Flags {
    /// One flag: its name, what it is for, its default as text, and whether it is a switch.
    struct Definition {
        var name: String
        var fallback: String
        var isSwitch: Bool
        var help: String

        init(_ name: String, _ fallback: String, isSwitch: Bool = false, _ help: String) {
            self.name = name
            self.fallback = fallback
            self.isSwitch = isSwitch
            self.help = help
        }

        /// The environment variable that sets the flag.
        var environmentName: String {
            "ETCD_" + name.uppercased().replacing("-", with: "_")
        }
    }

    private(set) var values: [String: String] = [:]

    /// Reads `arguments` (without the program's name) and `environment`; as in etcd, only one of them may set a flag.
    init(_ definitions: [Definition], arguments: [String], environment: [String: String]) throws(InvalidConfiguration) {
        let known = Dictionary(uniqueKeysWithValues: definitions.map { ($0.name, $0) })
        var index = 0
        while index < arguments.count {
            let argument = arguments[index]
            index += 1
            guard argument.hasPrefix("-"), argument.count > 1 else {
                throw InvalidConfiguration("'\(argument)' is not a valid flag")
            }
            let body = argument.drop { $0 == "-" }
            guard !body.isEmpty, argument.count - body.count <= 2, !body.hasPrefix("=") else {
                throw InvalidConfiguration("error verifying flags, bad flag syntax: \(argument). See 'etcd --help'.")
            }
            let parts = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = parts[0] == "h" ? "help" : String(parts[0])
            guard let definition = known[name] else {
                throw InvalidConfiguration(
                    "error verifying flags, flag provided but not defined: -\(name). See 'etcd --help'.")
            }
            if parts.count == 2 {
                values[name] = String(parts[1])
            } else if definition.isSwitch {
                values[name] = "true"
            } else if index < arguments.count {
                values[name] = arguments[index]
                index += 1
            } else {
                throw InvalidConfiguration(
                    "error verifying flags, flag needs an argument: -\(name). See 'etcd --help'.")
            }
        }
        for definition in definitions {
            guard let value = environment[definition.environmentName], !value.isEmpty else { continue }
            if values[definition.name] != nil {
                throw InvalidConfiguration(
                    "conflicting environment variable \"\(definition.environmentName)\" is shadowed by corresponding "
                        + "command-line flag (either unset environment variable or disable flag)")
            }
            values[definition.name] = value
        }
        given = Set(values.keys)
        for definition in definitions where values[definition.name] == nil {
            values[definition.name] = definition.fallback
        }
    }

    /// The flags that the user set, by word or by environment.
    let given: Set<String>

    func text(_ name: String) -> String {
        guard let value = values[name] else { preconditionFailure("the flag \(name) is not defined") }
        return value
    }

    func number<Number: FixedWidthInteger>(_ name: String) throws(InvalidConfiguration) -> Number {
        guard let number = Number(text(name)) else { throw invalid(name, "is not a number in range") }
        return number
    }

    func isOn(_ name: String) throws(InvalidConfiguration) -> Bool {
        switch text(name).lowercased() {
        case "true", "t", "1": return true
        case "false", "f", "0": return false
        default: throw invalid(name, "is neither true nor false")
        }
    }

    func nanoseconds(_ name: String) throws(InvalidConfiguration) -> Int64 {
        guard let value = GoDuration.nanoseconds(text(name)), value >= 0 else {
            throw invalid(name, "is no duration such as 100ms")
        }
        return value
    }

    func invalid(_ name: String, _ reason: String) -> InvalidConfiguration {
        InvalidConfiguration("invalid value \"\(text(name))\" for flag --\(name): it \(reason). See 'etcd --help'.")
    }
}

/// A configuration that the member cannot run with, in one line for the person who wrote it.
public struct InvalidConfiguration: Error, Equatable, CustomStringConvertible {
    public var description: String

    /// An error that reads `description`.
    public init(_ description: String) {
        self.description = description
    }
}
