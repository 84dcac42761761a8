import Configuration
import GRPC
import NIOCore
import PeerTransport
import Sockets

extension Server.Configuration {
    /// What gRPC may add to a request, beyond its own limit (etcd's grpcOverheadBytes).
    private static let grpcOverheadBytes = 512 * 1024
    /// How often a client may ping when the flag says zero, which leaves it to grpc-go.
    private static let standardPingInterval = TimeAmount.minutes(5)

    /// The limits and intervals that a member's flags ask for, and the account of what replies take.
    init(_ configuration: MemberConfiguration, memory: ResponseMemory = ResponseMemory(limit: .max)) {
        self.init()
        responseMemory = memory
        maximumConnections = DescriptorBudget.ofProcess.clients
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
}

extension PeerTransport.Settings {
    /// These settings with what a member's flags say of connections to others.
    func following(_ configuration: MemberConfiguration) -> Self {
        var settings = self
        settings.connectionLimit = DescriptorBudget.ofProcess.peers
        settings.readTimeout = configuration.peerTimeouts.readMilliseconds
        settings.writeTimeout = configuration.peerTimeouts.writeMilliseconds
        if configuration.features.isOn("SetMemberLocalAddr") { settings.localAddress = configuration.localAddress }
        return settings
    }
}
