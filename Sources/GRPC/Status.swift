/// The outcome of a call: one of gRPC's codes and a text for a person. A call that went well has code `ok`.
///
/// Source: grpc.io, "Status codes and their use in gRPC".
public struct Status: Error, Sendable, Equatable, CustomStringConvertible {
    /// gRPC's status codes with their numbers on the wire.
    public enum Code: Int, Sendable, CaseIterable {
        case ok = 0
        case cancelled = 1
        case unknown = 2
        case invalidArgument = 3
        case deadlineExceeded = 4
        case notFound = 5
        case alreadyExists = 6
        case permissionDenied = 7
        case resourceExhausted = 8
        case failedPrecondition = 9
        case aborted = 10
        case outOfRange = 11
        case unimplemented = 12
        case `internal` = 13
        case unavailable = 14
        case dataLoss = 15
        case unauthenticated = 16

        /// The code's name as Go's libraries print it (`NotFound`), which is how etcd's clients and metrics spell it.
        public var name: String {
            switch self {
            case .ok: "OK"
            case .cancelled: "Canceled"
            case .unknown: "Unknown"
            case .invalidArgument: "InvalidArgument"
            case .deadlineExceeded: "DeadlineExceeded"
            case .notFound: "NotFound"
            case .alreadyExists: "AlreadyExists"
            case .permissionDenied: "PermissionDenied"
            case .resourceExhausted: "ResourceExhausted"
            case .failedPrecondition: "FailedPrecondition"
            case .aborted: "Aborted"
            case .outOfRange: "OutOfRange"
            case .unimplemented: "Unimplemented"
            case .internal: "Internal"
            case .unavailable: "Unavailable"
            case .dataLoss: "DataLoss"
            case .unauthenticated: "Unauthenticated"
            }
        }
    }

    /// What went wrong, by kind.
    public var code: Code
    /// What went wrong, in words; empty for `ok`.
    public var message: String

    /// A status of `code` with `message`.
    public init(_ code: Code, _ message: String = "") {
        self.code = code
        self.message = message
    }

    /// The status of a call that went well.
    public static let ok = Status(.ok)

    public var description: String { "rpc error: code = \(code.name) desc = \(message)" }
}
