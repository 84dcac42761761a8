import FoundationEssentials
import GRPC
import Testing

@testable import Coordination

/// The keys by which clients of etcd and the services stand in one line, and how many may wait.
@Suite struct WaitingLineTests {
    @Test(
        arguments: [
            (1, "lock/1"), (0x694d_a1fd_6984_b407, "lock/694da1fd6984b407"), (-77, "lock/-4d"),
            (.max, "lock/7fffffffffffffff"), (.min, "lock/-8000000000000000"),
        ] as [(Int64, String)])
    func aKeyIsTheNameAndTheLease(lease: Int64, key: String) {
        #expect(LineKeys(of: Data("lock".utf8)).key(of: lease) == Data(key.utf8))
    }

    @Test func theRangeHoldsAllKeysOfTheNameAndNoOthers() {
        for name in ["", "a", "a/b", "\u{7f}"] {
            let line = LineKeys(of: Data(name.utf8))
            for lease: Int64 in [0, 1, -1, .max, .min] {
                let key = line.key(of: lease)
                #expect(!key.lexicographicallyPrecedes(line.prefix) && key.lexicographicallyPrecedes(line.end))
            }
            #expect(!Data((name + "0").utf8).lexicographicallyPrecedes(line.end))
            #expect(Data(name.utf8).lexicographicallyPrecedes(line.prefix))
        }
    }

    @Test func onlySoManyMayWait() {
        let calls = WaitingCalls(limit: 3)
        #expect(
            [calls.enter(), calls.enter(), calls.enter(), calls.enter(), calls.enter()] == [
                true, true, true, false, false,
            ])
        calls.leave()
        #expect(calls.enter())
        #expect(!calls.enter())
    }

    @Test func errorsBecomeWhatEtcdSaysOfThem() {
        #expect(WaitingCalls.status(Status(.unknown, "election: no leader")) == Status(.unknown, "election: no leader"))
        #expect(WaitingCalls.status(CancellationError()).code == .cancelled)
    }
}
