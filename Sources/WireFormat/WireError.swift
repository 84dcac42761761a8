/// What is wrong with bytes that should be a protobuf message, and where.
@frozen public struct WireError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kinds of damage that a decoder can meet.
    public enum Reason: Equatable, Sendable {
        /// A field reaches past the end of its message.
        case truncated
        /// A varint of more than ten bytes.
        case overlongVarint
        /// A field number of zero or above 2^29 - 1.
        case badFieldNumber
        /// A wire type that does not exist, or a group, which proto3 has none of.
        case badWireType(UInt8)
        /// A known field that carries another wire type than its own.
        case unexpectedWireType(field: Int)
        /// Messages nested deeper than the decoder's limit.
        case nestedTooDeep
        /// An enum or a oneof with a value that the message does not define.
        case badValue(field: Int)
        /// More elements of a repeated field than the decoder's limit.
        case tooMany(field: Int)
    }

    /// What is wrong.
    public var reason: Reason
    /// Where, in bytes from the start of the (nested) message.
    public var offset: Int

    /// An error of kind `reason` at byte `offset`.
    @inlinable public init(_ reason: Reason, offset: Int) {
        self.reason = reason
        self.offset = offset
    }

    public var description: String {
        let what: String
        switch reason {
        case .truncated: what = "message ends inside a field"
        case .overlongVarint: what = "integer of more than ten bytes"
        case .badFieldNumber: what = "field number out of range"
        case .badWireType(let type): what = "wire type \(type) is not one of proto3"
        case .unexpectedWireType(let field): what = "field \(field) has another wire type than its own"
        case .nestedTooDeep: what = "messages nested too deep"
        case .badValue(let field): what = "field \(field) has a value that is not defined"
        case .tooMany(let field): what = "field \(field) has too many elements"
        }
        return "protobuf: \(what) (at byte \(offset))"
    }
}
