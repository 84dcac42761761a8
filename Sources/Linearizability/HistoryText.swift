/// The text of a history. One line is one operation:
///
///     swift-etcd history 1
///     # client called returned operation => outcome
///     w1 1000 2500 put x 5 => ok rev=7
///     w2 1200 - put x 6 => unknown
///     w3 1300 1400 put x 7 => failed
///     r1 2600 2700 get x => 5@7 rev=7
///     r2 2600 2800 sget y => nil rev=6
///     w1 2900 3000 delete x => 1 rev=8
///     w1 3100 3200 cas x nil 9 => true rev=9
///     w2 3300 3400 txn if x=9 y=nil then put y 1 ; get x else get y => true ok 9@9 rev=10
///
/// - Times are whole numbers of any unit by one clock; `-` where no answer came.
/// - `sget` is a serializable read. `cas KEY EXPECTED NEW` answers whether it was done.
/// - `txn` has conditions `KEY=VALUE` behind `if`, and accesses (`put`, `get`, `delete`), divided by `;`, behind `then` and
///   `else`; each part may be left out. It answers whether the conditions held and then one result for each access.
/// - A result is `ok` for a put, a count for a delete, and for a read `VALUE` or `VALUE@REVISION` of the last change, `nil`
///   where there is no such key. `rev=` is the store's revision of the answer; it may be left out.
/// - The outcome `unknown` means that the operation may be done at any time after its call or never, `failed` that it is
///   never done.
/// - Keys and values are single words. Bytes that the format needs (space, `%`, `@`, `=`, `;`, `#`, `'`), control
///   characters and non-ASCII bytes are written `%20`; the empty word is `''`, the word nil `%6eil`.
/// - Lines that are empty or begin with `#` say nothing.
public struct HistoryTextError: Error, Equatable, CustomStringConvertible {
    /// Counted from 1.
    public var line: Int
    public var reason: String

    public var description: String { "line \(line): \(reason)" }
}

extension History {
    static let heading = "swift-etcd history 1"

    /// Lines longer than this are refused: no operation that a test makes comes near.
    static let longestLine = 1 << 20

    /// Reads the text. Throws `HistoryTextError`.
    public init(text: String) throws {
        var operations: [HistoryOperation] = []
        var isFirst = true
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            var words = HistoryLine(line: number + 1, line)
            if line.utf8.count > Self.longestLine { throw words.error("longer than \(Self.longestLine) bytes") }
            if isFirst {
                guard line == Self.heading else { throw words.error("the first line is not \"\(Self.heading)\"") }
                isFirst = false
            } else if !words.isEmpty {
                operations.append(try words.operation())
            }
        }
        self.init(operations)
    }

    /// Reads the text's bytes. Throws `HistoryTextError`.
    public init(bytes: [UInt8]) throws {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw HistoryTextError(line: 1, reason: "the file is not UTF-8")
        }
        try self.init(text: text)
    }

    /// The text, which reads back as this history.
    public var text: String {
        var text = Self.heading + "\n"
        for operation in operations { text += operation.text + "\n" }
        return text
    }
}

// MARK: - Reading

/// A line as words that are taken one by one.
private struct HistoryLine {
    let line: Int
    private var words: ArraySlice<Substring>

    init(line: Int, _ text: Substring) {
        self.line = line
        words = text.split(whereSeparator: { $0 == " " || $0 == "\t" })[...]
        if words.first?.hasPrefix("#") == true { words = [] }
    }

    var isEmpty: Bool { words.isEmpty }

    func error(_ reason: String) -> HistoryTextError {
        HistoryTextError(line: line, reason: reason)
    }

    private mutating func next(_ what: String) throws -> Substring {
        guard let word = words.popFirst() else { throw error("\(what) is missing") }
        return word
    }

    private mutating func take(_ word: String) -> Bool {
        guard words.first == word[...] else { return false }
        words.removeFirst()
        return true
    }

    mutating func operation() throws -> HistoryOperation {
        let client = try decoded(try next("the client"))
        let invoked = try time(try next("the time of the call"))
        let word = try next("the time of the answer")
        let returned = word == "-" ? nil : try time(word)
        if let returned, returned < invoked { throw error("the answer came before the call") }
        let action = try action()
        guard take("=>") else { throw error("\"=>\" is missing") }
        let outcome = try outcome(of: action)
        if returned == nil, case .completed = outcome {
            throw error("an outcome without the time at which it was known")
        }
        if let extra = words.first { throw error("\"\(extra)\" is too much") }
        return HistoryOperation(
            client: client, invoked: invoked, returned: returned, action: action, outcome: outcome)
    }

    private func time(_ word: Substring) throws -> Int64 {
        guard let time = Int64(word) else { throw error("\"\(word)\" is not a time") }
        return time
    }

    private mutating func action() throws -> HistoryAction {
        let name = try next("the operation")
        switch name {
        case "sget": return .serializableGet(key: try decoded(try next("a key")))
        case "cas":
            let key = try decoded(try next("a key"))
            let expected = try optionalValue(try next("the expected value"))
            return .compareAndSet(key: key, expected: expected, new: try decoded(try next("the new value")))
        case "txn": return .transaction(try transaction())
        default: return .access(try access(name))
        }
    }

    private mutating func access(_ name: Substring) throws -> Access {
        switch name {
        case "put": return .put(key: try decoded(try next("a key")), value: try decoded(try next("a value")))
        case "get": return .get(key: try decoded(try next("a key")))
        case "delete": return .delete(key: try decoded(try next("a key")))
        default: throw error("\"\(name)\" is no operation")
        }
    }

    private mutating func transaction() throws -> Transaction {
        var transaction = Transaction()
        if take("if") {
            while let word = words.first, word != "then", word != "else", word != "=>" {
                words.removeFirst()
                guard let equals = word.firstIndex(of: "=") else { throw error("\"\(word)\" is no condition") }
                transaction.conditions.append(
                    Condition(
                        key: try decoded(word[..<equals]), value: try optionalValue(word[word.index(after: equals)...]))
                )
            }
        }
        if take("then") { transaction.then = try accesses() }
        if take("else") { transaction.otherwise = try accesses() }
        return transaction
    }

    private mutating func accesses() throws -> [Access] {
        var accesses: [Access] = []
        repeat { accesses.append(try access(try next("an access"))) } while take(";")
        return accesses
    }

    private mutating func outcome(of action: HistoryAction) throws -> HistoryOutcome {
        if take("unknown") { return .unknown }
        if take("failed") { return .failed }
        var completion = Completion()
        let transaction = action.transaction
        switch action {
        case .access, .serializableGet:
            completion.results = try results(transaction.then)
        case .compareAndSet:
            completion.succeeded = try truth()
            if completion.succeeded { completion.results = [.put] }
        case .transaction:
            completion.succeeded = try truth()
            completion.results = try results(completion.succeeded ? transaction.then : transaction.otherwise)
        }
        if let word = words.first, word.hasPrefix("rev=") {
            words.removeFirst()
            completion.revision = try revision(word.dropFirst(4))
        }
        return .completed(completion)
    }

    private mutating func truth() throws -> Bool {
        let word = try next("true or false")
        guard let value = Bool(String(word)) else { throw error("\"\(word)\" is neither true nor false") }
        return value
    }

    private func revision(_ word: Substring) throws -> Int64 {
        guard let revision = Int64(word), revision >= 0 else { throw error("\"\(word)\" is not a revision") }
        return revision
    }

    private mutating func results(_ accesses: [Access]) throws -> [AccessResult] {
        var results: [AccessResult] = []
        for access in accesses {
            let word = try next("the result of an access")
            switch access {
            case .put:
                guard word == "ok" else { throw error("a put answers \"ok\", not \"\(word)\"") }
                results.append(.put)
            case .delete:
                guard let count = Int(word), count >= 0 else { throw error("\"\(word)\" is not a count") }
                results.append(.deleted(count))
            case .get:
                let parts = word.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
                results.append(
                    .value(
                        try optionalValue(parts[0]), modRevision: parts.count == 2 ? try revision(parts[1]) : nil))
            }
        }
        return results
    }

    private func optionalValue(_ word: Substring) throws -> String? {
        word == "nil" ? nil : try decoded(word)
    }

    private func decoded(_ word: Substring) throws -> String {
        if word == "''" { return "" }
        if word.isEmpty { throw error("an empty word is written ''") }
        guard word.contains("%") else { return String(word) }
        var bytes: [UInt8] = []
        var rest = word.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            rest = rest.dropFirst(2)
            guard digits.count == 2, digits.first != UInt8(ascii: "+"),
                let value = UInt8(String(Substring(digits)), radix: 16)
            else { throw error("\"\(word)\" has a % without two hexadecimal digits") }
            bytes.append(value)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw error("\"\(word)\" is not UTF-8") }
        return text
    }
}

// MARK: - Writing

extension HistoryOperation {
    /// The operation as a line.
    public var text: String {
        let times = "\(invoked) \(returned.map(String.init) ?? "-")"
        return "\(encoded(client)) \(times) \(action.text) => \(outcome.text(of: action))"
    }
}

extension HistoryAction {
    var text: String {
        switch self {
        case .access(let access): return access.text
        case .serializableGet(let key): return "sget \(encoded(key))"
        case .compareAndSet(let key, let expected, let new):
            return "cas \(encoded(key)) \(encoded(expected)) \(encoded(new))"
        case .transaction(let transaction):
            var text = "txn"
            if !transaction.conditions.isEmpty { text += " if" }
            for condition in transaction.conditions { text += " \(encoded(condition.key))=\(encoded(condition.value))" }
            for (word, accesses) in [("then", transaction.then), ("else", transaction.otherwise)]
            where !accesses.isEmpty {
                text += " \(word) " + accesses.map(\.text).joined(separator: " ; ")
            }
            return text
        }
    }
}

extension Access {
    var text: String {
        switch self {
        case .put(let key, let value): "put \(encoded(key)) \(encoded(value))"
        case .get(let key): "get \(encoded(key))"
        case .delete(let key): "delete \(encoded(key))"
        }
    }
}

extension HistoryOutcome {
    func text(of action: HistoryAction) -> String {
        switch self {
        case .unknown: return "unknown"
        case .failed: return "failed"
        case .completed(let completion):
            var words: [String] = []
            switch action {
            case .access, .serializableGet: break
            case .compareAndSet, .transaction: words.append("\(completion.succeeded)")
            }
            if case .compareAndSet = action {} else { words += completion.results.map(\.text) }
            if let revision = completion.revision { words.append("rev=\(revision)") }
            return words.joined(separator: " ")
        }
    }
}

extension AccessResult {
    var text: String {
        switch self {
        case .put: "ok"
        case .deleted(let count): "\(count)"
        case .value(let value, let modRevision): encoded(value) + (modRevision.map { "@\($0)" } ?? "")
        }
    }
}

private func encoded(_ word: String?) -> String {
    guard let word else { return "nil" }
    if word.isEmpty { return "''" }
    if word == "nil" { return "%6eil" }
    var text = ""
    for byte in word.utf8 {
        if byte > 0x20, byte < 0x7F, !"%@=;#'".utf8.contains(byte) {
            text.unicodeScalars.append(Unicode.Scalar(byte))
        } else {
            let digits = String(byte, radix: 16)
            text += digits.count == 1 ? "%0\(digits)" : "%\(digits)"
        }
    }
    return text
}
