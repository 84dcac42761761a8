/// Cuts the bytes of a stream into messages: a flag byte (compressed or not), the length in four bytes, the message.
///
/// Source: gRPC over HTTP/2, "Length-Prefixed-Message".
struct MessageReader {
    /// One message as it came.
    struct Message {
        var isCompressed: Bool
        var bytes: [UInt8]
    }

    /// Why the bytes are no messages.
    enum Failure: Error, Equatable {
        /// The prefix announces more than the limit.
        case tooLarge(length: Int, maximum: Int)
        /// The flag byte is neither 0 nor 1.
        case unknownFlag(UInt8)
    }

    static let prefixLength = 5
    /// The most that is set aside on the word of a prefix alone; beyond it, memory follows the bytes that arrive.
    private static let reservedOnTrust = 16 * 1024

    private var prefix: UInt64 = 0
    private var prefixCount = 0
    private var body: [UInt8] = []
    private var length = 0

    /// Whether the bytes so far end between two messages.
    var isBetweenMessages: Bool { prefixCount == 0 }
    /// How many bytes of an unfinished message are kept.
    var bufferedBytes: Int { body.count }

    /// Takes bytes from the front of `bytes` until a message is whole. Returns nil when the bytes are used up first.
    mutating func next(
        _ bytes: inout UnsafeRawBufferPointer, maximum: Int
    ) throws(Failure) -> Message? {
        while prefixCount < Self.prefixLength {
            guard let byte = bytes.first else { return nil }
            bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
            prefix = prefix << 8 | UInt64(byte)
            prefixCount += 1
            guard prefixCount == Self.prefixLength else { continue }
            length = Int(prefix & 0xFFFF_FFFF)
            guard prefix >> 32 <= 1 else { throw .unknownFlag(UInt8(truncatingIfNeeded: prefix >> 32)) }
            guard length <= maximum else { throw .tooLarge(length: length, maximum: maximum) }
        }
        let missing = length - body.count
        guard bytes.count >= missing else {
            if body.isEmpty {
                body.reserveCapacity(min(length, max(bytes.count, Self.reservedOnTrust)))
            } else if body.count + bytes.count > length / 2 {
                body.reserveCapacity(length)
            }
            body.append(contentsOf: bytes)
            bytes = UnsafeRawBufferPointer(rebasing: bytes[bytes.count...])
            return nil
        }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[..<missing])
        bytes = UnsafeRawBufferPointer(rebasing: bytes[missing...])
        if body.isEmpty {
            body = Array(rest)
        } else {
            body.append(contentsOf: rest)
        }
        let message = Message(isCompressed: prefix >> 32 == 1, bytes: body)
        body = []
        prefix = 0
        prefixCount = 0
        return message
    }
}
