import Disk

/// What a repair did: the file whose torn tail it cut off, where, and where the whole file is kept.
public struct Repair: Equatable, Sendable {
    public var file: String
    public var offset: Int
    public var copy: String
}

extension WriteAheadLog {
    /// How many segments etcd keeps (`max-wals`).
    public static let keptSegments = 5

    private static let copyChunk = 1 << 20

    /// Cuts off the torn tail of the log's last segment, after copying the file to `.broken`. Returns nil when nothing
    /// is torn; throws when the segment is damaged otherwise.
    @discardableResult
    public static func repair(disk: any Disk, directory path: String) throws(WALError) -> Repair? {
        let directory = LogDirectory(disk: disk, path: path)
        guard let name = try directory.segments().last else { throw .noSegment(directory: path, index: 0) }
        let file = try directory.open(name, locking: true)
        defer { file.close() }
        let reader = RecordReader([try SegmentWindow(file: file, path: directory.path(of: name))])
        do {
            while try reader.next() != nil {}
            return nil
        } catch {
            guard case .torn = error else { throw error }
        }
        let copy = "\(directory.path(of: name)).broken"
        let offset = reader.offset
        try onDisk { () throws(DiskError) in
            try Self.copy(file, to: copy, disk)
            try file.truncate(to: offset)
            try file.synchronize()
            try disk.synchronizeDirectory(path)
        }
        return Repair(file: directory.path(of: name), offset: offset, copy: copy)
    }

    private static func copy(_ file: any DiskFile, to path: String, _ disk: any Disk) throws(DiskError) {
        let target = try disk.open(path, .create)
        defer { target.close() }
        try target.truncate(to: 0)
        let size = try file.size()
        var offset = 0
        while offset < size {
            let part = try file.read(at: offset, count: min(copyChunk, size - offset))
            if part.isEmpty { break }
            try target.write(part, at: offset)
            offset += part.count
        }
        try target.synchronize()
    }

    /// Drops the locks on segments that hold nothing from `index` on, so that ``purge(disk:directory:keeping:)`` may
    /// remove them. The last segment that begins below `index` stays locked.
    public func releaseLocks(below index: UInt64) {
        let firstAtOrAbove = segments.firstIndex { $0.name.firstIndex >= index } ?? segments.count
        let released = max(0, firstAtOrAbove - 1)
        // Dropping the reference closes a file, but not under a synchronisation that another thread is in.
        segments.removeFirst(released)
    }

    /// Removes the oldest segments while there are more than `kept`, up to the first that is locked, and returns their
    /// paths. Any thread may call this.
    @discardableResult
    public static func purge(
        disk: any Disk, directory path: String, keeping kept: Int = keptSegments
    ) throws(WALError) -> [String] {
        let directory = LogDirectory(disk: disk, path: path)
        var removed: [String] = []
        for name in try directory.segments().dropLast(kept) {
            let file: any DiskFile
            do { file = try directory.open(name, locking: true) } catch {
                if case .locked = error { break }
                throw error
            }
            defer { file.close() }
            try onDisk { () throws(DiskError) in try disk.remove(directory.path(of: name)) }
            removed.append(directory.path(of: name))
        }
        if !removed.isEmpty { try directory.synchronize() }
        return removed
    }
}
