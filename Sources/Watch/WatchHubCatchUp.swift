// How lagging watchers catch up.

/// A pass over the history for the watchers of one index.
struct HistoryScan {
    /// The index that holds them.
    var index: Int
    /// The first revision that the scan has not read.
    var cursor: Int64
}

extension WatchHub {
    /// Whether watchers lag that could go on.
    public var needsCatchUp: Bool { !scans.isEmpty }

    /// Reads a bounded piece of history for one of the scans and delivers its events.
    ///
    /// Scans take turns. A watcher joins the scan that will next come to the revision it needs, or starts one; when all
    /// scans are taken it waits for the next one to end. A scan that has reached ``currentRevision`` ends, and its
    /// watchers are synced.
    ///
    /// - Parameters:
    ///   - history: The store's latest view. When it is behind the hub the scans stop at its end.
    ///   - byteBudget: About how many bytes of history to read.
    /// - Returns: Whether another step with the same view would get further.
    /// - Throws: What `history` throws, or a ``WatchHistoryError``; the step has then had no effect.
    @discardableResult
    public func catchUpStep(history: any WatchHistory, byteBudget: Int = 1 << 20) throws -> Bool {
        let through = min(currentRevision, history.currentRevision)
        guard let turn = nextTurn(through: through) else { return false }
        cancelCompacted(turn, compactedRevision: history.compactedRevision)
        if scans[turn].cursor <= through, indexes[scans[turn].index].members.count > 0 {
            try read(turn, through: through, history: history, byteBudget: byteBudget)
        }
        nextScan = turn + 1
        if scans[turn].cursor > currentRevision || indexes[scans[turn].index].members.count == 0 { finish(turn) }
        return nextTurn(through: through) != nil
    }

    /// Puts a lagging watcher that is in no place where it will be caught up.
    func enrol(_ slot: Int32) {
        let needed = table[slot].needed
        if let scan = latestScan(atOrBefore: needed) {
            insert(slot, index: scans[scan].index)
        } else if scans.count < options.maximumScans, let index = freeIndexes.popLast() {
            scans.append(HistoryScan(index: index, cursor: needed))
            insert(slot, index: index)
        } else {
            table[slot].place = .waiting
            waiting.append(slot, in: &table)
        }
    }

    /// The scan that will come to `revision` first.
    func latestScan(atOrBefore revision: Int64) -> Int? {
        var best: Int?
        for (number, scan) in scans.enumerated() where scan.cursor <= revision {
            if let current = best, scans[current].cursor >= scan.cursor { continue }
            best = number
        }
        return best
    }

    /// The next scan in turn that can get further with history through this revision.
    private func nextTurn(through: Int64) -> Int? {
        for offset in 0..<scans.count {
            let number = (nextScan + offset) % scans.count
            let scan = scans[number]
            if scan.cursor <= through || scan.cursor > currentRevision || indexes[scan.index].members.count == 0 {
                return number
            }
        }
        return nil
    }

    private func read(_ turn: Int, through: Int64, history: any WatchHistory, byteBudget: Int) throws {
        let from = scans[turn].cursor
        let index = scans[turn].index
        var last = from
        var sub: Int64 = -1
        let next: Int64
        do {
            next = try history.changes(from: from, through: through, byteLimit: max(1, byteBudget)) {
                isDelete, revision, stored in
                guard revision >= last, revision <= through else {
                    throw WatchHistoryError.disorder(revision: revision)
                }
                sub = revision == last ? sub + 1 : 0
                last = revision
                match(
                    try WatchChange(isDelete: isDelete, revision: revision, sub: sub, stored: stored), index: index)
            }
            guard next > last else {
                throw WatchHistoryError.noProgress(from: from, next: next)
            }
        } catch {
            batch.removeAll(in: &table)
            throw error
        }
        flush(revision: currentRevision, history: history)
        scans[turn].cursor = min(next, through + 1)
    }

    /// Tells the watchers of a scan that need revisions below the compacted one, and moves the scan behind those.
    private func cancelCompacted(_ turn: Int, compactedRevision: Int64) {
        let cursor = scans[turn].cursor
        guard cursor < compactedRevision else { return }
        for slot in indexes[scans[turn].index].members.members(in: table)
        where max(table[slot].needed, cursor) < compactedRevision {
            let watcher = table[slot]
            drop(slot)
            var head = ResponseHead(watchID: watcher.watchID)
            head.canceled = true
            head.compactRevision = compactedRevision
            // etcd leaves the header's revision out of this one.
            queue(watcher.stream, watcher.watchID, head: head.encoded(header: headers.header(revision: 0)))
            reportProgressIfDue(watcher.stream)
        }
        scans[turn].cursor = compactedRevision
    }

    /// Ends a scan: its watchers are synced, and those that waited may begin one.
    private func finish(_ turn: Int) {
        let scan = scans.remove(at: turn)
        if nextScan > turn { nextScan -= 1 }
        let members = indexes[scan.index].members.members(in: table)
        if members.count > indexes[syncedIndex].members.count {
            move(all: syncedIndex, to: scan.index, neededAtLeast: 0)
            freeIndexes.append(syncedIndex)
            syncedIndex = scan.index
        } else {
            move(all: scan.index, to: syncedIndex, neededAtLeast: scan.cursor)
            freeIndexes.append(scan.index)
        }
        slowWatcherCount -= members.count
        for slot in members { streams[Int(table[slot].stream)].laggingCount -= 1 }
        for slot in members { reportProgressIfDue(table[slot].stream) }
        beginScanOfWaiting()
    }

    private func beginScanOfWaiting() {
        guard waiting.count > 0 else { return }
        let slots = waiting.members(in: table)
        guard let index = freeIndexes.popLast() else { return }
        var cursor = Int64.max
        for slot in slots {
            cursor = min(cursor, table[slot].needed)
            removeFromPlace(slot)
            insert(slot, index: index)
        }
        scans.append(HistoryScan(index: index, cursor: cursor))
    }
}
