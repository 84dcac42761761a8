import GRPC
import JSONMapping
import NIOCore

/// What of a request's head goes with the call.
enum GatewayMetadata {
    /// Why a head cannot be taken.
    struct Refusal: Error {
        let text: String
    }

    private static let prefix = "grpc-metadata-"

    /// The call's metadata: the token, and fields that are meant for gRPC.
    static func make(_ request: HTTPRequest) throws(Refusal) -> Metadata {
        var metadata = Metadata()
        for (name, value) in request.headers {
            switch name {
            case "authorization": metadata.add("authorization", value)
            case "user-agent": metadata.add("grpcgateway-user-agent", value)
            // etcd's gateway passes it on only as Grpc-Metadata-Traceparent, which works here too.
            case "traceparent": metadata.add("traceparent", value)
            default:
                guard name.hasPrefix(prefix) else { continue }
                let key = String(name.dropFirst(prefix.count))
                // HTTP allows more characters in names than gRPC does, and gRPC keeps some names for itself.
                guard isName(key) else { continue }
                guard key.hasSuffix("-bin") else {
                    metadata.add(key, value)
                    continue
                }
                guard let bytes = Base64Value.decode(value) else {
                    throw Refusal(text: "invalid binary header \(name): \(value.prefix(64))")
                }
                metadata.add(key, bytes)
            }
        }
        return metadata
    }

    private static func isName(_ name: String) -> Bool {
        guard !name.isEmpty, !name.hasPrefix("grpc-"), name.utf8.count <= 1024 else { return false }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
                UInt8(ascii: "_"), UInt8(ascii: "."):
                true
            default: false
            }
        }
    }

    /// How long the client waits, from `Grpc-Timeout`: a number and a unit; nil is for ever.
    static func timeout(_ request: HTTPRequest) throws(Refusal) -> TimeAmount? {
        guard let text = request.header("grpc-timeout"), !text.isEmpty else { return nil }
        let units: [Character: Int64] = [
            "H": 3_600_000_000_000, "M": 60_000_000_000, "S": 1_000_000_000, "m": 1_000_000, "u": 1000, "n": 1,
        ]
        guard text.count >= 2, let last = text.last, let unit = units[last], let count = Int64(text.dropLast()) else {
            throw Refusal(text: "invalid grpc-timeout: \(text.prefix(64))")
        }
        // As in etcd's gateway, no time at all means none was said.
        if count == 0 { return nil }
        // Beyond a few years nobody waits, and the clock's range is not far.
        let longest: Int64 = 10 * 365 * 86_400 * 1_000_000_000
        let (amount, overflows) = count.multipliedReportingOverflow(by: unit)
        return .nanoseconds(overflows ? longest : min(max(amount, 0), longest))
    }
}
