import Disk

/// Reads a segment from front to back through a window of bounded size.
final class SegmentWindow {
    /// Large enough that reading is not bound by calls, small enough to not matter.
    private static let usualSize = 1 << 20

    let path: String
    let size: Int
    private let file: any DiskFile
    private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// The part of the file that the buffer holds.
    private var held = 0..<0

    init(file: any DiskFile, path: String) throws(WALError) {
        self.file = file
        self.path = path
        size = try onDisk { () throws(DiskError) in try file.size() }
    }

    deinit { buffer.deallocate() }

    /// Gives the window's memory back; a later read makes a new one.
    func release() {
        buffer.deallocate()
        buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        held = 0..<0
    }

    /// The `count` bytes from `offset` on, valid until the next call; fewer at the end of the file.
    func bytes(at offset: Int, count: Int) throws(WALError) -> UnsafeRawBufferPointer {
        if offset < held.lowerBound || offset + count > held.upperBound {
            try fill(from: offset, atLeast: min(count, max(0, size - offset)))
        }
        let start = min(offset - held.lowerBound, held.count)
        return UnsafeRawBufferPointer(rebasing: buffer[start..<min(start + count, held.count)])
    }

    private func fill(from offset: Int, atLeast count: Int) throws(WALError) {
        // A record larger than the window gets one of its own size, which the next usual record gives back.
        let wanted = max(count, Self.usualSize)
        if buffer.count != wanted {
            buffer.deallocate()
            buffer = .allocate(byteCount: wanted, alignment: 16)
        }
        held = offset..<offset
        let target = buffer
        let got = try onDisk { () throws(DiskError) in try file.read(into: target, at: offset) }
        held = offset..<(offset + got)
    }
}
