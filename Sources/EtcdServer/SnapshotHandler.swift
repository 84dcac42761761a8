import Backend
import Crypto
import EtcdAPI
import FoundationEssentials
import GRPC
import Membership
import Metrics
import NIOCore
import SwiftProtobuf

/// `Maintenance.Snapshot`: the whole backend file, then its SHA-256.
final class SnapshotHandler: StreamHandler, @unchecked Sendable {
    /// Bytes of the file in one message, as etcd sends them.
    private static let pieceBytes = 32 * 1024

    /// Snapshots that may be sent at once; each pins the pages of its moment and has a thread.
    private static let runningLimit = 8

    /// How long a client may leave what was sent it unread. Meanwhile none of the file's pages can be used again, so that
    /// it grows with each write. A client that writes to the slowest of disks takes a few pieces a second.
    private static let patience = ReplyPatience.Limits(piece: .minutes(10))

    private let call: StreamCall
    private let member: MemberThread
    private let running: SharedCount
    private let durations: Histogram
    private var hasBegun = false
    private var isOver = false
    /// Lets the reading thread send one more piece, or end when the stream is gone.
    private let permits = PiecePermits()
    private var waiting: ReplyPatience?

    init(call: StreamCall, member: MemberThread, running: SharedCount, durations: Histogram) {
        self.durations = durations
        self.call = call
        self.member = member
        self.running = running
    }

    func received(_ message: [UInt8]) {
        guard !hasBegun, !isOver else { return }
        guard (try? Etcdserverpb_SnapshotRequest(serializedBytes: message)) != nil else {
            end(Status(.internal, "grpc: failed to unmarshal the received message"))
            return
        }
        hasBegun = true
        let place = Place(running)
        guard running.value.load(ordering: .relaxed) <= Self.runningLimit else {
            end(Status(.resourceExhausted, EtcdError.tooManyRequests.message))
            return
        }
        member.perform { [self] member in
            member.afterNextCommit { [self] member in
                let snapshot = Result { try member.core.applier.backend.snapshot() }
                // A file from before 3.6 does not say which version's layout it has.
                let version = member.core.applier.storageVersion?.description ?? ""
                // A slow client would hold one of the readers for long, so each snapshot has a thread of its own.
                if !ServiceThread.detach("etcd-snapshot", { [self] in run(snapshot, version, place) }) {
                    end(Status(.resourceExhausted, "etcdserver: the system gives no thread for a snapshot"))
                }
            }
        }
    }

    func halfClosed() {
        if !hasBegun { end(Status(.internal, "grpc: a snapshot's stream ended before its request")) }
    }

    func cancelled(_ reason: CancelReason) {
        isOver = true
        waiting?.end()
        permits.close()
    }

    func writable() { permits.open() }

    /// One of those that run, until nobody holds it.
    private final class Place: Sendable {
        private let running: SharedCount

        init(_ running: SharedCount) {
            self.running = running
            running.value.add(1, ordering: .relaxed)
        }

        deinit { running.value.subtract(1, ordering: .relaxed) }
    }

    private func run(_ snapshot: Result<BackendSnapshot, any Error>, _ version: String, _ place: Place) {
        do {
            let start = Clock.nanoseconds
            let snapshot = try snapshot.get()
            var digest = SHA256()
            var remaining = UInt64(snapshot.size)
            try snapshot.write { bytes in
                var rest = bytes
                while !rest.isEmpty {
                    let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(Self.pieceBytes))
                    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
                    digest.update(bufferPointer: piece)
                    remaining -= min(remaining, UInt64(piece.count))
                    try send([UInt8](piece), remaining: remaining, version)
                }
            }
            try send(Array(digest.finalize()), remaining: 0, version)
            durations.observe(nanoseconds: Clock.nanoseconds - start)
            end(.ok)
        } catch is PiecePermits.Closed {
            return
        } catch {
            end(Status(.unknown, "\(error)"))
        }
    }

    private func send(_ piece: [UInt8], remaining: UInt64, _ version: String) throws {
        try permits.wait()
        var response = Etcdserverpb_SnapshotResponse()
        response.blob = Data(piece)
        response.remainingBytes = remaining
        response.version = version
        let message: [UInt8] = try response.serializedBytes()
        call.eventLoop.execute { [self] in
            guard !isOver else { return }
            if let waiting { waiting.note() } else { watch() }
            call.send(message)
            if call.isWritable { permits.open() }
        }
    }

    private func watch() {
        waiting = ReplyPatience(call.eventLoop, Self.patience) { [weak self] in
            self?.permits.close()
            self?.end(LargeReads.tooSlow)
        }
    }

    private func end(_ status: Status) {
        call.eventLoop.execute { [self] in
            guard !isOver else { return }
            isOver = true
            waiting?.end()
            call.finish(status)
        }
    }
}
