import GRPC
import JSONMapping

/// How errors look in JSON. The forms changed with the gateway that etcd is built with.
public enum ErrorShape: Sendable {
    /// etcd 3.4 and 3.5: `{"error":…,"message":…,"code":…}`, and in streams `{"error":{"grpc_code":…,…}}`.
    case first
    /// etcd 3.6 and 3.7: `{"code":…,"message":…,"details":[]}`, and in streams the same under `error`.
    case second

    /// The error as the answer of a call.
    func body(_ status: Status) -> [UInt8] {
        let text = JSONString.quoted(status.message)
        switch self {
        case .first:
            guard !status.message.isEmpty else { return Array("{\"code\":\(status.code.rawValue)}".utf8) }
            return Array("{\"error\":\(text),\"message\":\(text),\"code\":\(status.code.rawValue)}".utf8)
        case .second: return Array("{\"code\":\(status.code.rawValue),\"message\":\(text),\"details\":[]}".utf8)
        }
    }

    /// The error as the last object of a stream.
    func streamObject(_ status: Status) -> [UInt8] {
        switch self {
        case .first:
            let http = httpStatus(status.code)
            let text = JSONString.quoted(status.message)
            let message = status.message.isEmpty ? "" : "\"message\":\(text),"
            let object =
                "{\"error\":{\"grpc_code\":\(status.code.rawValue),\"http_code\":\(http),\(message)"
                + "\"http_status\":\"\(Self.statusText[http] ?? "")\"}}"
            return Array(object.utf8)
        case .second: return Array("{\"error\":".utf8) + body(status) + Array("}".utf8)
        }
    }

    /// The HTTP status that goes with a code.
    func httpStatus(_ code: Status.Code) -> Int {
        switch code {
        case .ok: 200
        case .cancelled: self == .first ? 408 : 499
        case .invalidArgument, .outOfRange: 400
        case .unauthenticated: 401
        case .permissionDenied: 403
        case .notFound: 404
        case .alreadyExists, .aborted: 409
        case .failedPrecondition: self == .first ? 412 : 400
        case .resourceExhausted: 429
        case .unimplemented: 501
        case .unavailable: 503
        case .deadlineExceeded: 504
        case .unknown, .internal, .dataLoss: 500
        }
    }

    private static let statusText = [
        400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 408: "Request Timeout",
        409: "Conflict", 412: "Precondition Failed", 429: "Too Many Requests", 500: "Internal Server Error",
        501: "Not Implemented", 503: "Service Unavailable", 504: "Gateway Timeout",
    ]
}
