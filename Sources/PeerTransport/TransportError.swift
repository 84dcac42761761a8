import NIOHTTP1

/// Why a request to a member, or a stream from it, came to nothing.
public enum TransportError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The URL is none, or its scheme is not served.
    case url(String)
    /// The connection could not be made.
    case connect(String)
    /// Nothing came in time.
    case timedOut
    /// The connection ended before the answer.
    case closed
    /// The answer is longer than the limit.
    case tooLong
    /// The member refused.
    case status(Int, String)
    /// What it sent is not of the peer protocol.
    case malformed(String)
    /// There is no URL to ask at.
    case noURL
    /// The transport was stopped.
    case stopped

    public var description: String {
        switch self {
        case .url(let reason): return reason
        case .connect(let reason): return reason
        case .timedOut: return "timed out"
        case .closed: return "connection closed by the peer"
        case .tooLong: return "the answer is too long"
        case .status(let status, let text):
            let reason = text.split(separator: "\n").first.map(String.init) ?? ""
            return reason.isEmpty ? "unexpected http status \(status)" : "\(reason) (http status \(status))"
        case .malformed(let reason): return reason
        case .noURL: return "no URL is known"
        case .stopped: return "stopped"
        }
    }
}
