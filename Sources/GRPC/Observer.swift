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
    /// A call of a known method began; the argument is its path.
    public var callStarted: (@Sendable (_ path: String) -> Void)?
    /// A call of a known method ended.
    public var callFinished: (@Sendable (CallSummary) -> Void)?

    /// An observer without hooks.
    public init() {}
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
    /// The outcome; `cancelled` when the client gave up or the connection was lost.
    public var code: Status.Code
    public var traffic: Traffic
    /// From the call's head to its outcome.
    public var duration: TimeAmount
}
