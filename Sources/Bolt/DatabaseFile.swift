import Disk

/// The file under a database: its length and its mapping. Owned by the writer.
final class DatabaseFile {
    /// Files grow by steps of this size, as by bbolt's default AllocSize, so that the file's length changes rarely.
    private static let growthStep = 16 << 20
    /// Small files double from this size instead.
    private static let smallest = 32 << 10
    /// Mappings double up to this size, then grow by it (bbolt's maxMmapStep).
    private static let mappingStep = 1 << 30

    let file: any DiskFile
    /// The file's length in bytes.
    private(set) var length: Int
    private(set) var mapping: any FileMapping

    /// Takes over `file` and maps it, with room for `mapLength` bytes.
    init(_ file: any DiskFile, mapLength: Int) throws(BoltError) {
        self.file = file
        let length = try onDisk { () throws(DiskError) in try file.size() }
        self.length = length
        let mapped = max(mapLength, Self.mapLength(for: length))
        self.mapping = try onDisk { () throws(DiskError) in try file.map(length: mapped) }
    }

    /// Lengthens the file to hold at least `end` bytes. The new length is durable with the next synchronisation.
    func grow(to end: Int) throws(BoltError) {
        guard end > length else { return }
        var wanted = max(length, Self.smallest)
        while wanted < end && wanted < Self.growthStep { wanted *= 2 }
        if wanted < end { wanted = (end + Self.growthStep - 1) / Self.growthStep * Self.growthStep }
        try onDisk { () throws(DiskError) in try file.truncate(to: wanted) }
        length = wanted
    }

    /// Makes the mapping cover `end` bytes. Readers keep the mapping that they have.
    func map(atLeast end: Int) throws(BoltError) {
        guard end > mapping.bytes.count else { return }
        let wanted = Self.mapLength(for: end)
        mapping = try onDisk { () throws(DiskError) in try file.map(length: wanted) }
    }

    /// Closes the file, drops its lock and lets go of the mapping; readers keep theirs.
    func close() {
        mapping = NoMapping()
        file.close()
    }

    /// What a closed file is mapped by.
    private final class NoMapping: FileMapping {
        var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }
    }

    /// The pages up to `pageCount`, which the mapping and the file cover.
    func space(pageSize: Int, pageCount: UInt64) -> PageSpace {
        PageSpace(
            base: mapping.bytes.baseAddress ?? ByteView.nowhere, pageSize: pageSize, pageCount: pageCount,
            mapping: mapping)
    }

    private static func mapLength(for end: Int) -> Int {
        var length = smallest
        while length < end && length < mappingStep { length *= 2 }
        return length >= end ? length : (end + mappingStep - 1) / mappingStep * mappingStep
    }
}
