import GRPC
import Logging
import Synchronization

/// What gRPC's health service says of the whole server: that it serves, but while it stops, and while it defragments where
/// that is asked for (the feature StopGRPCServiceOnDefrag), so that clients that ask go elsewhere meanwhile. Calls are
/// served all the same, as in etcd.
final class ServingNotice: Sendable {
    private let health: HealthService
    private let saysDefragmentation: Bool
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        /// Defragmentations that were asked for and are not over.
        var defragmentations = 0
        /// From then on nothing else is said.
        var isStopping = false
    }

    init(_ health: HealthService, saysDefragmentation: Bool, logger: Logger) {
        self.health = health
        self.saysDefragmentation = saysDefragmentation
        self.logger = logger
    }

    func defragmentationBegins() {
        guard saysDefragmentation else { return }
        state.withLock { state in
            state.defragmentations += 1
            if state.defragmentations == 1 && !state.isStopping { say(.notServing, "defrag is active") }
        }
    }

    func defragmentationEnds() {
        guard saysDefragmentation else { return }
        state.withLock { state in
            state.defragmentations -= 1
            if state.defragmentations == 0 && !state.isStopping { say(.serving, nil) }
        }
    }

    func memberStops() {
        state.withLock { state in
            state.isStopping = true
            health.set("", .notServing)
        }
    }

    private func say(_ status: HealthService.ServingStatus, _ reason: String?) {
        health.set("", status)
        var fields: Logger.Metadata = [
            "service": "", "status": .string(status == .serving ? "SERVING" : "NOT_SERVING"),
        ]
        if let reason { fields["reason"] = .string(reason) }
        logger.info("grpc service status changed", metadata: fields)
    }
}
