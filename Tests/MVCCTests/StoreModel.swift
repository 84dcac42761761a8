import MVCC

/// The store as a list of whole key spaces, one per revision: slow, and obviously right.
struct StoreModel {
    struct Item: Equatable, CustomStringConvertible {
        var key: String
        var value: String
        var create: Int64
        var mod: Int64
        var version: Int64
        var lease: Int64

        var description: String { "\(key)=\(value)@\(create)/\(mod)v\(version)l\(lease)" }
    }

    /// One change, as history and the file know it.
    struct Event: Equatable {
        var revision: Revision
        var key: String
        /// Nil for a deletion.
        var item: Item?
    }

    var revision: Int64 = 1
    var compacted: Int64 = -1
    /// Key spaces by revision, from 1 on.
    var spaces: [[String: Item]] = [[:], [:]]
    var events: [Event] = []
    private var open: [Event] = []
    private var working: [String: Item] = [:]

    var current: [String: Item] { spaces[Int(revision)] }

    mutating func begin() {
        working = current
        open = []
    }

    mutating func put(_ key: String, _ value: String, lease: Int64) {
        let before = working[key]
        let main = revision + 1
        let item = Item(
            key: key, value: value, create: before?.create ?? main, mod: main, version: (before?.version ?? 0) + 1,
            lease: lease)
        working[key] = item
        open.append(Event(revision: Revision(main: main, sub: Int64(open.count)), key: key, item: item))
    }

    mutating func delete(_ range: ClosedRange<String>) -> Int {
        let keys = working.keys.filter { range.contains($0) }.sorted()
        for key in keys {
            working[key] = nil
            open.append(
                Event(revision: Revision(main: revision + 1, sub: Int64(open.count)), key: key, item: nil))
        }
        return keys.count
    }

    mutating func end() {
        if open.isEmpty { return }
        revision += 1
        spaces.append(working)
        events += open
    }

    /// What the transaction sees.
    var insideRevision: Int64 { open.isEmpty ? revision : revision + 1 }
    var inside: [String: Item] { working }

    /// The changes that are left in the file when the compaction is complete.
    var keptEvents: [Event] {
        var newest: [String: Revision] = [:]
        for event in events where event.revision.main <= compacted { newest[event.key] = event.revision }
        return events.filter { event in
            if event.revision.main > compacted { return true }
            guard newest[event.key] == event.revision else { return false }
            return event.item != nil || event.revision.main == compacted
        }
    }
}
