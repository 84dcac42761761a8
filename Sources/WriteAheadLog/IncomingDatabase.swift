import Disk

/// A Bolt file that arrives with a leader's snapshot. It has a temporary name until it is whole and was found to be good.
///
/// Used by one thread at a time. Whoever drops one that is neither kept nor abandoned leaves a file behind, which
/// ``SnapshotDirectory/removeUnfinishedDatabases()`` takes away.
public final class IncomingDatabase: @unchecked Sendable {
    /// The name of a file that is not whole ends so.
    static let suffix = ".snap.db.tmp"

    /// Where the bytes are until all have come and are checked.
    public let temporaryPath: String
    /// The bytes so far.
    public private(set) var size = 0
    private let path: String
    private let directory: SnapshotDirectory
    private let file: any DiskFile

    fileprivate init(_ directory: SnapshotDirectory, index: UInt64, serial: UInt64) throws(SnapshotError) {
        self.directory = directory
        path = directory.databasePath(index: index)
        let temporaryPath = "\(directory.path)/\(HexPair.text(index))-\(HexPair.text(serial))\(Self.suffix)"
        self.temporaryPath = temporaryPath
        file = try onSnapshotDisk { () throws(DiskError) in
            let file = try directory.disk.open(temporaryPath, .create)
            try file.truncate(to: 0)
            return file
        }
    }

    /// Adds `bytes` at the end.
    public func append(_ bytes: UnsafeRawBufferPointer) throws(SnapshotError) {
        try onSnapshotDisk { () throws(DiskError) in try file.write(bytes, at: size) }
        size += bytes.count
    }

    /// Gives the file its name; it is durable when this returns.
    public func keep() throws(SnapshotError) {
        try onSnapshotDisk { () throws(DiskError) in
            try file.synchronize()
            file.close()
            try directory.disk.rename(temporaryPath, to: path)
            try directory.disk.synchronizeDirectory(directory.path)
        }
    }

    /// Removes the file, as far as the disk lets it.
    public func abandon() {
        file.close()
        try? directory.disk.remove(temporaryPath)
    }
}

extension SnapshotDirectory {
    /// A new file for the Bolt file that comes with the snapshot at `index`. `serial` tells apart files that arrive at the
    /// same time.
    public func receiveDatabase(index: UInt64, serial: UInt64) throws(SnapshotError) -> IncomingDatabase {
        try IncomingDatabase(self, index: index, serial: serial)
    }

    /// Removes what a process left behind that ended while a Bolt file was arriving, and returns the paths.
    @discardableResult
    public func removeUnfinishedDatabases() throws(SnapshotError) -> [String] {
        guard disk.exists(path) else { return [] }
        return try onSnapshotDisk { () throws(DiskError) in
            let paths = try disk.list(path).filter { $0.hasSuffix(IncomingDatabase.suffix) }.map { "\(path)/\($0)" }
            for path in paths { try disk.remove(path) }
            return paths
        }
    }
}
