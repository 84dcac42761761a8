import NIOCore

/// What a server tells about itself, for metrics and logs. Hooks are called on event loops; one that is nil costs
/// nothing.
public struct ServerObserver: Sendable {
    /// A connection was accepted, from this address.
    public var connectionOpened: (@Sendable (_ peer: String) -> Void)?
    /// A connection ended.
    public var connectionClosed: (@Sendable (_ peer: String) -> Void)?
    /// A connection was refused or cut off for what it sent, with the reason in words.
    public var connectionRejected: (@Sendable (_ peer: String, _ reason: String) -> Void)?
    /// Asked once for each method, by its path, when the server is made: who is told of its calls.
    public var calls: (@Sendable (_ path: String) -> any CallObserver)?

    /// An observer without hooks.
    public init() {}
}

/// Is told of all calls of one method, on event loops.
public protocol CallObserver: AnyObject, Sendable {
    /// A call began. What comes back is told how this one call ends; nil costs nothing.
    func started(_ metadata: Metadata, peer: String) -> (any CallTrace)?
    /// A message from the client, with its length uncompressed and without its prefix.
    func received(bytes: Int)
    /// A message to the client was queued.
    func sent(bytes: Int)
    /// A call ended before its method heard of it: its head or its message was refused, or never came. Told before
    /// ``finished(_:)``.
    func refused(_ call: UnaryCall, _ code: Status.Code)
    /// A call ended.
    func finished(_ call: CallSummary)
}

extension CallObserver {
    public func refused(_ call: UnaryCall, _ code: Status.Code) {}
}

/// Follows one call.
public protocol CallTrace: AnyObject, Sendable {
    /// The call ended.
    func finished(_ status: Status.Code)
}

/// A call that has ended.
public struct CallSummary: Sendable {
    /// What went over the wire, in messages and in their bytes (uncompressed, without prefixes).
    public struct Traffic: Sendable, Equatable {
        public var messagesReceived = 0
        public var messagesSent = 0
        public var bytesReceived = 0
        public var bytesSent = 0
    }

    /// The method, as `/package.Service/Method`.
    public var path: String
    /// The client's address.
    public var peer: String
    /// The outcome; `cancelled` when the client gave up or the connection was lost.
    public var code: Status.Code
    public var traffic: Traffic
    /// From the call's head to its outcome.
    public var duration: TimeAmount
}
