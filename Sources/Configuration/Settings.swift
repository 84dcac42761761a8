import Membership

/// What a member was told, by whichever way, and the mistakes found while it is read.
///
/// Each reading function answers with the default when the value given cannot be used, and notes the mistake: so one
/// run finds them all.
final class Settings {
    /// Where a value comes from.
    enum Source: Equatable {
        case argument
        case environment
        case file(line: Int)
    }

    /// A value as it was given.
    struct Value {
        /// The name that was used: the flag's own, or a former one.
        var name: String
        var text: String
        /// The elements, when they stand one by one.
        var list: [String]?
        var source: Source
    }

    /// All definitions by each of their names.
    let definitions: [String: FlagDefinition]
    /// What was given, by the name that was used.
    private(set) var given: [String: Value] = [:]
    /// The names whose values could not be used.
    private(set) var refused: Set<String> = []
    private(set) var mistakes: [InvalidConfiguration.Mistake] = []
    /// The file that all comes from, when there is one.
    var file: String?

    init(_ definitions: [FlagDefinition]) {
        var byName: [String: FlagDefinition] = [:]
        for definition in definitions {
            for name in definition.names {
                precondition(byName.updateValue(definition, forKey: name) == nil, "the flag \(name) is defined twice")
            }
        }
        self.definitions = byName
    }

    func set(_ name: String, _ value: Value) {
        given[name] = value
    }

    func forgetAll() {
        given = [:]
    }

    func note(_ text: String, isUsage: Bool = false) {
        mistakes.append(.init(text: text, isUsage: isUsage))
    }

    /// Whether the flag was given under any of its names.
    func isGiven(_ name: String) -> Bool { value(of: name) != nil }

    /// What was given for a flag. A name that it had as an experiment goes before its own, as in etcd.
    func value(of name: String) -> Value? {
        let definition = definition(name)
        for former in definition.formerNames {
            if let value = given[former] { return value }
        }
        return given[definition.name]
    }

    private func definition(_ name: String) -> FlagDefinition {
        guard let definition = definitions[name] else { preconditionFailure("the flag \(name) is not defined") }
        return definition
    }

    // MARK: Values

    func text(_ name: String) -> String {
        value(of: name)?.text ?? definition(name).fallback
    }

    func isOn(_ name: String) -> Bool {
        read(name, GoNumber.bool) { "parse error" }
    }

    func number<Number: FixedWidthInteger>(_ name: String) -> Number {
        var reason = ""
        return read(name) { (text: String) -> Number? in
            switch Self.number(text, definition(name).kind) as Result<Number, GoNumber.Failure> {
            case .success(let number): return number
            case .failure(let failure):
                reason = failure.text
                if definition(name).kind == .unsigned(upTo: UInt64(UInt32.max)) {
                    // A type of etcd's own reads this one, and says what strconv says.
                    reason = "strconv.ParseUint: parsing \"\(text)\": \(failure.strconvText)"
                }
                return nil
            }
        } reason: {
            reason
        }
    }

    private static func number<Number: FixedWidthInteger>(
        _ text: String, _ kind: FlagDefinition.Kind
    ) -> Result<Number, GoNumber.Failure> {
        if case .unsigned(let limit) = kind {
            return (GoNumber.integer(text) as Result<UInt64, GoNumber.Failure>).flatMap { number in
                guard number <= limit, let fitting = Number(exactly: number) else { return .failure(.range) }
                return .success(fitting)
            }
        }
        return (GoNumber.integer(text) as Result<Int64, GoNumber.Failure>).flatMap { number in
            Number(exactly: number).map { .success($0) } ?? .failure(.range)
        }
    }

    /// A span of time in nanoseconds.
    func nanoseconds(_ name: String) -> Int64 {
        var reason = "parse error"
        return read(name) { (text: String) -> Int64? in
            guard let value = GoDuration.nanoseconds(text) else { return nil }
            guard value >= 0 else {
                reason = "it is negative"
                return nil
            }
            return value
        } reason: {
            reason
        }
    }

    /// A span of time in whole milliseconds; what is shorter than one counts as one.
    func milliseconds(_ name: String) -> Int64 {
        let nanoseconds = nanoseconds(name)
        return nanoseconds == 0 ? 0 : max(1, nanoseconds / 1_000_000)
    }

    func choice(_ name: String) -> String {
        guard case .choice(let values) = definition(name).kind else {
            preconditionFailure("the flag \(name) is no choice")
        }
        return read(name, { values.contains($0) ? $0 : nil }, reason: { "invalid value" })
    }

    /// The elements of a list without empty ones; each once, in the order given.
    func list(_ name: String) -> [String] {
        let elements = value(of: name)?.list ?? text(name).split(separator: ",").map(String.init)
        var seen: Set<String> = []
        return elements.filter { !$0.isEmpty && seen.insert($0).inserted }
    }

    /// The URLs of a flag; `*` stands for itself where `wildcard` says so.
    func urls(_ name: String) -> [ServiceURL] {
        var reason = ""
        return read(name) { (text: String) -> [ServiceURL]? in
            var urls: [ServiceURL] = []
            for part in text.split(separator: ",", omittingEmptySubsequences: false) where !text.isEmpty {
                do throws(ServiceURL.Invalid) {
                    let url = try ServiceURL(parsing: String(part.trimmed))
                    if !urls.contains(url) { urls.append(url) }
                } catch {
                    reason = error.description
                    return nil
                }
            }
            return urls
        } reason: {
            reason
        }
    }

    /// What `parse` makes of the value given; of the default when it makes nothing of it, which is noted.
    private func read<Result>(
        _ name: String, _ parse: (String) -> Result?, reason: () -> String
    ) -> Result {
        let definition = definition(name)
        if let given = value(of: name) {
            if let result = parse(given.text) { return result }
            refuse(given, reason())
        }
        guard let standard = parse(definition.fallback) else {
            preconditionFailure("the default of the flag \(name) is none of its values")
        }
        return standard
    }

    /// Notes that a value cannot be used, in the words that etcd has for the way by which it came.
    func refuse(_ value: Value, _ reason: String) {
        refused.insert(value.name)
        let shown = definition(value.name).isSecret ? "(hidden)" : value.text
        switch value.source {
        case .argument where definition(value.name).kind == .toggle:
            note("invalid boolean value \"\(shown)\" for -\(value.name): \(reason)", isUsage: true)
        case .argument:
            note("invalid value \"\(shown)\" for flag -\(value.name): \(reason)", isUsage: true)
        case .environment:
            note("invalid value \"\(shown)\" for \(FlagDefinition.environmentName(value.name)): \(reason)")
        case .file(let line):
            note("\(file ?? "the configuration file"):\(line): invalid value \"\(shown)\" for \(value.name): \(reason)")
        }
    }
}

extension Substring {
    /// The text without spaces around it.
    var trimmed: Substring {
        var rest = self
        while rest.first == " " { rest.removeFirst() }
        while rest.last == " " { rest.removeLast() }
        return rest
    }
}
