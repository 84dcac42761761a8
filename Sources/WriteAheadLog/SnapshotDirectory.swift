import Disk
import RaftMessages

/// etcd's directory of snapshot files (`member/snap`), which it shares with the Bolt file `db`.
public struct SnapshotDirectory: Sendable {
    /// How many snapshots etcd keeps (`max-snapshots`).
    public static let keptSnapshots = 5

    /// A snapshot and what had to be set aside to find it.
    public struct Found: Equatable, Sendable {
        /// The newest good snapshot that was asked for, or nil.
        public var snapshot: Snapshot?
        /// Why newer files were passed over; each was renamed to `.broken`.
        public var damaged: [SnapshotError] = []

        /// What was found; without arguments, nothing.
        public init(snapshot: Snapshot? = nil, damaged: [SnapshotError] = []) {
            self.snapshot = snapshot
            self.damaged = damaged
        }
    }

    /// The directory.
    public let path: String
    /// The disk that it is on.
    public let disk: any Disk

    /// The directory at `path`, which must exist.
    public init(disk: any Disk, path: String) {
        self.disk = disk
        self.path = path
    }

    /// The path of the Bolt file that a leader sends with its snapshot at `index`.
    public func databasePath(index: UInt64) -> String { "\(path)/\(HexPair.text(index)).snap.db" }

    /// Writes `snapshot` to a file of its own; durable when this returns. One without an index is not written.
    ///
    /// `reached` is called when the file's content is made, before it is synchronised, and after that: for those who take
    /// the time.
    public func save(_ snapshot: Snapshot, reached: () -> Void = {}) throws(SnapshotError) {
        if snapshot.isEmpty { return }
        let name = SnapshotName(term: snapshot.metadata.term, index: snapshot.metadata.index).text
        let bytes = SnapshotFile.encode(snapshot)
        reached()
        try onSnapshotDisk { () throws(DiskError) in
            let temporary = "\(path)/\(name).tmp"
            let file = try disk.open(temporary, .create)
            defer { file.close() }
            try file.truncate(to: 0)
            try file.write(bytes, at: 0)
            reached()
            try file.synchronize()
            reached()
            try disk.rename(temporary, to: "\(path)/\(name)")
            try disk.synchronizeDirectory(path)
        }
    }

    /// The newest good snapshot. A damaged file is renamed to `.broken` and the next newest is tried.
    public func loadNewest() throws(SnapshotError) -> Found {
        try loadNewest { _ in true }
    }

    /// The newest good snapshot that the log has a record of among `records`
    /// (``WriteAheadLog/validSnapshotEntries(disk:directory:)``).
    public func loadNewest(among records: [WALSnapshot]) throws(SnapshotError) -> Found {
        try loadNewest { metadata in
            records.contains { $0.index == metadata.index && $0.term == metadata.term }
        }
    }

    private func loadNewest(where isWanted: (SnapshotMetadata) -> Bool) throws(SnapshotError) -> Found {
        var found = Found()
        for name in try names().reversed() {
            let file = "\(path)/\(name)"
            let snapshot: Snapshot
            do {
                snapshot = try SnapshotFile.read(file, disk: disk)
            } catch {
                // A refusal by the disk says nothing about the file.
                if case .disk = error { throw error }
                try onSnapshotDisk { () throws(DiskError) in try disk.rename(file, to: "\(file).broken") }
                found.damaged.append(error)
                continue
            }
            if isWanted(snapshot.metadata) {
                found.snapshot = snapshot
                return found
            }
        }
        return found
    }

    /// Removes the oldest snapshots while there are more than `kept`, and returns their paths. The newest `kept` of
    /// the Bolt files that came with leaders' snapshots stay too.
    @discardableResult
    public func purge(keeping kept: Int = keptSnapshots) throws(SnapshotError) -> [String] {
        let removed = (try names().dropLast(kept) + (try databaseNames().dropLast(kept))).map { "\(path)/\($0)" }
        for file in removed { try onSnapshotDisk { () throws(DiskError) in try disk.remove(file) } }
        if !removed.isEmpty {
            try onSnapshotDisk { () throws(DiskError) in try disk.synchronizeDirectory(path) }
        }
        return removed
    }

    /// Removes the files that an earlier run had not finished when it ended, and returns their paths. Nobody else may be
    /// writing to the directory.
    @discardableResult
    public func removeUnfinished() throws(SnapshotError) -> [String] {
        var removed: [String] = []
        // Ours end in `.tmp`; those of etcd begin with `tmp` or, after a defragmentation, with `db.tmp`.
        for name in try list() where name.hasSuffix(".tmp") || name.hasPrefix("tmp") || name.hasPrefix("db.tmp") {
            try onSnapshotDisk { () throws(DiskError) in try disk.remove("\(path)/\(name)") }
            removed.append("\(path)/\(name)")
        }
        return removed
    }

    /// Removes the Bolt files that came with leaders' snapshots older than `index`, and returns their paths.
    @discardableResult
    public func removeDatabases(below index: UInt64) throws(SnapshotError) -> [String] {
        var removed: [String] = []
        for name in try databaseNames() where (Self.databaseIndex(name) ?? .max) < index {
            try onSnapshotDisk { () throws(DiskError) in try disk.remove("\(path)/\(name)") }
            removed.append("\(path)/\(name)")
        }
        return removed
    }

    /// The names of snapshot files, oldest first: by term, then by index, as their digits sort.
    private func names() throws(SnapshotError) -> [String] {
        try list().filter { SnapshotName($0) != nil }
    }

    private func databaseNames() throws(SnapshotError) -> [String] {
        try list().filter { Self.databaseIndex($0) != nil }
    }

    private static func databaseIndex(_ name: String) -> UInt64? {
        let suffix = ".snap.db"
        return name.hasSuffix(suffix) ? HexPair.number(name.dropLast(suffix.count)) : nil
    }

    private func list() throws(SnapshotError) -> [String] {
        try onSnapshotDisk { () throws(DiskError) in try disk.list(path) }
    }
}
