import Linearizability
import Testing

@Suite("Known histories")
struct KnownHistoriesTests {
    @Test("are linearizable", arguments: KnownHistory.good)
    func good(known: KnownHistory) throws {
        let check = HistoryCheck(try History(text: known.text))
        #expect(check.isLinearizable, "\(check.violations)")
    }

    @Test("are not linearizable, and the part that is shown is not either", arguments: KnownHistory.bad)
    func bad(known: KnownHistory) throws {
        let check = HistoryCheck(try History(text: known.text), ignoringRevisions: true)
        let violation = try #require(check.violations.first)
        #expect(check.undecided.isEmpty)
        #expect(!HistoryCheck(try History(text: violation.history.text), ignoringRevisions: true).isLinearizable)
    }

    @Test("have values that fit and revisions that do not", arguments: KnownHistory.badByRevision)
    func badByRevision(known: KnownHistory) throws {
        let history = try History(text: known.text)
        #expect(HistoryCheck(history, ignoringRevisions: true).isLinearizable)
        let violation = try #require(HistoryCheck(history).violations.first)
        #expect(!HistoryCheck(try History(text: violation.history.text)).isLinearizable)
    }

    @Test("A violation names the keys, the order that was found and what could not come next")
    func description() throws {
        let text = """
            swift-etcd history 1
            w 0 10 put x 1 => ok rev=2
            u 0 10 put z 1 => ok rev=3
            w 11 20 put x 2 => ok rev=4
            r 21 22 get x => 1
            w 23 24 put x 3 => ok rev=5
            """
        let check = HistoryCheck(try History(text: text))
        #expect(check.partitionCount == 2)
        let expected = """
            no order for the operations on x
              the longest order found has 2 operations and ends with
                w 0 10 put x 1 => ok rev=2
                w 11 20 put x 2 => ok rev=4
              then the state is
                x = 2
              and none of these can come next
                r 21 22 get x => 1
            """
        #expect(check.violations.map(\.description) == [expected])
        #expect(check.violations.map(\.history.operations.count) == [3])
    }

    @Test("Too small a limit leaves a history undecided")
    func undecided() throws {
        let lines = (0..<8).map { "c\($0) 0 100 put x \($0) => ok\n" }.joined()
        let history = try History(text: "swift-etcd history 1\n" + lines + "r 101 102 get x => 9\n")
        #expect(HistoryCheck(history, limit: 100).undecided == [["x"]])
        #expect(HistoryCheck(history).violations.count == 1)
    }
}
