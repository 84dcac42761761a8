import NIOCore

// A unary reply that is too large to be in memory at once: its length goes out first, then its bytes as they are made.
extension UnaryCall {
    /// The longest reply: its prefix could say more, but etcd's clients and servers know 32 bits with a sign.
    static let longestReply = Int(Int32.max)

    /// Begins a reply of `length` bytes, which ``continueReply(_:)`` sends. `source` hears when there is room again after
    /// ``isWritable`` was false, and when the call ended before the reply was whole; it is not told anything else. Only on
    /// `eventLoop`.
    ///
    /// A call within this process may have its reply whole in memory nevertheless, as its receiver says; then it ends with
    /// RESOURCE_EXHAUSTED when that is beyond ``LocalCall/longestReply``.
    public func beginReply(length: Int, source: any StreamHandler) {
        eventLoop.preconditionInEventLoop()
        switch carrier {
        case .stream(let stream): stream.beginReply(length: length, source: source)
        case .local(let call): call.beginReply(length: length, source: source)
        }
    }

    /// Sends the next bytes of the reply that was begun; with the last of them the call ends well. Only on `eventLoop`.
    public func continueReply(_ piece: [UInt8]) {
        eventLoop.preconditionInEventLoop()
        switch carrier {
        case .stream(let stream): stream.continueReply(piece)
        case .local(let call): call.continueReply(piece)
        }
    }

    /// Whether the reply's queue is under its high-water mark. Only on `eventLoop`.
    public var isWritable: Bool {
        switch carrier {
        case .stream(let stream): stream.outbound.pendingBytes < stream.connection.server.configuration.highWaterMark
        case .local(let call): call.isWritable
        }
    }

    static func tooLong(_ length: Int, maximum: Int) -> Status {
        Status(.resourceExhausted, "grpc: trying to send message larger than max (\(length) vs. \(maximum))")
    }
}
