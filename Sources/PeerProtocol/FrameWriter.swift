import RaftMessages
import WireFormat

/// Writes into memory whose size the caller has worked out.
struct FrameWriter {
    private let memory: UnsafeMutableRawBufferPointer
    private(set) var position = 0

    init(_ memory: UnsafeMutableRawBufferPointer) {
        self.memory = memory
    }

    mutating func byte(_ value: UInt8) {
        precondition(position < memory.count, "a frame is longer than it was reckoned to be")
        memory[position] = value
        position += 1
    }

    mutating func bigEndian(_ value: UInt64) {
        precondition(memory.count - position >= 8, "a frame is longer than it was reckoned to be")
        memory.storeBytes(of: value.bigEndian, toByteOffset: position, as: UInt64.self)
        position += 8
    }

    mutating func bytes(_ value: [UInt8]) {
        precondition(memory.count - position >= value.count, "a frame is longer than it was reckoned to be")
        UnsafeMutableRawBufferPointer(rebasing: memory[position...]).copyBytes(from: value)
        position += value.count
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        byte(UInt8(rest))
    }

    /// An entry's length and the entry. Its data goes straight from the log's array into the frame.
    mutating func entry(_ entry: Entry) {
        let size = entry.encodedSize
        bigEndian(UInt64(size))
        let end = position + size
        byte(1 << 3)
        varint(entry.type.rawValue)
        byte(2 << 3)
        varint(entry.term)
        byte(3 << 3)
        varint(entry.index)
        if !entry.data.isEmpty {
            byte(4 << 3 | 2)
            varint(UInt64(entry.data.count))
            bytes(entry.data)
        }
        precondition(position == end, "an entry takes as many bytes as it says")
    }
}
