import Member
import Membership

/// The person who adds and removes members: asks for a change, and starts a member on a spare machine when the cluster
/// has it.
final class MembershipChanger {
    private unowned let world: World
    private var random: SimulationRandom
    private var isWatching = false
    /// No member is removed before this time.
    private var removesFrom: Int64 = 0
    /// Between two removals, in microseconds, so that one is over before the next.
    private static let removalInterval: Int64 = 4_000_000

    init(world: World) {
        self.world = world
        random = world.simulator.makeRandom()
    }

    /// Adds a member on a spare machine, as a voter or as a learner.
    func add() {
        watch()
        guard let spare = world.machines.first(where: { $0.memberID == 0 && $0.retired == nil }) else { return }
        let isLearner = random.one(in: 2)
        let urls = [World.url(spare.number)]
        let unixSeconds = world.simulator.now / 1_000_000
        ask { process in
            process.change({ core, now throws(MembershipChangeError) in
                try core.addMember(peerURLs: urls, isLearner: isLearner, unixSeconds: unixSeconds, now: now)
            }) { _ in }
        }
    }

    /// Removes some member, when there are more than in the beginning: of two members one that is removed may end before
    /// the other knows that it is alone, which then waits for it for ever. Raft has no remedy, and etcd none either.
    func remove() {
        watch()
        let voters = world.newestCluster?.members.values.count { !$0.isLearner } ?? 0
        guard voters > world.settings.members, world.simulator.now >= removesFrom else { return }
        removesFrom = world.simulator.now + Self.removalInterval
        remove(random.pick(world.members).memberID)
    }

    private func remove(_ id: UInt64) {
        ask { process in
            process.change({ core, now throws(MembershipChangeError) in try core.removeMember(id, now: now) }) { _ in }
        }
    }

    private func ask(_ body: @escaping (MemberProcess) -> Void) {
        random.pick(world.members).process?.send(.perform(body))
    }

    // MARK: What the cluster says

    /// Looks at the list of members now and then, from the first change on.
    private func watch() {
        guard !isWatching else { return }
        isWatching = true
        look()
    }

    private func look() {
        world.simulator.after(random.delay(around: 100_000)) { [self] in
            if let cluster = world.newestCluster { follow(cluster) }
            look()
        }
    }

    private func follow(_ cluster: Cluster) {
        for member in cluster.sortedMembers where !world.machines.contains(where: { $0.memberID == member.id }) {
            guard let url = member.peerURLs.first,
                let machine = world.machines.first(where: { World.url($0.number) == url })
            else { continue }
            // The addition was asked for twice, and the machine is not there any more.
            guard machine.retired == nil, machine.memberID == 0 else {
                remove(member.id)
                continue
            }
            world.recorder.note(.memberAdded, machine.number, member.id, member.isLearner ? 1 : 0)
            world.note(member: member.id, on: machine)
            machine.start(after: random.delay(around: 200_000))
        }
        for machine in world.machines where machine.retired == nil && cluster.removed.contains(machine.memberID) {
            // A member that is down when it is removed is not started again; one that runs is refused by the others' ports
            // when it connects, also when it has nothing to say.
            if machine.process == nil || random.one(in: 10) { machine.retire() }
        }
        promote(cluster)
    }

    private func promote(_ cluster: Cluster) {
        guard let learner = cluster.sortedMembers.first(where: \.isLearner), random.one(in: 4) else { return }
        guard let leader = world.machines.first(where: { $0.process?.core.isLeader ?? false }) else { return }
        leader.process?.send(
            .perform { [unowned self] process in
                process.change({ core, now throws(MembershipChangeError) in
                    try core.promoteMember(learner.id, now: now)
                }) { [unowned self] isMade in
                    if isMade { world.recorder.note(.memberPromoted, leader.number, learner.id) }
                }
            })
    }
}
