// How watchers move between the synced index, the scans, and the lists of those that cannot go on.

extension WatchHub {
    /// Puts a watcher that is in no place into an index.
    func insert(_ slot: Int32, index: Int) {
        table[slot].place = .index(UInt8(index))
        indexes[index].insert(slot, in: &table)
    }

    /// Takes a watcher out of the place that it is in.
    func removeFromPlace(_ slot: Int32) {
        switch table[slot].place {
        case .nowhere: break
        case .index(let index): indexes[Int(index)].remove(slot, in: &table)
        case .setAside: streams[Int(table[slot].stream)].setAside.remove(slot, in: &table)
        case .waiting: waiting.remove(slot, in: &table)
        }
        table[slot].place = .nowhere
    }

    /// Sets a watcher aside until its stream can be written, with `needed` as the revision to go on at.
    func setAside(_ slot: Int32, needed: Int64) {
        if table[slot].place == .index(UInt8(syncedIndex)) {
            streams[Int(table[slot].stream)].laggingCount += 1
            slowWatcherCount += 1
        }
        removeFromPlace(slot)
        table[slot].needed = needed
        table[slot].place = .setAside
        streams[Int(table[slot].stream)].setAside.append(slot, in: &table)
    }

    /// Counts the members of a list, so far synced, as lagging.
    func becomeLagging(_ members: WatcherList) {
        var slot = members.first
        while slot >= 0 {
            streams[Int(table[slot].stream)].laggingCount += 1
            slot = table[slot].nextMember
        }
        slowWatcherCount += members.count
    }

    /// Moves every watcher of one index to another one.
    func move(all source: Int, to destination: Int, neededAtLeast revision: Int64) {
        for slot in indexes[source].members.members(in: table) {
            removeFromPlace(slot)
            table[slot].needed = max(table[slot].needed, revision)
            insert(slot, index: destination)
        }
    }

    /// Forgets a watcher.
    func drop(_ slot: Int32) {
        let stream = Int(table[slot].stream)
        if table[slot].place != .index(UInt8(syncedIndex)) {
            streams[stream].laggingCount -= 1
            slowWatcherCount -= 1
        }
        removeFromPlace(slot)
        streams[stream].watchers[table[slot].watchID] = nil
        table.remove(slot)
    }
}
