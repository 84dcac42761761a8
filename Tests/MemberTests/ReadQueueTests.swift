import Testing

@testable import Member

/// Which reads share a round, and what releases them.
///
/// | command | what it does |
/// | --- | --- |
/// | `add 1 2` | reads come |
/// | `ask 0` | what the leader is asked for at 0 ms; `ask 0 alone`: there is no leader |
/// | `confirm 1 at 5` | the leader says 5 to the context 1 |
/// | `applied 5` | which reads are ready when 5 is applied |
/// | `expire 100` | which reads are given up at 100 ms |
/// | `late 100` | which confirmed reads are given up at 100 ms |
/// | `lose` | the leader is lost: which reads fail |
/// | `commit` | the leader has committed its first entry |
/// | `counts` | how many rounds were slow, and how many failed |
@Suite struct ReadQueueTests {
    private static let timeout: Int64 = 2_000

    private func check(_ script: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        var queue = ReadQueue(seed: 0)
        var actual: [String] = []
        for line in script.split(separator: "\n") {
            let command = line.prefix { $0 != ":" }.trimmingSpaces()
            let words = command.split(separator: " ")
            let numbers = words.compactMap { Int64($0) }
            var result = ""
            switch words[0] {
            case "add": for token in numbers { queue.add(UInt64(token)) }
            case "ask":
                queue.noteTime(numbers[0], timeout: Self.timeout)
                if !words.contains("alone") { result = "\(queue.contextsToAsk(now: numbers[0]))" }
            case "confirm": queue.confirm(UInt64(numbers[0]), index: UInt64(numbers[1]))
            case "applied": result = "\(queue.takeReady(applied: UInt64(numbers[0])))"
            case "expire": result = "\(queue.takeExpired(now: numbers[0]))"
            case "late": result = "\(queue.takeUnapplied(now: numbers[0]))"
            case "lose": result = "\(queue.takeAsked())"
            case "commit": queue.leaderCommitted()
            case "counts": result = "\(queue.slowRounds) \(queue.failedRounds)"
            case "empty": result = "\(queue.isEmpty)"
            default: Issue.record("no command: \(line)", sourceLocation: sourceLocation)
            }
            actual.append(result.isEmpty ? command : "\(command): \(result)")
        }
        #expect(actual.joined(separator: "\n") == script, sourceLocation: sourceLocation)
    }

    @Test func readsThatComeTogetherShareARound() throws {
        try check(
            """
            empty: true
            add 1 2
            empty: false
            ask 0: [1]
            ask 0: []
            add 3
            ask 10: [2]
            confirm 1 at 7
            applied 6: []
            applied 7: [1, 2]
            confirm 2 at 8
            applied 9: [3]
            empty: true
            """)
    }

    @Test func aLaterRoundNeverWaitsForLessThanAnEarlierOne() throws {
        try check(
            """
            add 1
            ask 0: [1]
            add 2
            ask 0: [2]
            confirm 1 at 9
            confirm 2 at 8
            applied 8: []
            applied 9: [1, 2]
            """)
    }

    @Test func aRoundWithoutAnAnswerIsAskedForAgain() throws {
        try check(
            """
            add 1
            ask 0: [1]
            ask 499: []
            ask 500: [2]
            confirm 1 at 5
            applied 5: []
            confirm 2 at 6
            confirm 2 at 3
            applied 6: [1]
            """)
    }

    @Test func readsAreGivenUpWhenTheirTimeIsOver() throws {
        try check(
            """
            add 1
            ask 0: [1]
            add 2
            ask 100: [2]
            expire 1999: []
            expire 2000: [1]
            confirm 1 at 5
            confirm 2 at 5
            expire 9999: []
            applied 5: [2]
            """)
    }

    @Test func readsWaitForALeaderAndNotForEver() throws {
        try check(
            """
            add 1
            ask 0 alone
            add 2
            ask 600 alone
            expire 1999: []
            expire 2000: [1, 2]
            add 3
            ask 2100 alone
            add 4
            ask 2200: [1]
            expire 4099: []
            confirm 1 at 4
            applied 4: [3, 4]
            empty: true
            """)
    }

    @Test func readsThatALostLeaderWasAskedAboutFailAtOnce() throws {
        try check(
            """
            add 1
            ask 0: [1]
            confirm 1 at 5
            add 2 3
            ask 10: [2]
            add 4
            lose: [2, 3]
            counts: 0 1
            applied 5: [1]
            ask 20: [3]
            confirm 2 at 6
            applied 6: []
            confirm 3 at 6
            applied 6: [4]
            counts: 1 1
            empty: true
            """)
    }

    @Test func aLeaderThatDroppedTheQuestionIsAskedAgainOnceItHasCommitted() throws {
        try check(
            """
            add 1
            ask 0: [1]
            commit
            ask 10: [2]
            ask 11: []
            confirm 2 at 4
            applied 4: [1]
            """)
    }

    @Test func confirmedReadsDoNotWaitForEverForTheirEntries() throws {
        try check(
            """
            add 1
            ask 0: [1]
            confirm 1 at 5
            add 2
            ask 1000: [2]
            confirm 2 at 4
            late 1999: []
            late 2000: [1]
            applied 4: []
            applied 5: [2]
            empty: true
            """)
    }

    @Test func aRoundIsNotAskedForWhileThereIsNoLeader() throws {
        try check(
            """
            add 1
            ask 0: [1]
            ask 700 alone
            ask 800: [2]
            expire 2000: [1]
            empty: true
            """)
    }
}

extension StringProtocol {
    fileprivate func trimmingSpaces() -> String {
        var text = Substring(self)
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
