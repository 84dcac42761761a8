import Raft
import RaftMessages

/// Snapshots on their way to other members.
///
/// Raft asks for a snapshot with a message that names the last one saved. What is sent is newer: the state at the next
/// commit of the backend, since only what is committed can be read while writes go on.
struct SnapshotTransfers {
    /// Snapshots under way at a time; each pins pages of the database (etcd's `maxInFlightMsgSnap`).
    static let limit = 16
    /// The log is kept for this many milliseconds after a snapshot arrived, so that its receiver can follow with entries
    /// and does not need another (etcd's `releaseDelayAfterSnapshot`).
    static let releaseDelay: Int64 = 30_000

    enum Stage {
        /// Waits for a commit of the backend to begin.
        case waiting
        /// The commit that it speaks of is under way.
        case committing
        /// It was handed out, and its fate is not known yet.
        case sending
    }

    struct Transfer {
        var message: Message
        /// The snapshot that Raft believes to be sent; it sends entries from there on afterwards.
        var base: UInt64
        var stage = Stage.waiting
    }

    /// By receiver; one at a time to each.
    var underWay: [UInt64: Transfer] = [:]
    /// Arrived snapshots' bases by receiver, and until when the log is kept for them; the time is set once it is known.
    var arrived: [UInt64: (base: UInt64, until: Int64?)] = [:]

    /// The index behind which no entry may be discarded.
    var neededFrom: UInt64 {
        min(underWay.values.map(\.base).min() ?? .max, arrived.values.map(\.base).min() ?? .max)
    }
}

extension MemberCore {
    /// The snapshot that was handed out for `member` has arrived, or has not. Must be said of every one: Raft sends that
    /// member nothing until then.
    public func reportSnapshot(to member: UInt64, succeeded: Bool) {
        if let transfer = transfers.underWay[member], transfer.stage == .sending {
            transfers.underWay[member] = nil
            if succeeded { transfers.arrived[member] = (transfer.base, nil) }
        }
        raft.reportSnapshot(member, succeeded: succeeded)
    }

    /// A message to `member` was not delivered.
    public func reportUnreachable(_ member: UInt64) {
        raft.reportUnreachable(member)
    }

    /// Keeps Raft's order to send a snapshot until there is one.
    func hold(_ message: Message) {
        let base = message.snapshot?.metadata.index ?? 0
        let isBeingSent = transfers.underWay[message.to]?.stage == .sending
        let isNew = transfers.underWay[message.to] == nil
        if isBeingSent || (isNew && transfers.underWay.count >= SnapshotTransfers.limit) {
            // Raft will ask again at one of the next heartbeats.
            raft.reportSnapshot(message.to, succeeded: false)
            return
        }
        transfers.underWay[message.to] = SnapshotTransfers.Transfer(message: message, base: base)
    }

    /// Brings the snapshots that wait nearer to their commit, and lets go of the log that is needed no more.
    func prepareSnapshots(now: Int64) {
        guard !transfers.underWay.isEmpty || !transfers.arrived.isEmpty else { return }
        for (member, held) in transfers.arrived {
            let until = held.until ?? now + SnapshotTransfers.releaseDelay
            transfers.arrived[member] = now < until ? (held.base, until) : nil
        }
        let known = Set(confState.voters + confState.learners + confState.votersOutgoing)
        transfers.underWay = transfers.underWay.filter { member, transfer in
            known.contains(member) && (transfer.stage == .sending || isCurrent(transfer))
        }
        guard transfers.underWay.values.contains(where: { $0.stage == .waiting }) else { return }
        if isStateCommitted {
            mergeSnapshots()
            handOutSnapshots()
        } else {
            output.wantsCommit = true
        }
    }

    /// Whether the backend's file holds what is applied, neither less nor, as while a restart catches up, more.
    private var isStateCommitted: Bool {
        applier.backend.hasCommittedAll && applier.backend.consistentIndex == appliedIndex
    }

    /// Whether the leader that ordered a transfer still leads.
    private func isCurrent(_ transfer: SnapshotTransfers.Transfer) -> Bool {
        isLeader && transfer.message.term == term
    }

    /// Puts the state that the commit which begins now will have into the messages that wait for it.
    func mergeSnapshots() {
        guard transfers.underWay.values.contains(where: { $0.stage == .waiting }),
            applier.backend.consistentIndex == appliedIndex
        else { return }
        let snapshot = presentSnapshot()
        for (member, transfer) in transfers.underWay where transfer.stage == .waiting {
            transfers.underWay[member]?.message.snapshot = snapshot
            transfers.underWay[member]?.stage = .committing
        }
    }

    /// Hands out the snapshots whose commit has finished.
    func handOutSnapshots() {
        for member in transfers.underWay.keys.sorted() {
            guard let transfer = transfers.underWay[member], transfer.stage == .committing else { continue }
            guard isCurrent(transfer) else {
                transfers.underWay[member] = nil
                continue
            }
            transfers.underWay[member]?.stage = .sending
            output.snapshotsToSend.append(transfer.message)
        }
    }
}
