/// Something that a client did, as the audit log tells of it.
public struct AuditEvent: Sendable {
    /// What of a call the event is.
    public enum Stage: String, Sendable {
        /// A call of one request that has ended.
        case call
        /// A request on a stream that says what it is about.
        case request
        /// A stream that has ended.
        case end
    }

    public var stage: Stage
    /// Milliseconds since 1970.
    public var time: UInt64
    /// The method, as `/package.Service/Method`.
    public var method: String
    /// The encoded request. What of it is told is taken out when the event is written; values, passwords and tokens never
    /// are.
    public var request: [UInt8]
    /// The client's address.
    public var peer: String
    /// Who the client is by its token, when it has shown one.
    public var user: String?
    /// The common name in the client's certificate, when it was verified.
    public var certificate: String?
    /// How the call ended, as gRPC names it; nil while it has not.
    public var code: String?
    public var microseconds: Int64

    public init(
        _ stage: Stage, time: UInt64, method: String, request: [UInt8], peer: String, user: String?,
        certificate: String?, code: String?, microseconds: Int64
    ) {
        self.stage = stage
        self.time = time
        self.method = method
        self.request = request
        self.peer = peer
        self.user = user
        self.certificate = certificate
        self.code = code
        self.microseconds = microseconds
    }

    /// The memory that the event takes while it waits, about.
    var size: Int { request.count + 512 }

    /// Whether the call was refused or failed.
    var isFailure: Bool { code.map { $0 != "OK" } ?? false }
}
