/// Borrowed bytes with an address even when there are none, so that comparing and copying need no unwrapping.
struct ByteView {
    let start: UnsafeRawPointer
    let count: Int

    @inline(__always)
    init(start: UnsafeRawPointer, count: Int) {
        self.start = start
        self.count = count
    }

    @inline(__always)
    init(_ buffer: UnsafeRawBufferPointer) {
        self.start = buffer.baseAddress ?? Self.nowhere
        self.count = buffer.count
    }

    @inline(__always)
    var buffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

    var array: [UInt8] { [UInt8](buffer) }

    /// The address of views without bytes; never read.
    static var nowhere: UnsafeRawPointer { UnsafeRawPointer(noBytes) }

    private nonisolated(unsafe) static let noBytes = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)

    /// Negative, zero or positive as `self` sorts before, with or after `other`: bytewise, a prefix first.
    ///
    /// Eight bytes at a time as big-endian numbers, which order as the bytes do; keys are short, so this beats a call.
    @inline(__always)
    func compare(_ other: ByteView) -> Int {
        let common = min(count, other.count)
        var offset = 0
        while offset &+ 8 <= common {
            let left = start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            let right = other.start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            if left != right { return left.bigEndian < right.bigEndian ? -1 : 1 }
            offset &+= 8
        }
        while offset < common {
            let left = start.load(fromByteOffset: offset, as: UInt8.self)
            let right = other.start.load(fromByteOffset: offset, as: UInt8.self)
            if left != right { return left < right ? -1 : 1 }
            offset &+= 1
        }
        return count &- other.count
    }
}
