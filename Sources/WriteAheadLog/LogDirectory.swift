import Disk

/// The segments in a log's directory.
struct LogDirectory {
    let disk: any Disk
    let path: String

    func path(of name: SegmentName) -> String { "\(path)/\(name.text)" }

    /// The segments by ascending sequence. Other files are passed over.
    func segments() throws(WALError) -> [SegmentName] {
        let names = try onDisk { () throws(DiskError) in try disk.list(path) }
        return names.compactMap { SegmentName($0) }.sorted { $0.sequence < $1.sequence }
    }

    /// The segments that a reading from `index` on needs: the last one that begins at or below it, and all later.
    func segments(from index: UInt64) throws(WALError) -> [SegmentName] {
        let all = try segments()
        guard let first = all.lastIndex(where: { $0.firstIndex <= index }) else {
            throw .noSegment(directory: path, index: index)
        }
        let needed = Array(all[first...])
        for (earlier, later) in zip(needed, needed.dropFirst()) where later.sequence &- earlier.sequence != 1 {
            throw .missingSegment(directory: path, before: later.text)
        }
        return needed
    }

    /// Opens a segment, for reading alone or with its lock for writing.
    func open(_ name: SegmentName, locking: Bool) throws(WALError) -> any DiskFile {
        let path = path(of: name)
        let file = try onDisk { () throws(DiskError) in try disk.open(path, locking ? .write : .read) }
        if locking {
            let locked = try onDisk { () throws(DiskError) in try file.lock(wait: false) }
            guard locked else { throw .locked(file: path) }
        }
        return file
    }

    /// A reader over `names`, opened for reading alone.
    func reader(_ names: [SegmentName]) throws(WALError) -> RecordReader {
        var windows: [SegmentWindow] = []
        for name in names {
            windows.append(try SegmentWindow(file: try open(name, locking: false), path: path(of: name)))
        }
        return RecordReader(windows)
    }

    func synchronize() throws(WALError) {
        try onDisk { () throws(DiskError) in try disk.synchronizeDirectory(path) }
    }
}
