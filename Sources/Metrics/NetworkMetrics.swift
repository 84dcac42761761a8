/// The traffic with clients and with other members: `etcd_network_…`. Other members are named by their ids in hexadecimal.
public final class NetworkMetrics: Sendable {
    /// Bytes of messages from clients, uncompressed and without framing.
    public let clientBytesReceived: Counter
    public let clientBytesSent: Counter
    /// Bytes to each other member.
    public let peerBytesSent: Family<Counter>
    public let peerBytesReceived: Family<Counter>
    public let peerSendFailures: Family<Counter>
    public let peerReceiveFailures: Family<Counter>
    public let roundTrips: Family<Histogram>
    /// By this member and the other: 1 while it is connected.
    public let activePeers: Family<Gauge>
    public let disconnectedPeers: Family<Counter>
    /// By this member and the other: 1 while it is in the list of members.
    public let knownPeers: Family<Gauge>
    public let snapshotsSent: Family<Counter>
    public let snapshotsBeingSent: Family<Gauge>
    public let snapshotSendFailures: Family<Counter>
    public let snapshotSends: Family<Histogram>
    public let snapshotsReceived: Family<Counter>
    public let snapshotsBeingReceived: Family<Gauge>
    public let snapshotReceiveFailures: Family<Counter>
    public let snapshotReceipts: Family<Histogram>

    init(_ registry: Registry) {
        let name = "etcd_network_"
        func counters(_ what: String, _ help: String, _ label: String) -> Family<Counter> {
            registry.counters(name + what, help, labels: [label])
        }
        clientBytesReceived = registry.counter(
            name + "client_grpc_received_bytes_total", "The total number of bytes received from grpc clients.")
        clientBytesSent = registry.counter(
            name + "client_grpc_sent_bytes_total", "The total number of bytes sent to grpc clients.")
        peerBytesSent = counters("peer_sent_bytes_total", "The total number of bytes sent to peers.", "To")
        peerBytesReceived = counters(
            "peer_received_bytes_total", "The total number of bytes received from peers.", "From")
        peerSendFailures = counters(
            "peer_sent_failures_total", "The total number of send failures from peers.", "To")
        peerReceiveFailures = counters(
            "peer_received_failures_total", "The total number of receive failures from peers.", "From")
        roundTrips = registry.histograms(
            name + "peer_round_trip_time_seconds", "Round-Trip-Time histogram between peers", labels: ["To"],
            bounds: Buckets.exponential(0.0001, 2, 16))
        activePeers = registry.gauges(
            name + "active_peers", "The current number of active peer connections.", labels: ["Local", "Remote"])
        disconnectedPeers = registry.counters(
            name + "disconnected_peers_total", "The total number of disconnected peers.",
            labels: ["Local", "Remote"])
        knownPeers = registry.gauges(
            name + "known_peers", "The current number of known peers.", labels: ["Local", "Remote"])
        snapshotsSent = counters("snapshot_send_success", "Total number of successful snapshot sends", "To")
        snapshotsBeingSent = registry.gauges(
            name + "snapshot_send_inflights_total", "Total number of inflight snapshot sends", labels: ["To"])
        snapshotSendFailures = counters(
            "snapshot_send_failures", "Total number of snapshot send failures", "To")
        snapshotSends = registry.histograms(
            name + "snapshot_send_total_duration_seconds", "Total latency distributions of v3 snapshot sends",
            labels: ["To"], bounds: Buckets.exponential(0.1, 2, 10))
        snapshotsReceived = counters(
            "snapshot_receive_success", "Total number of successful snapshot receives", "From")
        snapshotsBeingReceived = registry.gauges(
            name + "snapshot_receive_inflights_total", "Total number of inflight snapshot receives",
            labels: ["From"])
        snapshotReceiveFailures = counters(
            "snapshot_receive_failures", "Total number of snapshot receive failures", "From")
        snapshotReceipts = registry.histograms(
            name + "snapshot_receive_total_duration_seconds", "Total latency distributions of v3 snapshot receives",
            labels: ["From"], bounds: Buckets.exponential(0.1, 2, 10))
    }
}

/// The traffic with one other member.
public final class PeerMetrics: Sendable {
    public let bytesSent: Counter
    public let bytesReceived: Counter
    public let sendFailures: Counter
    public let receiveFailures: Counter
    public let roundTrips: Histogram
    public let active: Gauge
    public let disconnections: Counter

    init(_ network: NetworkMetrics, _ remote: String, local: String) {
        bytesSent = network.peerBytesSent[remote]
        bytesReceived = network.peerBytesReceived[remote]
        sendFailures = network.peerSendFailures[remote]
        receiveFailures = network.peerReceiveFailures[remote]
        roundTrips = network.roundTrips[remote]
        active = network.activePeers[local, remote]
        disconnections = network.disconnectedPeers[local, remote]
    }
}

extension NetworkMetrics {
    /// The series of the member `remote`, as `local` sees it; both ids in hexadecimal.
    public func peer(_ remote: String, local: String) -> PeerMetrics {
        PeerMetrics(self, remote, local: local)
    }
}
