import Membership
import Testing

/// What etcd's strict check lets pass.
@Suite struct ReconfigurationCheckTests {
    /// A cluster in words: one for each member, its id being its place: `started`, `new`, and `learner`; a `-` behind it
    /// says that it is not connected, a `~` that it is only just.
    private func check(_ members: String, own: UInt64 = 1) -> ReconfigurationCheck {
        let now: Int64 = 100_000
        var list: [Member] = []
        var since: [UInt64: Int64] = [:]
        for (index, word) in members.split(separator: " ").enumerated() {
            let id = UInt64(index + 1)
            list.append(
                Member(
                    id: id, name: word.hasPrefix("new") ? "" : "m\(id)", peerURLs: ["http://m\(id):1"],
                    isLearner: word.hasPrefix("learner")))
            if !word.hasSuffix("-") { since[id] = word.hasSuffix("~") ? now - 4_999 : 1_000 }
        }
        return ReconfigurationCheck(Cluster(id: 9, members: list), ownID: own, now: now) { since[$0] }
    }

    private func refusal(_ body: () throws(Cluster.Refusal) -> Void) -> Cluster.Refusal? {
        do throws(Cluster.Refusal) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    @Test(
        arguments: [
            // A second member beside one that is alone: the two then need each other, but there is no other way.
            ("started", nil),
            ("started started started", nil),
            // Three of four must have started.
            ("started started new-", .notEnoughStarted),
            ("started new-", .notEnoughStarted),
            ("started started started-", .unhealthy),
            ("started started started~", .unhealthy),
            // Learners count for nothing here.
            ("started started started learner-", nil),
        ] as [(String, Cluster.Refusal?)])
    func addingAVoter(members: String, expected: Cluster.Refusal?) {
        let check = check(members)
        #expect(refusal { () throws(Cluster.Refusal) in try check.add(isLearner: false) } == expected)
    }

    @Test(
        arguments: [
            ("started", nil), ("started started new", nil), ("started started new-", .unhealthy),
            ("started started started~", .unhealthy),
        ] as [(String, Cluster.Refusal?)])
    func addingALearner(members: String, expected: Cluster.Refusal?) {
        let check = check(members)
        #expect(refusal { () throws(Cluster.Refusal) in try check.add(isLearner: true) } == expected)
    }

    @Test(
        arguments: [
            ("started started started", 3, nil),
            // One that is down is no part of the quorum that works.
            ("started started started-", 3, nil),
            // But of the two that are left both are needed.
            ("started started started-", 2, .unhealthy),
            ("started started started-", 1, .unhealthy),
            ("started started started~", 2, .unhealthy),
            ("started started started started started-", 2, nil),
            ("started", 1, .notEnoughStarted),
            ("started started", 1, nil),
            ("started new-", 2, nil),
            ("started new-", 1, .notEnoughStarted),
            ("started started new- new-", 1, .notEnoughStarted),
            ("started learner-", 2, nil),
            ("started started started", 7, nil),
        ] as [(String, UInt64, Cluster.Refusal?)])
    func removing(members: String, id: UInt64, expected: Cluster.Refusal?) {
        let check = check(members)
        #expect(refusal { () throws(Cluster.Refusal) in try check.remove(id) } == expected)
    }

    @Test(
        arguments: [
            ("started learner", nil), ("started new- learner", nil), ("started new- new- learner", .notEnoughStarted),
        ] as [(String, Cluster.Refusal?)])
    func promoting(members: String, expected: Cluster.Refusal?) {
        let check = check(members)
        #expect(refusal { () throws(Cluster.Refusal) in try check.promote() } == expected)
    }

    @Test(arguments: [(0, 10, false), (8, 10, false), (9, 10, true), (10, 10, true), (0, 0, true), (899, 1000, false)])
    func aLearnerIsReadyWithNineTenthsOfTheLog(match: UInt64, leader: UInt64, isReady: Bool) {
        let refusal = refusal { () throws(Cluster.Refusal) in
            try ReconfigurationCheck.learner(match: match, leaderMatch: leader)
        }
        #expect(refusal == (isReady ? nil : .learnerNotReady))
    }
}
