/// Something that a client did, as the audit log tells of it.
public struct AuditEvent: Sendable {
    /// What of a call the event is.
    public enum Stage: String, Sendable {
        /// A call of one request that has ended.
        case call
        /// A request on a stream that says what it is about.
        case request
        /// A request on a stream that was refused, while the stream goes on.
        case refusal
        /// A stream that has ended.
        case end
    }

    /// What a request was about.
    enum About: Sendable {
        /// What the encoded request of the event's method says. What of it is told is taken out when the event is written;
        /// values, passwords and tokens never are.
        case request([UInt8])
        /// An operation on a key.
        case key([UInt8], operation: String)
        case nothing
    }

    public var stage: Stage
    /// Milliseconds since 1970.
    public var time: UInt64
    /// The method, as `/package.Service/Method`; of a request over plain HTTP the method and the path, which holds no key.
    public var method: String
    let about: About
    /// The client's address.
    public var peer: String
    /// Who the client is by its token, when it has shown one.
    public var user: String?
    /// The common name in the client's certificate, when it was verified.
    public var certificate: String?
    /// How the call ended, as gRPC names it, or the status of an answer over plain HTTP; nil while it has not.
    public var code: String?
    /// Whether the call was refused or failed.
    public var isFailure: Bool
    public var microseconds: Int64

    /// An event of a method's call; nil as `request` is about nothing.
    public init(
        _ stage: Stage, time: UInt64, method: String, request: [UInt8]?, peer: String, user: String?,
        certificate: String?, code: String?, microseconds: Int64
    ) {
        self.stage = stage
        self.time = time
        self.method = method
        about = request.map { .request($0) } ?? .nothing
        self.peer = peer
        self.user = user
        self.certificate = certificate
        self.code = code
        isFailure = code.map { $0 != "OK" } ?? false
        self.microseconds = microseconds
    }

    /// A request over plain HTTP that was answered with `status`; it may be about an operation on one key.
    public init(
        time: UInt64, method: String, key: (operation: String, key: [UInt8])?, peer: String, certificate: String?,
        status: Int, microseconds: Int64
    ) {
        stage = .call
        self.time = time
        self.method = method
        about = key.map { .key($0.key, operation: $0.operation) } ?? .nothing
        self.peer = peer
        self.certificate = certificate
        code = "\(status)"
        isFailure = status >= 400
        self.microseconds = microseconds
    }

    /// The memory that the event takes while it waits, about.
    var size: Int {
        switch about {
        case .request(let bytes), .key(let bytes, _): bytes.count + 512
        case .nothing: 512
        }
    }

    /// What the event tells of the request.
    var subjects: [AuditSubject] {
        switch about {
        case .request(let bytes): AuditSubjects.of(bytes, method: method)
        case .key(let key, let operation): [.keys(operation, key)]
        case .nothing: []
        }
    }
}
