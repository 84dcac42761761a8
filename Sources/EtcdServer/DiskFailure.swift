import Logging
import Member
import Membership

/// The end of a member whose disk refused a write: it says so, lets another member lead if it leads, and leaves.
///
/// ``stop(_:_:)`` runs on the thread that met the error and that writes nothing any more, so that nothing is acknowledged
/// which the disk does not have.
final class DiskFailure: Sendable {
    private let member: MemberThread
    private let logger: Logger
    /// The longest time that handing over may take: the member's own thread may wait for the same disk.
    private let patience: Int64

    init(member: MemberThread, electionMilliseconds: Int64, logger: Logger) {
        self.member = member
        self.logger = logger
        patience = electionMilliseconds
    }

    /// Ends the process with `what` and `error` as the reason.
    func stop(_ what: String, _ error: any Error) -> Never {
        logger.error("\(what); giving up leadership before stopping", metadata: ["error": .string("\(error)")])
        let done = Mailbox<Void>()
        member.perform { $0.diskFailed { done.send(()) } }
        var taken: [Void] = []
        done.receive(into: &taken, until: Clock.milliseconds + patience)
        FatalError.stop(logger, what, error)
    }
}

extension MemberThread {
    /// The disk has failed: `handedOver` is called when this member leads no more, or nobody could lead in its place.
    func diskFailed(handedOver: @escaping @Sendable () -> Void) {
        onHandOver = handedOver
        core.diskFailed(now: Clock.milliseconds)
    }

    /// Ends the process with `what` and `error` as the reason, when this member leads no more, within an election timeout.
    /// The log can still be written, so what is acknowledged meanwhile is kept.
    func stopAfterHandover(_ what: String, _ error: any Error) {
        guard onHandOver == nil else { return }
        let logger = logger
        logger.error("\(what); giving up leadership before stopping", metadata: ["error": .string("\(error)")])
        diskFailed { FatalError.stop(logger, what, error) }
    }

    /// Says what became of the log's disk, and then whether a member that must end may do so.
    func noteDisk(_ notices: [DiskNotice]) {
        defer { endAfterHandover() }
        guard !notices.isEmpty else { return }
        let own: Logger.Metadata.Value = .string(localID)
        let reason =
            core.diskHasFailed ? "its disk has failed" : "the disk of the write-ahead log does not answer"
        for notice in notices {
            switch notice {
            case .stalled(let milliseconds):
                logger.warning(
                    "the disk of the write-ahead log does not answer",
                    metadata: ["local-member-id": own, "waited": .string("\(milliseconds)ms")])
            case .handingOver(let target):
                logger.warning(
                    "handing over leadership since \(reason)",
                    metadata: ["local-member-id": own, "transferee-member-id": .string(Identity.text(target))])
            case .resigned:
                logger.warning("gave up leadership since \(reason)", metadata: ["local-member-id": own])
            case .answering:
                logger.info(
                    "the disk of the write-ahead log answers again", metadata: ["local-member-id": own])
            }
        }
    }

    /// The last thing of a turn to be said: the process may end right away.
    private func endAfterHandover() {
        guard let handedOver = onHandOver, !core.isLeader || core.confState.voters.count == 1 else { return }
        onHandOver = nil
        handedOver()
    }

    /// A leader whose heartbeats come late may lose its followers: its disk or its processor is overloaded.
    func noteLateHeartbeat(due: Int64, now: Int64) {
        let interval = heartbeatMilliseconds
        guard core.isLeader, now - due > interval, core.confState.voters.count > 1 else { return }
        running.status.lateHeartbeats.add(1, ordering: .relaxed)
        logger.warning(
            "leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk",
            metadata: [
                "heartbeat-interval": .string("\(interval)ms"), "expected-duration": .string("\(2 * interval)ms"),
                "exceeded-duration": .string("\(now - due - interval)ms"),
            ])
    }
}
