import Bolt
import Crypto
import Disk
import Logging
import Membership
import Metrics
import NIOCore
import NIOHTTP1
import PeerProtocol
import RaftMessages
import WriteAheadLog

/// Takes one posted snapshot: its message, and its database, which goes to a file as it arrives. Belongs to the event loop;
/// the file is written on the transport's disk threads.
final class SnapshotReceiver: @unchecked Sendable {
    /// Bytes that may wait for the disk. Above it the connection is not read.
    private static let waitingLimit = 4 << 20

    private let core: TransportCore
    private let connection: ServerConnection
    /// Whether the sender has said that the hash of the database will come after it.
    private let announcesHash: Bool
    private var preamble = SnapshotPreamble()
    private var message: Message?
    private var keeper: DatabaseKeeper?
    /// Bytes of the message that have come.
    private var gathered = 0
    private var waiting: [ByteBuffer] = []
    private var waitingBytes = 0
    private var isWorking = false
    /// Set when the body has ended, to the hash that came after it.
    private var end: (hash: String?, Void)?
    private var isOver = false
    private let startedAt = NIODeadline.now()

    init(_ connection: ServerConnection, core: TransportCore, announcesHash: Bool) {
        self.connection = connection
        self.core = core
        self.announcesHash = announcesHash
    }

    /// Whether the connection should be read on.
    var hasRoom: Bool { waitingBytes < Self.waitingLimit }

    func feed(_ piece: ByteBuffer) {
        guard !isOver else { return }
        if message != nil { return add(piece) }
        guard core.gatherSnapshotMessage(piece.readableBytes) else {
            return refuse(503, "too many snapshots are on their way")
        }
        gathered += piece.readableBytes
        do throws(PeerProtocolError) {
            let found = try piece.readableBytesView.withUnsafeBytes { (bytes) throws(PeerProtocolError) in
                try preamble.feed(bytes)
            }
            guard let found else { return }
            releaseGathered()
            guard begin(found.message) else { return }
            add(piece.getSlice(at: piece.writerIndex - found.rest, length: found.rest) ?? ByteBuffer())
        } catch {
            refuse(400, "failed to decode raft message (\(error))")
        }
    }

    private func releaseGathered() {
        core.releaseSnapshotMessage(gathered)
        gathered = 0
    }

    /// Takes the message; false when it is refused.
    private func begin(_ message: Message) -> Bool {
        guard message.type == .snapshot, let index = message.snapshot?.metadata.index, index > 0 else {
            over(connection.response(PeerRefusal.wrongMessageType))
            return false
        }
        if let refusal = message.refusal(receiver: core.settings.memberID, isRemoved: core.removed.contains) {
            core.note(refusal, of: message)
            over(connection.response(to: refusal))
            return false
        }
        self.message = message
        core.settings.metrics.snapshotsBeingReceived[sender].add(1)
        keeper = DatabaseKeeper(core.settings.snapshots, index: index, serial: core.nextSerial())
        core.logger.info("receiving database snapshot", metadata: metadata)
        return true
    }

    private func add(_ piece: ByteBuffer) {
        guard piece.readableBytes > 0 else { return }
        waiting.append(piece)
        waitingBytes += piece.readableBytes
        work()
    }

    /// The body is complete.
    func ended(_ trailers: HTTPHeaders?) {
        guard !isOver else { return }
        guard message != nil else {
            return refuse(400, "failed to decode raft message (\(PeerProtocolError.truncated))")
        }
        end = (trailers?.first(name: PeerHeader.databaseSHA256), ())
        work()
    }

    /// Lets a disk thread write what waits, or finish when all is written.
    private func work() {
        guard !isWorking, !isOver, let keeper else { return }
        if !waiting.isEmpty {
            let pieces = waiting
            waiting = []
            let bytes = pieces.reduce(0) { $0 + $1.readableBytes }
            run({ try keeper.abandonOnFailure { try keeper.write(pieces) } }, then: { $0.waitingBytes -= bytes })
        } else if let end {
            let announcesHash = announcesHash
            run(
                { [diskMetrics = core.settings.diskMetrics] in
                    try keeper.abandonOnFailure {
                        try keeper.finish(hash: end.hash, announcesHash: announcesHash, diskMetrics)
                    }
                },
                then: { $0.deliver() })
        }
    }

    private func run(
        _ job: @escaping @Sendable () throws -> Void, then: @escaping @Sendable (SnapshotReceiver) -> Void
    ) {
        isWorking = true
        core.diskThreads.runIfActive(eventLoop: core.loop, job).whenComplete { [self] result in
            isWorking = false
            if isOver { return discard() }
            switch result {
            case .success:
                then(self)
                connection.readMore()
                work()
            case .failure(let error): refuse(500, "failed to save KV snapshot (\(error))")
            }
        }
    }

    private func deliver() {
        guard let message, let keeper else { return }
        isOver = true
        self.keeper = nil
        let metrics = core.settings.metrics
        metrics.snapshotsReceived[sender].add()
        metrics.snapshotsBeingReceived[sender].add(-1)
        let took = (NIODeadline.now() - startedAt).nanoseconds
        metrics.snapshotReceipts[sender].observe(nanoseconds: took)
        core.settings.diskMetrics.sentDatabaseSave.observe(nanoseconds: took)
        core.logger.info(
            "received and saved database snapshot",
            metadata: metadata.merging([
                "incoming-snapshot-size-bytes": .stringConvertible(keeper.size),
                "download-took": .string("\((NIODeadline.now() - startedAt).nanoseconds / 1_000_000)ms"),
            ]) { first, _ in first })
        core.events.received(core.posted.add([message], bytes: message.encodedSize))
        connection.received()
    }

    private func refuse(_ status: Int, _ text: String) {
        core.logger.warning(
            "failed to save incoming database snapshot",
            metadata: metadata.merging(["error": .string(text)]) { first, _ in first })
        over(connection.response(PeerRefusal(status: status, text: text)))
    }

    private func over(_ response: PeerResponse) {
        abandon()
        connection.refuse(response)
    }

    /// The transfer came to nothing: its file goes.
    func abandon() {
        if message != nil && !isOver {
            core.settings.metrics.snapshotsBeingReceived[sender].add(-1)
            core.settings.metrics.snapshotReceiveFailures[sender].add()
        }
        isOver = true
        waiting = []
        releaseGathered()
        if !isWorking { discard() }
    }

    private func discard() {
        guard let keeper else { return }
        self.keeper = nil
        core.diskThreads.submit { _ in keeper.abandon() }
    }

    private var sender: String { Identity.text(message?.from ?? 0) }

    private var metadata: Logger.Metadata {
        [
            "local-member-id": .string(core.identity.memberText),
            "remote-snapshot-sender-id": .string(Identity.text(message?.from ?? 0)),
            "incoming-snapshot-index": .stringConvertible(message?.snapshot?.metadata.index ?? 0),
        ]
    }
}

/// The file of a database that arrives, and its hash. One disk thread at a time.
private final class DatabaseKeeper: @unchecked Sendable {
    struct Damaged: Error, CustomStringConvertible { let description: String }

    private let directory: SnapshotDirectory
    private let index: UInt64
    private let serial: UInt64
    private var file: IncomingDatabase?
    private var hash = SHA256()
    private(set) var size = 0

    init(_ directory: SnapshotDirectory, index: UInt64, serial: UInt64) {
        self.directory = directory
        self.index = index
        self.serial = serial
    }

    /// The file is gone before the sender hears of the failure.
    func abandonOnFailure(_ work: () throws -> Void) throws {
        do {
            try work()
        } catch {
            abandon()
            throw error
        }
    }

    func write(_ pieces: [ByteBuffer]) throws {
        let file = try file ?? directory.receiveDatabase(index: index, serial: serial)
        self.file = file
        for piece in pieces {
            try piece.withUnsafeReadableBytes { bytes in
                hash.update(bufferPointer: bytes)
                try file.append(bytes)
            }
        }
        size = file.size
    }

    /// Checks the whole file, by the hash if the sender knows of it and page by page if not, and keeps it.
    func finish(hash expected: String?, announcesHash: Bool, _ metrics: DiskMetrics) throws {
        guard let file else { throw Damaged(description: "no database came") }
        if announcesHash {
            guard let expected else { throw Damaged(description: "the database's hash is missing") }
            let found = DatabaseHash.text(hash.finalize())
            guard found == expected.lowercased() else {
                throw Damaged(description: "the database's SHA-256 is \(found) where \(expected) was sent")
            }
        } else {
            try check(file.temporaryPath)
        }
        let start = NIODeadline.now()
        try file.keep()
        metrics.sentDatabaseSync.observe(nanoseconds: (NIODeadline.now() - start).nanoseconds)
        self.file = nil
    }

    /// Walks the file as Bolt's own check does, since a member of etcd sends no hash.
    private func check(_ path: String) throws {
        let database = try Database(disk: directory.disk, path: path, options: DatabaseOptions(readOnly: true))
        defer { database.close() }
        let transaction = try database.beginRead()
        defer { transaction.close() }
        let findings = Check.findings(in: transaction)
        if let first = findings.first {
            throw Damaged(description: "the database is damaged (\(findings.count) findings), first: \(first)")
        }
    }

    func abandon() {
        file?.abandon()
        file = nil
    }
}
