import Yams

/// A configuration file: YAML with etcd's keys, some of which stand in sections.
struct FileReading {
    /// More than any configuration needs, and little enough to be read at once.
    static let longest = 1 << 20

    private let settings: Settings
    private let file: String
    /// The definition, and the name by which it counts as given, for each key in lower case; sections with a slash.
    private let keys: [String: (definition: FlagDefinition, name: String)]
    private let sections: Set<String>

    /// Reads the text of `file` into `settings`.
    static func read(_ text: String, file: String, into settings: Settings) {
        guard text.utf8.count <= longest else {
            settings.note("\(file): the file is longer than \(longest) bytes")
            return
        }
        let root: Node?
        do {
            // A mark of the byte order is none of the text.
            root = try compose(yaml: text.hasPrefix("\u{feff}") ? String(text.dropFirst()) : text)
        } catch let error as YamlError {
            settings.note("\(file): \(Self.explanation(error))")
            return
        } catch {
            settings.note("\(file): \(error)")
            return
        }
        guard let root else { return }
        guard case .mapping(let mapping) = root else {
            if root.scalar?.string.isEmpty != true {
                settings.note("\(file): the file is no mapping of keys to values")
            }
            return
        }
        FileReading(settings, file).read(mapping, path: [])
    }

    private init(_ settings: Settings, _ file: String) {
        self.settings = settings
        self.file = file
        settings.file = file
        var keys: [String: (FlagDefinition, String)] = [:]
        var sections: Set<String> = []
        for definition in Set(settings.definitions.values.map(\.name)).compactMap({ settings.definitions[$0] }) {
            guard let path = definition.filePath else { continue }
            for path in [path] + definition.otherFilePaths {
                keys[Self.key(path)] = (definition, definition.name)
                for count in 1..<max(1, path.count) { sections.insert(Self.key(Array(path.prefix(count)))) }
            }
            for name in definition.formerNames { keys[Self.key([name])] = (definition, name) }
        }
        self.keys = keys
        self.sections = sections
    }

    /// Keys are compared without regard to case, as Go's JSON decoder does.
    private static func key(_ path: [String]) -> String {
        path.map { $0.lowercased() }.joined(separator: "/")
    }

    private func read(_ mapping: Node.Mapping, path: [String]) {
        for (keyNode, value) in mapping {
            let line = keyNode.mark?.line ?? 0
            guard let name = keyNode.scalar?.string else {
                settings.note("\(file):\(line): a key is no plain text")
                continue
            }
            let key = Self.key(path + [name])
            if sections.contains(key) {
                if case .mapping(let section) = value {
                    read(section, path: path + [name])
                } else if !Self.isNull(value) {
                    settings.note("\(file):\(line): the value of \"\(name)\" must be a section of its own")
                }
            } else if let (definition, given) = keys[key] {
                take(value, for: definition, named: given, shown: name, line: line)
            } else {
                settings.note("\(file):\(line): unknown key \"\(name)\"\(hint(name, path))")
            }
        }
    }

    /// Where a key belongs that stands in the wrong place.
    private func hint(_ name: String, _ path: [String]) -> String {
        guard path.isEmpty, let definition = settings.definitions[name.lowercased()] else { return "" }
        guard let place = definition.filePath, place.count > 1 else { return "; it is a flag only" }
        let section = place.dropLast().joined(separator: ".")
        return "; write \"\(place[place.count - 1])\" under \"\(section)\""
    }

    private static func isNull(_ node: Node) -> Bool {
        guard let scalar = node.scalar, isPlain(scalar) else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
    }

    /// Whether a text stands without quotes, so that it may be something else than a text.
    private static func isPlain(_ scalar: Node.Scalar) -> Bool { scalar.style == .plain || scalar.style == .any }

    private func take(_ node: Node, for definition: FlagDefinition, named name: String, shown: String, line: Int) {
        if Self.isNull(node) { return }
        func set(_ text: String, list: [String]? = nil) {
            settings.set(name, .init(name: name, text: text, list: list, source: .file(line: line)))
        }
        func refuse(_ expected: String) {
            let found = definition.isSecret ? "something else" : Self.description(node)
            settings.note("\(file):\(line): the value of \"\(shown)\" must be \(expected), not \(found)")
        }
        switch definition.kind {
        case .toggle:
            guard let isOn = Self.bool(node) else { return refuse("true or false") }
            set(String(isOn))
        case .unsigned, .signed:
            guard let scalar = node.scalar, Self.isPlain(scalar), let number = Self.wholeNumber(scalar.string) else {
                return refuse("a whole number")
            }
            set(number)
        case .duration:
            guard let scalar = node.scalar else { return refuse("a number of nanoseconds or a text such as 5s") }
            set(Self.wholeNumber(scalar.string).map { "\($0)ns" } ?? scalar.string)
        case .list(let form):
            if form != .text, case .sequence(let elements) = node {
                let texts = elements.compactMap { $0.scalar?.string }
                guard texts.count == elements.count else { return refuse("a list of texts") }
                return set(texts.joined(separator: ","), list: texts)
            }
            guard form != .sequence, let scalar = node.scalar else {
                return refuse(form == .text ? "a text" : "a list of texts")
            }
            set(scalar.string)
        case .choice where node.scalar?.string.isEmpty == true:
            // As in etcd, an empty choice leaves it to the default.
            return
        case .text, .urls, .choice, .ignored:
            guard let scalar = node.scalar else { return refuse("a text") }
            set(scalar.string)
        }
    }

    private static func bool(_ node: Node) -> Bool? {
        guard let scalar = node.scalar, isPlain(scalar) else { return nil }
        switch scalar.string {
        case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y": return true
        case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N": return false
        default: return nil
        }
    }

    /// Beyond it a number with a point or an exponent may not be exact.
    private static let largestExact = 1e15

    /// A whole number in any of YAML's forms, in decimal digits or with the leading zero of an octal one; nil when it is
    /// none.
    private static func wholeNumber(_ text: String) -> String? {
        let plain = text.replacing("_", with: "")
        let isNegative = plain.hasPrefix("-")
        let rest = isNegative || plain.hasPrefix("+") ? plain.dropFirst() : plain[...]
        guard let first = rest.utf8.first, first >= 0x30 && first <= 0x39 || first == 0x2e else { return nil }
        let sign = isNegative ? "-" : ""
        if rest.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) { return sign + rest }
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where rest.hasPrefix(prefix) {
            return UInt64(rest.dropFirst(2), radix: radix).map { sign + String($0) }
        }
        guard let value = Double(rest), value < largestExact, value == value.rounded() else { return nil }
        return sign + String(UInt64(value))
    }

    private static func description(_ node: Node) -> String {
        switch node {
        case .scalar(let scalar): "\"\(scalar.string)\""
        case .mapping: "a section"
        case .sequence: "a list"
        case .alias: "an alias"
        }
    }

    private static func explanation(_ error: YamlError) -> String {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            "line \(mark.line): \(problem)"
        case .duplicatedKeysInMapping(let duplicates, _):
            "the key \(duplicates.map { "\"\($0)\"" }.joined(separator: ", ")) stands there more than once"
        default:
            "\(error)"
        }
    }
}
