import Logging
import Membership
import NIOCore
import PeerProtocol
import RaftMessages

/// Writes one of the streams that a peer has opened. Belongs to the event loop.
final class StreamWriter: @unchecked Sendable {
    /// Messages and bytes that may wait for the network: etcd's numbers.
    private static let messageLimit = 4096
    private static let byteLimit = 50 << 20
    /// A batch is written out at this size, so that the socket does not wait for the end of a long one.
    private static let batchSize = 1 << 20

    private let id: UInt64
    private let core: TransportCore
    private var encoder: StreamEncoder
    private var connection: ServerConnection?
    private var batch = ByteBuffer()
    private var batchedMessages = 0
    /// What has been written and not yet been taken by the network.
    private var waitingMessages = 0
    private var waitingBytes = 0
    /// All that was written since the stream was opened, and how much of it the network had taken at the last look.
    private var writtenBytes = 0
    private var takenBytes = 0
    private var lastWrite = NIODeadline.now()
    private var lastProgress = NIODeadline.now()
    private var hasWarned = false

    init(_ kind: StreamKind, to id: UInt64, core: TransportCore) {
        encoder = StreamEncoder(kind)
        self.id = id
        self.core = core
    }

    private var kind: StreamKind { encoder.kind }
    private var peer: Peer? { core.peers[id] }
    /// Whether the peer has opened the stream.
    var isOpen: Bool { connection != nil }

    /// The peer has opened the stream, anew if there was one.
    func attach(_ new: ServerConnection) {
        end("replaced")
        encoder = StreamEncoder(kind)
        connection = new
        new.streams(for: self)
        (waitingMessages, waitingBytes, writtenBytes, takenBytes) = (0, 0, 0, 0)
        (lastWrite, lastProgress) = (.now(), .now())
        peer?.streamsChanged()
        log(.info, "established TCP streaming connection with remote peer")
    }

    /// Adds `message` to the batch, or drops it when too much waits already.
    func send(_ message: Message) {
        let size = encoder.size(of: message)
        guard waitingMessages + batchedMessages < Self.messageLimit,
            waitingBytes + batch.readableBytes + size <= Self.byteLimit
                || waitingMessages + batchedMessages == 0
        else { return drop(message) }
        batch.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { memory in
            encoder.encode(message, into: memory)
            return size
        }
        batchedMessages += 1
        if batch.readableBytes >= Self.batchSize { flush() }
    }

    private func drop(_ message: Message) {
        if !hasWarned {
            hasWarned = true
            log(.warning, "dropped internal Raft message since sending buffer is full")
        }
        peer?.lost()
    }

    /// Writes the batch to the network.
    func flush() {
        guard batchedMessages > 0, let connection else { return }
        let (messages, bytes) = (batchedMessages, batch.readableBytes)
        let now = NIODeadline.now()
        if waitingBytes == 0 { lastProgress = now }
        lastWrite = now
        waitingMessages += messages
        waitingBytes += bytes
        writtenBytes += bytes
        batchedMessages = 0
        let written = connection.stream(batch)
        // Not copied: the buffer is used again when the network has let go of it.
        batch.clear(minimumCapacity: min(bytes, Self.batchSize))
        written.whenComplete { [weak self] result in
            guard let self, case .success = result, connection === self.connection else { return }
            waitingMessages -= messages
            waitingBytes -= bytes
            if waitingBytes == 0 { hasWarned = false }
            peer?.sent(bytes)
        }
    }

    func tick(_ now: NIODeadline) {
        guard let connection else { return }
        if waitingBytes > 0 {
            // A slow network takes a large batch bit by bit.
            let taken = writtenBytes - connection.unwrittenBytes
            if taken > takenBytes { lastProgress = now }
            takenBytes = taken
            if now - lastProgress > .milliseconds(core.settings.writeTimeout) { broken(TransportError.timedOut) }
        } else if now - lastWrite >= PeerTimeout.linkHeartbeat {
            send(.linkHeartbeat)
            flush()
        }
    }

    /// The peer, or the network, has ended `connection`.
    func detached(_ old: ServerConnection) {
        if old === connection { broken(TransportError.closed) }
    }

    private func broken(_ reason: TransportError) {
        end("\(reason)")
        peer?.deactivate("write on \(kind.name)", reason)
    }

    private func end(_ reason: String) {
        guard let old = connection else { return }
        connection = nil
        old.close()
        if waitingMessages + batchedMessages > 0 { peer?.lost(waitingMessages + batchedMessages) }
        batchedMessages = 0
        batch.clear()
        peer?.streamsChanged()
        log(.warning, "lost TCP streaming connection with remote peer", ["error": .string(reason)])
    }

    func stop() {
        end("stopped")
    }

    private func log(_ level: Logger.Level, _ text: Logger.Message, _ more: Logger.Metadata = [:]) {
        core.logger.log(
            level: level, text,
            metadata: [
                "stream-writer-type": .string(kind.name), "local-member-id": .string(core.identity.memberText),
                "remote-peer-id": .string(Identity.text(id)),
            ].merging(more) { first, _ in first })
    }
}
