import Disk
import RaftMessages
import WireFormat

extension WriteAheadLog {
    /// Whether `directory` holds a log. One that cannot be listed counts as one: opening it then reports why, whereas
    /// nothing must be created in its place.
    public static func exists(disk: any Disk, directory path: String) -> Bool {
        guard disk.exists(path) else { return false }
        guard let segments = try? LogDirectory(disk: disk, path: path).segments() else { return true }
        return !segments.isEmpty
    }

    /// Creates a log whose segments begin with `metadata`, holding `entries` and `hardState`. It is built beside and
    /// renamed, so a crash leaves a whole log or none.
    public static func create(
        disk: any Disk, directory path: String, metadata: [UInt8], entries: [Entry] = [],
        hardState: HardState = HardState(), options: Options = Options()
    ) throws(WALError) -> WriteAheadLog {
        if exists(disk: disk, directory: path) { throw .alreadyExists(directory: path) }
        let building = LogDirectory(disk: disk, path: "\(path).tmp")
        let name = SegmentName(sequence: 0, firstIndex: 0)
        var encoder = RecordEncoder(crc: 0)
        encoder.appendChecksum()
        encoder.append(.metadata, metadata)
        encoder.append(.snapshot, WALSnapshot().encoded())
        for entry in entries { encoder.append(entry) }
        if !hardState.isEmpty { encoder.append(hardState) }
        let head = encoder.bytes
        let file = try onDisk { () throws(DiskError) in
            if disk.exists(building.path) { try disk.remove(building.path) }
            try disk.createDirectory(building.path)
            let file = try disk.open(building.path(of: name), .create)
            try file.allocate(options.segmentSize)
            try file.write(head, at: 0)
            if options.synchronizes { try file.synchronize() }
            return file
        }
        guard try onDisk({ () throws(DiskError) in try file.lock(wait: false) }) else {
            throw .locked(file: building.path(of: name))
        }
        try onDisk { () throws(DiskError) in
            try disk.synchronizeDirectory(building.path)
            // This replaces an empty directory. etcd removes one that holds other files; here it is refused.
            try disk.rename(building.path, to: path)
            try disk.synchronizeDirectory(parent(of: path))
        }
        let final = LogDirectory(disk: disk, path: path)
        let segment = Segment(name: name, path: final.path(of: name), file: file)
        return WriteAheadLog(
            directory: final, options: options, segments: [segment], offset: head.count, crc: encoder.crc,
            metadata: metadata, hardState: hardState, lastIndex: entries.last?.index ?? 0)
    }

    /// Opens the log for appending, and reads what it holds behind `start`. The log must have a record of `start`.
    ///
    /// Throws ``WALError/torn(file:offset:_:)`` when the last write was cut short; see ``repair(disk:directory:)``.
    public static func open(
        disk: any Disk, directory path: String, at start: WALSnapshot = WALSnapshot(), options: Options = Options()
    ) throws(WALError) -> (log: WriteAheadLog, contents: LogContents) {
        let directory = LogDirectory(disk: disk, path: path)
        var segments: [Segment] = []
        var windows: [SegmentWindow] = []
        for name in try directory.segments(from: start.index) {
            let file = try directory.open(name, locking: true)
            segments.append(Segment(name: name, path: directory.path(of: name), file: file))
            windows.append(try SegmentWindow(file: file, path: directory.path(of: name)))
        }
        let reader = RecordReader(windows)
        var collector = LogCollector(start: start)
        while let record = try reader.next() { try collector.take(record, path: reader.path) }
        guard collector.metStart else { throw .snapshotNotFound(directory: path, start) }
        guard let tail = segments.last else { throw .noSegment(directory: path, index: start.index) }
        try clearTail(tail.file, from: reader.offset, options: options)
        let contents = collector.contents
        let log = WriteAheadLog(
            directory: directory, options: options, segments: segments, offset: reader.offset, crc: reader.crc,
            metadata: contents.metadata, hardState: contents.hardState,
            lastIndex: max(collector.lastIndex, start.index))
        return (log, contents)
    }

    /// Opens the log as ``open(disk:directory:at:options:)`` does; a torn tail is repaired, once.
    public static func openRepairing(
        disk: any Disk, directory path: String, at start: WALSnapshot = WALSnapshot(), options: Options = Options()
    ) throws(WALError) -> (log: WriteAheadLog, contents: LogContents, repair: Repair?) {
        do {
            let opened = try open(disk: disk, directory: path, at: start, options: options)
            return (opened.log, opened.contents, nil)
        } catch {
            guard case .torn = error else { throw error }
        }
        let repair = try repair(disk: disk, directory: path)
        let opened = try open(disk: disk, directory: path, at: start, options: options)
        return (opened.log, opened.contents, repair)
    }

    /// Reads what the log holds behind `start` without locking or changing it. A torn tail ends the reading and is
    /// named in the result.
    public static func read(
        disk: any Disk, directory path: String, at start: WALSnapshot = WALSnapshot()
    ) throws(WALError) -> LogContents {
        let directory = LogDirectory(disk: disk, path: path)
        let reader = try directory.reader(try directory.segments(from: start.index))
        var collector = LogCollector(start: start)
        do {
            while let record = try reader.next() { try collector.take(record, path: reader.path) }
        } catch {
            try collector.tolerateTornTail(error)
        }
        guard collector.metStart else { throw .snapshotNotFound(directory: path, start) }
        return collector.contents
    }

    /// The snapshots that the log knows of up to the last commit it knows of, in the order of their records: only these
    /// may be started from.
    public static func validSnapshotEntries(
        disk: any Disk, directory path: String
    ) throws(WALError) -> [WALSnapshot] {
        let directory = LogDirectory(disk: disk, path: path)
        let names = try directory.segments()
        guard !names.isEmpty else { throw .noSegment(directory: path, index: 0) }
        let reader = try directory.reader(names)
        var snapshots: [WALSnapshot] = []
        var commit: UInt64 = 0
        do {
            while let record = try reader.next() {
                if record.type == .snapshot {
                    snapshots.append(
                        try record.decoded(from: reader.path) { bytes throws(WireError) in
                            try WALSnapshot(decoding: bytes)
                        })
                } else if record.type == .state {
                    commit = try record.decoded(from: reader.path) { bytes throws(WireError) in
                        try HardState(decoding: bytes).commit
                    }
                }
            }
        } catch {
            guard case .torn = error else { throw error }
        }
        return snapshots.filter { $0.index <= commit }
    }

    /// Zeros all behind the last good record. Records that a crash left there unsynchronised, behind a sector that did
    /// not make it, would otherwise come back to life behind what is appended next.
    private static func clearTail(_ file: any DiskFile, from offset: Int, options: Options) throws(WALError) {
        try onDisk { () throws(DiskError) in
            try file.truncate(to: offset)
            if offset < options.segmentSize { try file.allocate(options.segmentSize) }
            if options.synchronizes { try file.synchronize() }
        }
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
