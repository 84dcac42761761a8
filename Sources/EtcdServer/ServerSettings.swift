import Configuration
import GRPC
import Glibc
import NIOCore
import PeerTransport

extension Server.Configuration {
    /// What gRPC may add to a request, beyond its own limit (etcd's grpcOverheadBytes).
    private static let grpcOverheadBytes = 512 * 1024
    /// Descriptors that are not for clients: files, listeners, other members (etcd keeps as many).
    private static let reservedDescriptors = 150
    /// How often a client may ping when the flag says zero, which leaves it to grpc-go.
    private static let standardPingInterval = TimeAmount.minutes(5)

    /// The limits and intervals that a member's flags ask for, and the account of what replies take.
    init(_ configuration: MemberConfiguration, memory: ResponseMemory = ResponseMemory(limit: .max)) {
        self.init()
        responseMemory = memory
        maximumConnections = Self.connectionLimit
        overloadRefusal = Status(.tooManyRequests)
        maximumMessageSize = configuration.maxRequestBytes + Self.grpcOverheadBytes
        // In JSON bytes take a third more, and some text goes around them.
        maximumHTTPBody = 2 * maximumMessageSize
        let grpc = configuration.grpc
        // etcd's default means no limit, and so does zero; then this server has its own.
        let streams = grpc.maximumConcurrentStreams
        if streams != .max && streams != 0 { maximumConcurrentStreams = streams }
        minimumPingInterval =
            grpc.keepaliveMinimumMilliseconds > 0
            ? .milliseconds(grpc.keepaliveMinimumMilliseconds) : Self.standardPingInterval
        // As in etcd, either at zero leaves both at their defaults.
        if grpc.keepaliveIntervalMilliseconds > 0 && grpc.keepaliveTimeoutMilliseconds > 0 {
            keepaliveInterval = .milliseconds(grpc.keepaliveIntervalMilliseconds)
            keepaliveTimeout = .milliseconds(grpc.keepaliveTimeoutMilliseconds)
        }
    }

    /// A member that could open no file any more would have to end, so clients leave it some descriptors.
    private static var connectionLimit: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return .max }
        // The soft limit is raised to the hard one.
        let descriptors = Int(clamping: limit.rlim_max)
        return max(descriptors / 2, descriptors - reservedDescriptors)
    }
}

extension PeerTransport.Settings {
    /// These settings with what a member's flags say of connections to others.
    func following(_ configuration: MemberConfiguration) -> Self {
        var settings = self
        settings.readTimeout = configuration.peerTimeouts.readMilliseconds
        settings.writeTimeout = configuration.peerTimeouts.writeMilliseconds
        if configuration.features.isOn("SetMemberLocalAddr") { settings.localAddress = configuration.localAddress }
        return settings
    }
}
