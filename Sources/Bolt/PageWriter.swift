import Disk

/// Writes a commit's pages: each is filled in a buffer, and pages that lie side by side in the file go out in one write.
final class PageWriter {
    /// Bytes gathered for one write: enough that the system call's cost is lost in the copying.
    private static let bufferSize = 1 << 20

    private let pageSize: Int
    private var buffer: UnsafeMutableRawPointer
    private var capacity: Int
    /// The pages in the buffer.
    private var run = PageRun(start: 0, count: 0)

    init(pageSize: Int) {
        self.pageSize = pageSize
        self.capacity = max(Self.bufferSize, pageSize)
        self.buffer = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 4096)
    }

    deinit { buffer.deallocate() }

    /// Room to fill for the pages of `next`, of which the caller uses the first `used` bytes; the rest is zeroed. Writes
    /// the gathered pages to `file` first when `next` does not continue them.
    func room(for next: PageRun, used: Int, in file: DatabaseFile) throws(BoltError) -> UnsafeMutableRawPointer {
        let size = Int(next.count) * pageSize
        if run.end != next.start || Int(run.count) * pageSize + size > capacity { try flush(to: file) }
        if size > capacity {
            buffer.deallocate()
            buffer = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4096)
            capacity = size
        }
        if run.count == 0 { run.start = next.start }
        let room = buffer + Int(run.count) * pageSize
        (room + used).initializeMemory(as: UInt8.self, repeating: 0, count: size - used)
        run.count += next.count
        return room
    }

    /// Writes the gathered pages to `file`.
    func flush(to file: DatabaseFile) throws(BoltError) {
        guard run.count > 0 else { return }
        let pages = UnsafeRawBufferPointer(start: UnsafeRawPointer(buffer), count: Int(run.count) * pageSize)
        let offset = Int(run.start) * pageSize
        run = PageRun(start: 0, count: 0)
        try file.grow(to: offset + pages.count)
        try onDisk { () throws(DiskError) in try file.file.write(pages, at: offset) }
        // A buffer that one huge value needed is not kept.
        if capacity > 4 * Self.bufferSize && capacity > pageSize {
            buffer.deallocate()
            capacity = max(Self.bufferSize, pageSize)
            buffer = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 4096)
        }
    }

    /// Forgets the gathered pages.
    func discard() {
        run = PageRun(start: 0, count: 0)
    }
}
