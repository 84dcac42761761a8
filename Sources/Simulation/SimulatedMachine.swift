import Bolt
import Configuration
import Disk
import Member
import Membership

/// A machine with a disk on which one member runs, again and again.
final class SimulatedMachine {
    /// How fast the disk is, in microseconds.
    struct DiskSpeed {
        /// The usual time of a synchronisation.
        var synchronization: Int64
        /// No synchronisation ends before this time.
        var stalledUntil: Int64 = 0
    }

    let number: Int
    let name: String
    /// The id that the member has in the cluster; 0 until it is added.
    var memberID: UInt64
    let disk: MemoryDisk
    let configuration: MemberConfiguration
    /// What the machine's monotonic clock is ahead of the simulator's, in milliseconds.
    let clockOffset: Int64
    var diskSpeed: DiskSpeed
    /// Whether the disk was told to fail: an end of the process is then no wonder.
    var diskIsFaulty = false
    /// Why the member must not be started again; nil while it may.
    var retired: String?
    private(set) var process: MemberProcess?
    private(set) var runs: UInt64 = 0
    /// Whether the last process ended while it rewrote its database file.
    private var endedInDefragmentation = false
    /// Set when the next start is planned.
    private var startsAt: Int64?

    private unowned let world: World
    private var random: SimulationRandom

    init(
        number: Int, name: String, memberID: UInt64, configuration: MemberConfiguration, world: World,
        synchronization: Int64
    ) {
        self.number = number
        self.name = name
        self.memberID = memberID
        self.configuration = configuration
        self.world = world
        random = world.simulator.makeRandom()
        disk = MemoryDisk(seed: random.next())
        clockOffset = random.within(1_000...1_000_000)
        diskSpeed = DiskSpeed(synchronization: synchronization)
    }

    /// Milliseconds of its clock.
    var clock: Int64 { clockOffset + world.simulator.now / 1_000 }

    /// What its member publishes about itself.
    var attributes: PublishedAttributes {
        PublishedAttributes(name: name, clientURLs: ["http://\(name):2379"])
    }

    var isRunning: Bool { process != nil }

    /// The process, unless it is paused.
    var responsiveProcess: MemberProcess? {
        guard let process, !process.isPaused else { return nil }
        return process
    }

    // MARK: Its life

    /// Starts the member from what its disk holds.
    func start() {
        startsAt = nil
        guard process == nil, retired == nil else { return }
        runs += 1
        // The power may have gone as the process ended, after which nobody asked the disk for anything.
        if powerIsLost { cutPower() }
        if endedInDefragmentation { checkDatabase() }
        do {
            let process = try MemberProcess(self, world: world, random: random.fork())
            self.process = process
            endedInDefragmentation = false
            let leftover = process.paths.database + ".tmp"
            world.recorder.check(!disk.exists(leftover), "m\(number) has started and \(leftover) is still there")
            world.recorder.note(.started, number, runs, process.core.log.lastIndex, process.core.appliedIndex)
            world.observer.started(process)
            process.begin()
        } catch {
            world.recorder.note(.startFailed, number, runs, 0, 0, "\(error)")
            // A member that joins needs another that tells it of the cluster.
            let mayJoinLater = number >= world.settings.members && !OpenedMember.exists(configuration, on: disk)
            if !diskIsFaulty && !powerIsLost && !mayJoinLater {
                world.recorder.violate("m\(number) cannot start: \(error)")
            }
            if powerIsLost { cutPower() }
            start(after: 500_000)
        }
    }

    /// A crash in the middle of a defragmentation leaves one file, whole and in order.
    private func checkDatabase() {
        let faults = disk.faults
        disk.faults = MemoryDisk.Faults()
        defer { disk.faults = faults }
        do {
            let path = MemberPaths(configuration).database
            let database = try Database(disk: disk, path: path, options: DatabaseOptions(readOnly: true))
            defer { database.close() }
            let findings = try Check.findings(in: database)
            world.recorder.note(.databaseChecked, number)
            world.recorder.check(findings.isEmpty, "m\(number)'s crash has damaged its database: \(findings)")
        } catch {
            world.recorder.violate("m\(number)'s crash has left no database: \(error)")
        }
    }

    /// Starts the member later.
    func start(after delay: Int64) {
        let time = world.simulator.now + delay
        guard startsAt == nil else { return }
        startsAt = time
        world.simulator.at(time) { [self] in
            if startsAt == time { start() }
        }
    }

    /// The process is killed. What it had written is on its way to the disk and is not lost.
    func kill() {
        guard process != nil else { return }
        world.recorder.note(.stopped, number)
        endProcess()
        disk.endProcess()
    }

    /// The member was removed from the cluster: it stops for good.
    func retire() {
        guard retired == nil, memberID != 0 else { return }
        retired = "removed"
        world.recorder.note(.memberRemoved, number)
        kill()
    }

    /// The end of the world: the process is let go, without a note.
    func discard() {
        process?.end()
        process = nil
    }

    /// The power goes: what was not synchronised is lost in part.
    func losePower() {
        world.recorder.note(.powerLost, number)
        endProcess()
        cutPower()
    }

    private func cutPower() {
        let faults = disk.faults
        disk.crash(random: &random)
        // A disk that is full stays full.
        var kept = MemoryDisk.Faults()
        kept.spaceLimit = faults.spaceLimit
        disk.faults = kept
    }

    private func endProcess() {
        guard let process else { return }
        endedInDefragmentation = endedInDefragmentation || process.backendWork.defragmentation != nil
        process.end()
        self.process = nil
        world.network.breakStreams(of: number)
        world.announceEnd(of: self)
        world.observer.ended(self)
    }

    /// The process met an error of its disk that it cannot go on after.
    func fail(_ what: String, _ error: any Error) {
        world.recorder.note(.diskFailed, number, 0, 0, 0, "\(what): \(error)")
        if powerIsLost {
            losePower()
        } else {
            if !diskIsFaulty { world.recorder.violate("m\(number) stopped: \(what): \(error)") }
            kill()
        }
        start(after: random.within(200_000...2_000_000))
    }

    /// Whether the power went in the middle of a call to the disk.
    var powerIsLost: Bool { disk.hasLostPower }

    /// How long a synchronisation that begins now takes, in microseconds.
    func synchronizationTime() -> Int64 {
        let usual = random.delay(around: diskSpeed.synchronization)
        return max(usual, diskSpeed.stalledUntil - world.simulator.now)
    }
}
