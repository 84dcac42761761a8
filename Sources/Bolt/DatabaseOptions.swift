/// How a database is opened.
public struct DatabaseOptions: Sendable {
    /// Bytes per page of a new file: a power of two within ``BoltLimit/pageSizes``. An existing file keeps its own.
    public var pageSize: Int
    /// Bytes of address space mapped at first. The file is mapped anew when it outgrows this; old mappings live as long as
    /// their readers, so a generous length keeps that rare and costs no memory.
    public var initialMapLength: Int
    /// Whether commits store the free list in the file. Without it (as etcd since 3.3 runs bbolt on Linux,
    /// `NoFreelistSync`), a commit is cheaper and opening walks the file. Files of both kinds are opened with either.
    public var synchronizesFreelist: Bool
    /// Whether the database is only read; the file must exist.
    public var readOnly: Bool

    /// 10 GiB is above the largest size that etcd recommends for its backend (8 GiB).
    public static let defaultMapLength = 10 << 30

    /// The options; the defaults are etcd's on Linux.
    public init(
        pageSize: Int = 4096, initialMapLength: Int = DatabaseOptions.defaultMapLength,
        synchronizesFreelist: Bool = false, readOnly: Bool = false
    ) {
        self.pageSize = pageSize
        self.initialMapLength = initialMapLength
        self.synchronizesFreelist = synchronizesFreelist
        self.readOnly = readOnly
    }
}
