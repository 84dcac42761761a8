import Linearizability
import Testing

@Suite("The text of a history")
struct HistoryTextTests {
    @Test("reads back as it was written", arguments: KnownHistory.good + KnownHistory.bad + KnownHistory.badByRevision)
    func roundTrip(known: KnownHistory) throws {
        let history = try History(text: known.text)
        #expect(history.text.trimmed == known.text.trimmed)
        #expect(try History(text: history.text) == history)
    }

    @Test("holds every word", arguments: ["", "nil", "a b", "50%", "x@y=z;#'", "\n\t\0", "ключ", "''", "=>", "then"])
    func words(word: String) throws {
        let history = History([
            HistoryOperation(
                client: word, invoked: 1, returned: 2, action: .access(.put(key: word, value: word)),
                outcome: .completed(Completion(results: [.put]))),
            HistoryOperation(
                client: word, invoked: 1, returned: 2,
                action: .transaction(
                    Transaction(
                        conditions: [Condition(key: word, value: word), Condition(key: word, value: nil)],
                        then: [.get(key: word)])),
                outcome: .completed(Completion(results: [.value(word, modRevision: 3)], revision: 4))),
            HistoryOperation(
                client: word, invoked: 1, returned: nil,
                action: .compareAndSet(key: word, expected: word, new: word), outcome: .unknown),
        ])
        #expect(try History(text: history.text) == history)
    }

    @Test(
        "is refused with the line and the reason",
        arguments: [
            ("x 0 1 get x => nil", "line 1: the first line is not \"swift-etcd history 1\""),
            ("x", "the time of the call is missing"),
            ("x 0", "the time of the answer is missing"),
            ("x zero 1 get x => nil", "\"zero\" is not a time"),
            ("x 2 1 get x => nil", "the answer came before the call"),
            ("x 0 1", "the operation is missing"),
            ("x 0 1 range x => nil", "\"range\" is no operation"),
            ("x 0 1 get x => nil nil", "\"nil\" is too much"),
            ("x 0 1 get x nil", "\"=>\" is missing"),
            ("x 0 1 get x =>", "the result of an access is missing"),
            ("x 0 - get x => nil", "an outcome without the time at which it was known"),
            ("x 0 1 put x 1 => 1", "a put answers \"ok\", not \"1\""),
            ("x 0 1 delete x => ok", "\"ok\" is not a count"),
            ("x 0 1 cas x 1 2 => ok", "\"ok\" is neither true nor false"),
            ("x 0 1 get x => 1@a", "\"a\" is not a revision"),
            ("x 0 1 get x => 1 rev=-1", "\"-1\" is not a revision"),
            ("x 0 1 get x%4 => 1", "\"x%4\" has a % without two hexadecimal digits"),
            ("x 0 1 get x%ff => 1", "\"x%ff\" is not UTF-8"),
            ("x 0 1 txn if x then get x => true 1", "\"x\" is no condition"),
            ("x 0 1 txn then get x ; => true 1", "\"=>\" is no operation"),
        ])
    func refused(line: String, reason: String) {
        let whole = reason.hasPrefix("line 1") ? line : "swift-etcd history 1\n# a comment\n\n" + line
        let error = #expect(throws: HistoryTextError.self) { try History(text: whole) }
        #expect(error?.description == (reason.hasPrefix("line 1") ? reason : "line 4: " + reason))
    }

    @Test("Bytes that are no text are refused")
    func notText() {
        #expect(throws: HistoryTextError.self) { try History(bytes: [0xFF, 0xFE]) }
        #expect(throws: HistoryTextError.self) { try History(bytes: []) }
    }
}

extension String {
    /// Without the line break at the end.
    fileprivate var trimmed: Substring {
        var text = self[...]
        while text.last == "\n" { text.removeLast() }
        return text
    }
}
