import Checksum
import Glibc
import RaftMessages
import WireFormat

/// The kinds of record in a log.
enum RecordType: Int64 {
    case metadata = 1
    case entry = 2
    case state = 3
    case checksum = 4
    case snapshot = 5
}

/// The frame around a record: an 8-byte little-endian field with the length in its low 56 bits and, in the high byte,
/// 0x80 and the number of padding bytes when there are any. A frame is a multiple of 8 bytes long, so a length field
/// never straddles a sector and is never torn.
enum Frame {
    static let headerSize = 8
    static let alignment = 8
    static let lengthMask: UInt64 = (1 << 56) - 1

    /// The padding behind a record of `length` bytes.
    static func padding(_ length: Int) -> Int { (alignment - length % alignment) % alignment }

    /// The length field for a record of `length` bytes.
    static func header(_ length: Int) -> UInt64 {
        let padding = padding(length)
        return UInt64(length) | (padding == 0 ? 0 : UInt64(0x80 | padding) << 56)
    }
}

/// Lays records out in one reused buffer, in framed form and with the rolling checksum.
///
/// Entries and states are the hot path: they are laid out straight into the buffer, without an intermediate message.
struct RecordEncoder: ~Copyable {
    /// Room for a usual batch from the start.
    private static let initialCapacity = 1 << 16
    /// A buffer that one huge batch blew up is given back.
    private static let keptCapacity = 8 << 20
    /// The bytes in front of a record's data when the checksum takes five bytes, which 15 in 16 do.
    private static let prefixWithoutLength = Frame.headerSize + 2 + 1 + 5 + 1
    private static let checksumLength = 5

    private var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: initialCapacity, alignment: 16)
    private(set) var count = 0
    /// The checksum over the data of all records so far, across segments.
    var crc: UInt32

    init(crc: UInt32) {
        self.crc = crc
    }

    deinit { buffer.deallocate() }

    /// What has been laid out since the last ``clear()``; valid until the next change.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: buffer[..<count]) }

    /// Empties the buffer; the checksum goes on.
    mutating func clear() {
        count = 0
        if buffer.count > Self.keptCapacity {
            buffer.deallocate()
            buffer = .allocate(byteCount: Self.initialCapacity, alignment: 16)
        }
    }

    /// Lays out the record that begins a segment: the checksum so far, which its own does not change.
    mutating func appendChecksum() {
        append(.checksum, dataSize: 0) { _ in }
    }

    /// Lays out a record of `type` that holds `data`.
    mutating func append(_ type: RecordType, _ data: [UInt8]) {
        append(type, dataSize: data.count) { target in
            data.withUnsafeBytes { target.copyMemory(from: $0) }
        }
    }

    /// Lays out the record of `entry`.
    mutating func append(_ entry: Entry) {
        append(.entry, dataSize: entry.encodedSize) { target in
            var position = 0
            position = Self.put(field: 1, entry.type.rawValue, target, position)
            position = Self.put(field: 2, entry.term, target, position)
            position = Self.put(field: 3, entry.index, target, position)
            guard !entry.data.isEmpty else { return }
            target[position] = 4 << 3 | 2
            position = Self.put(UInt64(entry.data.count), target, position + 1)
            entry.data.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(rebasing: target[position...]).copyMemory(from: $0)
            }
        }
    }

    /// Lays out the record of `state`.
    mutating func append(_ state: HardState) {
        append(.state, dataSize: state.encodedSize) { target in
            var position = Self.put(field: 1, state.term, target, 0)
            position = Self.put(field: 2, state.vote, target, position)
            _ = Self.put(field: 3, state.commit, target, position)
        }
    }

    /// Frames a record whose `dataSize` bytes `fill` writes.
    @inline(__always)
    private mutating func append(
        _ type: RecordType, dataSize: Int, fill: (UnsafeMutableRawBufferPointer) -> Void
    ) {
        let lengthSize = WireSize.rawVarint(UInt64(dataSize))
        reserve(Self.prefixWithoutLength + lengthSize + dataSize + Frame.alignment)
        // The checksum stands before the data that it covers and has a varying length, so the data is laid out where
        // the longest checksum would leave it, and moved in the one case of sixteen where it is shorter.
        var data = count + Self.prefixWithoutLength + lengthSize
        fill(UnsafeMutableRawBufferPointer(rebasing: buffer[data..<(data + dataSize)]))
        crc = CRC32C.update(crc, UnsafeRawBufferPointer(rebasing: buffer[data..<(data + dataSize)]))
        let surplus = Self.checksumLength - WireSize.rawVarint(UInt64(crc))
        if surplus > 0, let base = buffer.baseAddress {
            memmove(base + data - surplus, base + data, dataSize)
            data -= surplus
        }
        let start = count + Frame.headerSize
        var position = Self.put(field: 1, UInt64(bitPattern: type.rawValue), buffer, start)
        position = Self.put(field: 2, UInt64(crc), buffer, position)
        if dataSize > 0 {
            buffer[position] = 3 << 3 | 2
            position = Self.put(UInt64(dataSize), buffer, position + 1) + dataSize
        }
        let length = position - start
        buffer.storeBytes(of: Frame.header(length).littleEndian, toByteOffset: count, as: UInt64.self)
        for _ in 0..<Frame.padding(length) {
            buffer[position] = 0
            position += 1
        }
        count = position
    }

    private mutating func reserve(_ more: Int) {
        guard count + more > buffer.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(buffer.count * 2, count + more), alignment: 16)
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        buffer.deallocate()
        buffer = larger
    }

    /// Writes a varint field of number 1 to 15 at `position` and returns the position behind it.
    @inline(__always)
    private static func put(
        field: UInt8, _ value: UInt64, _ target: UnsafeMutableRawBufferPointer, _ position: Int
    ) -> Int {
        target[position] = field << 3
        return put(value, target, position + 1)
    }

    @inline(__always)
    private static func put(_ value: UInt64, _ target: UnsafeMutableRawBufferPointer, _ position: Int) -> Int {
        var rest = value
        var position = position
        while rest >= 0x80 {
            target[position] = UInt8(truncatingIfNeeded: rest) | 0x80
            rest >>= 7
            position += 1
        }
        target[position] = UInt8(rest)
        return position + 1
    }
}
