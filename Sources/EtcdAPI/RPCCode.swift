/// The status codes of gRPC, by number.
///
/// The API names a code for each of its errors without depending on the module that speaks gRPC; the numbers are the
/// ones that travel in `grpc-status` (gRPC documentation, "Status codes and their use in gRPC").
public enum RPCCode: Int, CaseIterable, Sendable {
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
}

extension RPCCode {
    /// The name under which Go's gRPC writes the code, which etcd puts into some texts.
    public var goName: String {
        switch self {
        case .ok: "OK"
        case .cancelled: "Canceled"
        default: "\(self)".prefix(1).uppercased() + "\(self)".dropFirst()
        }
    }
}
