/// Where the time of a request goes. Noted in batches: all requests that pass a stage together are noted by one
/// observation.
public final class StageMetrics: Sendable {
    /// From the event loop's turn that brought the request until it is proposed to Raft.
    public let queue: Histogram
    /// Until a quorum has it on disk and this member knows.
    public let sync: Histogram
    /// Until it is applied.
    public let apply: Histogram
    /// Until the answer is on the client's connection.
    public let reply: Histogram
    /// Of linearizable reads: until the leader is confirmed and what was committed is applied.
    public let readIndex: Histogram

    init(_ registry: Registry) {
        let family = registry.histograms(
            "swift_etcd_request_stage_seconds", "Time that requests of this member's clients spent in each stage.",
            labels: ["stage"], bounds: Buckets.exponential(0.000_05, 2, 18))
        queue = family["queue"]
        sync = family["sync"]
        apply = family["apply"]
        reply = family["reply"]
        readIndex = family["read_index"]
    }
}
