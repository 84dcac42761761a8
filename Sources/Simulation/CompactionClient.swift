import EtcdAPI

/// A client that compacts the history now and then.
final class CompactionClient: SimulatedClient {
    override func begin() {
        afterPause(around: 1_000_000) { [self] in
            let target = world.newestRevision - random.within(0...80)
            let physical = random.one(in: 2)
            if target > 0 {
                call { process, reply in
                    process.propose(
                        .compaction, Requests.compaction(target, physical: physical), takesSpace: false, reply: reply)
                } completion: { [self] outcome in
                    guard case .success = outcome else { return move() }
                    world.recorder.check(
                        world.observer.model.compactedRevision >= target,
                        "c\(number) compacted at \(target), the model only at \(world.observer.model.compactedRevision)"
                    )
                }
            }
            begin()
        }
    }
}
