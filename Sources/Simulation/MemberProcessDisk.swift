import Backend
import MVCC
import Member
import RaftMessages
import WriteAheadLog

/// What the log's thread has to do.
struct LogWork {
    enum Order {
        case append(Message)
        case saveSnapshot(Snapshot)
    }

    var orders: [Order] = []
    var isBusy = false
    var segment = ""
}

/// What the backend's thread has to do.
struct BackendWork {
    enum Order {
        case commit(CommitJob, Snapshot?)
        case restore(Snapshot, StateMachineFiles, StorePublisher)
        case removeSentDatabases(below: UInt64)
        case prepareSegment
        case defragment(Defragmentation, () -> Void)
        case purge
    }

    var orders: [Order] = []
    var isBusy = false
    /// What is copied between the orders, and whether its next step is due.
    var defragmentation: Defragmentation?
    var isStepDue = false
}

/// The threads that wait for the disk.
extension MemberProcess {
    func beginLog() {
        logWork.segment = opened.log.tailPath
        order(.prepareSegment)
    }

    func order(_ order: LogWork.Order) {
        logWork.orders.append(order)
        workOnLog()
    }

    /// Takes all that was ordered, writes it, synchronises once, and says so.
    private func workOnLog() {
        guard !logWork.isBusy, !logWork.orders.isEmpty else { return }
        logWork.isBusy = true
        later(random.delay(around: 10)) { [self] in
            let orders = logWork.orders
            logWork.orders = []
            var appended: [Message] = []
            var snapshots: [Snapshot] = []
            var mustSynchronize = false
            var startOfLog: UInt64 = 0
            let isWritten = attempt("write-ahead log") {
                for order in orders {
                    switch order {
                    case .append(let message):
                        if try append(message) { mustSynchronize = true }
                        startOfLog = max(startOfLog, message.snapshot?.metadata.index ?? 0)
                        appended.append(message)
                    case .saveSnapshot(let snapshot): snapshots.append(snapshot)
                    }
                }
            }
            guard isWritten else { return }
            if world.settings.sabotage == .acknowledgesBeforeSynchronizing && !appended.isEmpty {
                for message in appended { world.observer.appended(message, on: machine.number) }
                send(.appended(appended))
                appended = []
            }
            world.recorder.note(.logWritten, machine.number, UInt64(appended.count), opened.log.lastIndex)
            let time = mustSynchronize ? machine.synchronizationTime() : 0
            later(time) { [self] in
                finishLogWork(appended, snapshots, mustSynchronize: mustSynchronize, startOfLog: startOfLog)
            }
        }
    }

    private func append(_ message: Message) throws -> Bool {
        if world.settings.sabotage == .forgetsHardState && message.snapshot == nil {
            return try opened.log.append(message.entries)
        }
        return try opened.log.append(message, snapshots: opened.snapshots)
    }

    private func finishLogWork(
        _ appended: [Message], _ snapshots: [Snapshot], mustSynchronize: Bool, startOfLog: UInt64
    ) {
        let isDone = attempt("write-ahead log") {
            if mustSynchronize { try opened.log.synchronize() }
            if startOfLog > 0 { opened.log.releaseLocks(below: startOfLog) }
            for message in appended { world.observer.appended(message, on: machine.number) }
            if !appended.isEmpty { send(.appended(appended)) }
            for snapshot in snapshots {
                let place = snapshot.metadata
                try opened.log.saveSnapshot(WALSnapshot(place))
                opened.log.releaseLocks(below: place.index)
                world.recorder.note(.snapshotSaved, machine.number, place.index, place.term)
                send(.snapshotSaved(snapshot))
            }
        }
        guard isDone else { return }
        world.recorder.note(.logSynchronized, machine.number, UInt64(appended.count), opened.log.lastIndex)
        if opened.log.tailPath != logWork.segment {
            logWork.segment = opened.log.tailPath
            order(.prepareSegment)
        }
        logWork.isBusy = false
        workOnLog()
    }

    func order(_ order: BackendWork.Order) {
        backendWork.orders.append(order)
        workOnBackend()
    }

    private func workOnBackend() {
        guard !backendWork.isBusy else { return }
        // An order waits for one step at the most.
        if backendWork.isStepDue, backendWork.orders.isEmpty || random.one(in: 2) { return stepDefragmentation() }
        guard !backendWork.orders.isEmpty else { return }
        backendWork.isBusy = true
        let order = backendWork.orders.removeFirst()
        var time = random.delay(around: 20)
        if case .commit = order { time += 2 * machine.synchronizationTime() }
        later(time) { [self] in
            let isDone = attempt("backend") {
                switch order {
                case .commit(let job, let snapshot):
                    try job.run()
                    backendWork.defragmentation?.follow(job)
                    if let snapshot { try opened.snapshots.save(snapshot) }
                    world.recorder.note(
                        .backendCommitted, machine.number, UInt64(job.operations), snapshot?.metadata.index ?? 0)
                    send(.committed(job, snapshot))
                case .restore(let snapshot, let files, let publisher):
                    if let running = backendWork.defragmentation {
                        running.cancel()
                        endDefragmentation(running, isDone: false)
                    }
                    send(.restored(try files.restore(snapshot, publisher: publisher)))
                case .removeSentDatabases(let index): _ = try? opened.snapshots.removeDatabases(below: index)
                case .prepareSegment: try opened.log.prepareNextSegment()
                case .defragment(let work, let begins):
                    begins()
                    backendWork.defragmentation = work
                    backendWork.isStepDue = true
                case .purge: purge()
                }
            }
            guard isDone else { return }
            backendWork.isBusy = false
            workOnBackend()
        }
    }

    // MARK: Defragmentation

    /// One step of the copy; a pause follows in which others have the disk.
    private func stepDefragmentation() {
        guard let work = backendWork.defragmentation else { return }
        backendWork.isStepDue = false
        backendWork.isBusy = true
        later(random.delay(around: 20) + machine.synchronizationTime()) { [self] in
            let isFine = attempt("defragmentation") {
                do throws(DefragmentationError) {
                    let progress = try work.step()
                    world.recorder.note(.defragmentationStep, machine.number)
                    if progress == .done {
                        endDefragmentation(work, isDone: true)
                    } else {
                        later(random.delay(around: 4_000)) { [self] in
                            backendWork.isStepDue = backendWork.defragmentation != nil
                            workOnBackend()
                        }
                    }
                } catch {
                    if error.isFatal || machine.powerIsLost { throw error }
                    endDefragmentation(work, isDone: false)
                }
            }
            guard isFine else { return }
            backendWork.isBusy = false
            workOnBackend()
        }
    }

    private func endDefragmentation(_ work: Defragmentation, isDone: Bool) {
        backendWork.defragmentation = nil
        backendWork.isStepDue = false
        send(.defragmented(work, isDone: isDone))
    }

    /// Keeps the database that came with a leader's snapshot; says whether it is safely there.
    func receive(_ message: Message, _ database: BackendSnapshot) -> Bool {
        guard let index = message.snapshot?.metadata.index else { return false }
        let path = opened.snapshots.databasePath(index: index)
        do {
            if machine.disk.exists(path) { return true }
            let file = try machine.disk.open(path + ".tmp", .create)
            try file.truncate(to: 0)
            var offset = 0
            try database.write { bytes in
                try file.write(bytes, at: offset)
                offset += bytes.count
            }
            if world.settings.sabotage != .trustsSnapshotFile { try file.synchronize() }
            file.close()
            try machine.disk.rename(path + ".tmp", to: path)
            try machine.disk.synchronizeDirectory(opened.snapshots.path)
            return true
        } catch {
            if machine.powerIsLost { machine.fail("snapshot", error) }
            return false
        }
    }

    /// Old files that cannot be removed now are tried again next time.
    private func purge() {
        _ = try? WriteAheadLog.purge(disk: machine.disk, directory: opened.paths.wal)
        _ = try? opened.snapshots.purge()
    }
}
