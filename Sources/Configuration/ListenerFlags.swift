import Membership

/// Flags of the listeners for clients and of their connections.
extension MemberConfiguration {
    static let clientURL = "http://localhost:2379"
    static let peerURL = "http://localhost:2380"

    static let listenerFlags: [FlagDefinition] = [
        .urls("listen-peer-urls", peerURL, "URLs to listen on for other members."),
        .urls("listen-client-urls", clientURL, "URLs to listen on for clients."),
        .urls(
            "listen-client-http-urls", "",
            "URLs to listen on for HTTP alone; listen-client-urls then serve gRPC alone."),
        .unsigned(
            "max-concurrent-streams", UInt64(UInt32.max), upTo: UInt64(UInt32.max),
            "Streams that each client may have open at a time."),
        .toggle("enable-grpc-gateway", true, "Serve the JSON gateway."),
        .choice(
            "grpc-gateway-errors", ["v1", "v2"], "v1",
            "Form of errors in JSON: that of etcd 3.4 and 3.5, or that of 3.6 and 3.7. etcd does not have this flag."),
        .duration("grpc-keepalive-min-time", "5s", "Shortest time between two pings of a client."),
        .duration("grpc-keepalive-interval", "2h", "Silence after which a client's connection is probed; 0 is never."),
        .duration("grpc-keepalive-timeout", "20s", "Time for the answer to such a probe; 0 is for ever."),
        .toggle("socket-reuse-port", false, "Set SO_REUSEPORT on listeners.")
            .inFile("socket-options", "reuse-port"),
        .toggle("socket-reuse-address", false, "Set SO_REUSEADDR on listeners, which is done anyhow, as Go does.")
            .inFile("socket-options", "reuse-address"),
        .duration("raft-read-timeout", "5s", "Silence after which a stream of another member is given up."),
        .duration("raft-write-timeout", "5s", "Time for a write to another member."),
    ]
}

/// What gRPC connections of clients may do.
public struct GRPCSettings: Equatable, Sendable {
    /// Pings that come closer than this are too many.
    public var keepaliveMinimumMilliseconds: Int64
    /// Silence after which the server probes a connection; 0 is never.
    public var keepaliveIntervalMilliseconds: Int64
    /// How long it waits for the answer; 0 is for ever.
    public var keepaliveTimeoutMilliseconds: Int64
    /// Streams that each connection may have open.
    public var maximumConcurrentStreams: UInt32

    init(_ settings: Settings) {
        keepaliveMinimumMilliseconds = settings.milliseconds("grpc-keepalive-min-time")
        keepaliveIntervalMilliseconds = settings.milliseconds("grpc-keepalive-interval")
        keepaliveTimeoutMilliseconds = settings.milliseconds("grpc-keepalive-timeout")
        maximumConcurrentStreams = settings.number("max-concurrent-streams")
    }
}

/// Options of listening sockets.
public struct SocketOptions: Equatable, Sendable {
    /// Whether several sockets may listen at one port.
    public var reusesPort: Bool
    /// Whether a port in TIME_WAIT may be bound again.
    public var reusesAddress: Bool

    init(_ settings: Settings) {
        reusesPort = settings.isOn("socket-reuse-port")
        reusesAddress = settings.isOn("socket-reuse-address")
    }
}

/// Time limits of the connections between members.
public struct PeerTimeouts: Equatable, Sendable {
    /// etcd's least; smaller values are raised to it.
    private static let leastMilliseconds: Int64 = 5000

    /// Silence after which a stream is given up.
    public var readMilliseconds: Int64
    /// The longest time for a write.
    public var writeMilliseconds: Int64

    init(_ settings: Settings) {
        readMilliseconds = max(Self.leastMilliseconds, settings.milliseconds("raft-read-timeout"))
        writeMilliseconds = max(Self.leastMilliseconds, settings.milliseconds("raft-write-timeout"))
    }
}

/// URLs that cannot be listened at or told to others, in etcd's words.
enum URLRules {
    /// A listener needs an address; a name could mean several, and another one tomorrow.
    static func checkBindable(_ urls: [ServiceURL], _ settings: Settings) {
        for url in urls where url.scheme == .http || url.scheme == .https {
            guard url.host != "localhost", !isAddress(url.host) else { continue }
            settings.note("expected IP in URL for binding (\(url.text))")
        }
    }

    /// The first URL among `urls` that names no host.
    static func withoutHost(_ urls: [ServiceURL]) -> ServiceURL? {
        urls.first { ($0.scheme == .http || $0.scheme == .https) && $0.host.isEmpty }
    }

    /// Whether `host` is an address rather than a name.
    static func isAddress(_ host: String) -> Bool {
        if host.contains(":") { return host.allSatisfy { $0.isHexDigit || $0 == ":" || $0 == "." || $0 == "%" } }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}

extension MemberConfiguration {
    /// The first address among the advertised peer URLs that others can reach: neither a name, nor loopback, nor
    /// unspecified. nil when there is none.
    public var localAddress: String? {
        for text in initialAdvertisePeerURLs {
            guard let url = try? ServiceURL(parsing: text), url.scheme == .http || url.scheme == .https else {
                continue
            }
            let isUsual = url.host.hasPrefix("127.") || ["::1", "::", "0.0.0.0"].contains(url.host)
            if URLRules.isAddress(url.host) && !isUsual { return url.host }
        }
        return nil
    }
}
