/// What a stream has yet to send: messages with their prefixes, as borrowed arrays that are copied only once, into the
/// frame. A message that many streams send is one array for all of them.
struct OutboundQueue {
    private struct Segment {
        var bytes: [UInt8]
        /// The length in the prefix in front of `bytes`; negative when `bytes` go without a prefix.
        var announced: Int
        var isCompressed = false

        var prefixLength: Int { announced < 0 ? 0 : MessageReader.prefixLength }
        var count: Int { prefixLength + bytes.count }
    }

    private var head: Segment?
    private var tail: [Segment] = []
    private var tailStart = 0
    /// How much of the head is already taken.
    private var taken = 0
    /// How many bytes, prefixes included, are waiting.
    private(set) var pendingBytes = 0

    /// Adds a message of several parts that the receiver sees as one.
    mutating func append(parts: [[UInt8]]) {
        let length = parts.reduce(0) { $0 + $1.count }
        guard let first = parts.first else { return append(message: []) }
        append(Segment(bytes: first, announced: length))
        for part in parts.dropFirst() { append(Segment(bytes: part, announced: -1)) }
    }

    /// Adds a message.
    mutating func append(message: [UInt8]) {
        append(Segment(bytes: message, announced: message.count))
    }

    /// Adds the beginning of a message of `length` bytes, the rest of which follows without prefixes.
    mutating func append(beginningOf length: Int) {
        append(Segment(bytes: [], announced: length))
    }

    /// Adds a message whose bytes are compressed.
    mutating func append(compressed message: [UInt8]) {
        append(Segment(bytes: message, announced: message.count, isCompressed: true))
    }

    /// Adds bytes that go without a prefix.
    mutating func append(raw bytes: [UInt8]) {
        if !bytes.isEmpty { append(Segment(bytes: bytes, announced: -1)) }
    }

    private mutating func append(_ segment: Segment) {
        pendingBytes += segment.count
        if head == nil { head = segment } else { tail.append(segment) }
    }

    /// Moves the first `count` bytes to `destination`; `count` is at most `pendingBytes`.
    mutating func take(_ count: Int, into destination: UnsafeMutableRawPointer) {
        precondition(count <= pendingBytes, "OutboundQueue: more bytes asked for than are waiting")
        pendingBytes -= count
        var written = 0
        while written < count, let segment = head {
            written += Self.copy(segment, from: taken, limit: count - written, to: destination + written, &taken)
            if taken == segment.count { advance() }
        }
    }

    /// Forgets everything that waits.
    mutating func removeAll() {
        self = OutboundQueue()
    }

    private static func copy(
        _ segment: Segment, from start: Int, limit: Int, to destination: UnsafeMutableRawPointer, _ taken: inout Int
    ) -> Int {
        var written = 0
        if start < segment.prefixLength {
            let length = UInt32(truncatingIfNeeded: segment.announced)
            while taken < segment.prefixLength, written < limit {
                let flag: UInt8 = segment.isCompressed ? 1 : 0
                let byte = taken == 0 ? flag : UInt8(truncatingIfNeeded: length >> UInt32(8 * (4 - taken)))
                destination.storeBytes(of: byte, toByteOffset: written, as: UInt8.self)
                taken += 1
                written += 1
            }
        }
        let offset = taken - segment.prefixLength
        let count = min(limit - written, segment.bytes.count - offset)
        guard offset >= 0, count > 0 else { return written }
        segment.bytes.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress {
                (destination + written).copyMemory(from: base + offset, byteCount: count)
            }
        }
        taken += count
        return written + count
    }

    private mutating func advance() {
        taken = 0
        guard tailStart < tail.count else {
            head = nil
            return
        }
        head = tail[tailStart]
        tail[tailStart].bytes = []
        tailStart += 1
        // Moving the rest down only when half is used keeps the cost per segment constant.
        if tailStart * 2 >= tail.count {
            tail.removeSubrange(..<tailStart)
            tailStart = 0
        }
    }
}
