import Logging
import Membership
import NIOCore
import NIOHTTP1
import PeerProtocol
import RaftMessages

/// Opens one stream from a peer, again and again, and reads what comes. Belongs to the event loop.
///
/// After a partition the system's own patience with a connection grows to seconds, for one that is open as for one that is
/// being made. So another attempt is begun while those before it wait for an answer, and also while an open stream is
/// silent; the first that the peer agrees to takes the others' place.
final class StreamReader: @unchecked Sendable {
    /// Attempts that wait at a time. With ``PeerTimeout/nextAttempt`` this covers the default time to connect.
    private static let attemptLimit = 7

    private let kind: StreamKind
    private unowned let peer: Peer
    private let id: UInt64
    private let core: TransportCore
    /// The stream, once the peer has agreed to it.
    private var open: StreamReaderConnection?
    /// Those that the peer has not answered.
    private var attempts: [StreamReaderConnection] = []
    private var next: Scheduled<Void>?
    private var isStopped = false
    /// What the owner has not taken. It outlives a connection, so that a new one brings no new room.
    private let backlog: PeerBacklog

    init(_ kind: StreamKind, from peer: Peer) {
        self.kind = kind
        self.peer = peer
        id = peer.id
        core = peer.core
        let resumption = Resumption(loop: core.loop)
        backlog = PeerBacklog(byteLimit: core.settings.backlogBytes) { resumption.resume() }
        resumption.reader = self
    }

    /// The way back from the owner's thread to the reader.
    private final class Resumption: @unchecked Sendable {
        private let loop: any EventLoop
        /// Set once, before anything is read.
        weak var reader: StreamReader?

        init(loop: any EventLoop) { self.loop = loop }

        func resume() { loop.execute { self.reader?.followBacklog() } }
    }

    /// Stops to read the stream while too much of it waits for the owner, so that the sender keeps the rest, and reads on.
    private func followBacklog() { open?.setPaused(backlog.holdsBack()) }

    var isOpen: Bool { open != nil }

    /// Asks the peer for the stream.
    func dial() {
        next?.cancel()
        next = nil
        guard !isStopped, attempts.count < Self.attemptLimit, let url = peer.picker.pick() else { return }
        let decoder = StreamDecoder(kind, from: id, to: core.settings.memberID)
        let connection = StreamReaderConnection(self, url: url, decoder: decoder)
        attempts.append(connection)
        schedule(PeerTimeout.nextAttempt)
        core.dialer.connect(to: url, handler: connection).whenComplete { [self] result in
            // The peer may have been removed meanwhile, or another attempt may have come through.
            guard attempts.contains(where: { $0 === connection }) else {
                if case .success(let channel) = result { channel.close(promise: nil) }
                return
            }
            switch result {
            case .success(let channel): ask(connection, channel)
            case .failure(let error):
                // With several URLs another one may still work.
                if Dialer.isRefusal(error), peer.picker.urls.count == 1 { core.events.gone(id) }
                failed(connection, error as? TransportError ?? .connect("\(error)"))
            }
        }
    }

    private func schedule(_ delay: TimeAmount) {
        next?.cancel()
        next = core.loop.scheduleTask(in: delay) { [weak self] in
            guard let self else { return }
            next = nil
            if isWanting(.now()) { dial() }
        }
    }

    /// Whether there is no stream, or one that may be none any more, and the peer has not been asked for another.
    private func isWanting(_ now: NIODeadline) -> Bool {
        if attempts.contains(where: { $0.lastRead != nil }) { return false }
        guard let lastRead = open?.lastRead else { return true }
        return now - lastRead > PeerTimeout.suspiciousSilence
    }

    private func ask(_ connection: StreamReaderConnection, _ channel: any Channel) {
        // The network is there, and what is missing now is the peer's word, for which one asks once.
        let others = attempts.filter { $0 !== connection }
        attempts = [connection]
        for other in others { other.close() }
        next?.cancel()
        next = nil
        connection.lastRead = .now()
        var headers = core.headers(to: connection.url)
        headers.add(name: PeerHeader.raftTo, value: Identity.text(id))
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: "\(kind.path)/\(core.identity.memberText)", headers: headers)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }

    /// The peer has agreed.
    func opened(_ connection: StreamReaderConnection) {
        guard attempts.contains(where: { $0 === connection }) else { return }
        next?.cancel()
        next = nil
        let former = open
        attempts = []
        open = connection
        former?.close()
        followBacklog()
        peer.activate()
        peer.streamsChanged()
        log(.info, "established TCP streaming connection with remote peer")
    }

    /// The peer has refused.
    func refused(_ connection: StreamReaderConnection, status: UInt, text: String) {
        if status == 410, attempts.contains(where: { $0 === connection }) { core.reportRemoval() }
        failed(connection, .status(Int(status), text))
    }

    func received(_ messages: [Message], bytes: Int) {
        core.receive(messages, bytes: bytes, in: backlog)
        followBacklog()
    }

    func receiveFailed() {
        // The peer is gone by then, while its connection may still bring something.
        if !isStopped { peer.receiveFailed() }
    }

    func read(_ count: Int) {
        if !isStopped { peer.received(count) }
    }

    /// The connection has ended or will be of no use.
    func failed(_ connection: StreamReaderConnection, _ reason: TransportError) {
        guard !isStopped else { return }
        if connection === open {
            open = nil
            log(.warning, "lost TCP streaming connection with remote peer", ["error": .string("\(reason)")])
            peer.deactivate("read on \(kind.name)", reason)
            peer.streamsChanged()
        } else if let position = attempts.firstIndex(where: { $0 === connection }) {
            attempts.remove(at: position)
            peer.picker.unreachable(connection.url)
            if open == nil { peer.deactivate("dial \(kind.name)", reason) }
            peer.complain(reason)
        } else {
            return
        }
        connection.close()
        schedule(PeerTimeout.redial)
    }

    func tick(_ now: NIODeadline) {
        let limit = TimeAmount.milliseconds(core.settings.readTimeout)
        for connection in attempts + (open.map { [$0] } ?? []) {
            if let lastRead = connection.lastRead, now - lastRead > limit { failed(connection, .timedOut) }
        }
        // A peer whose URLs could not be used may have been given others.
        if next == nil, isWanting(now) { dial() }
    }

    func stop() {
        isStopped = true
        next?.cancel()
        for connection in attempts + (open.map { [$0] } ?? []) { connection.close() }
        (attempts, open) = ([], nil)
    }

    private func log(_ level: Logger.Level, _ text: Logger.Message, _ more: Logger.Metadata = [:]) {
        core.logger.log(
            level: level, text,
            metadata: [
                "stream-reader-type": .string(kind.name), "local-member-id": .string(core.identity.memberText),
                "remote-peer-id": .string(Identity.text(id)),
            ].merging(more) { first, _ in first })
    }
}

/// One connection of a ``StreamReader``.
final class StreamReaderConnection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPClientResponsePart

    /// What is kept of the text of a refusal.
    private static let refusalLimit = 1024

    /// Where it is made to. That it fails says nothing of the URL that the others have gone on to meanwhile.
    let url: ServiceURL
    private let reader: StreamReader
    private var decoder: StreamDecoder
    private var channel: (any Channel)?
    private var refusal: (status: UInt, text: String)?
    /// Messages of the present burst, handed over together at its end.
    private var messages: [Message] = []
    /// Bytes that have come since messages were handed over last.
    private var bytes = 0
    private var isPaused = false
    /// When something came last; nil before the connection is made, which has a timeout of its own.
    private var readAt: NIODeadline?
    var lastRead: NIODeadline? {
        get { isPaused ? .now() : readAt }
        set { readAt = newValue }
    }

    init(_ reader: StreamReader, url: ServiceURL, decoder: StreamDecoder) {
        self.reader = reader
        self.url = url
        self.decoder = decoder
    }

    func handlerAdded(context: ChannelHandlerContext) {
        channel = context.channel
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        channel = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        lastRead = .now()
        switch unwrapInboundIn(data) {
        case .head(let head):
            if head.status == .ok {
                reader.opened(self)
            } else if head.status.code >= 200 {
                refusal = (head.status.code, "")
            }
        case .body(let piece):
            if refusal != nil {
                refusal?.text += String(String(buffer: piece).prefix(Self.refusalLimit))
                if (refusal?.text.utf8.count ?? 0) > Self.refusalLimit { end(.closed) }
            } else {
                decode(piece)
            }
        case .end: end(.closed)
        }
    }

    private func decode(_ piece: ByteBuffer) {
        reader.read(piece.readableBytes)
        bytes += piece.readableBytes
        do throws(PeerProtocolError) {
            try piece.readableBytesView.withUnsafeBytes { (bytes) throws(PeerProtocolError) in
                try decoder.feed(bytes, into: &messages)
            }
        } catch {
            // What came before the damage is whole.
            handOver()
            reader.receiveFailed()
            reader.failed(self, .malformed("\(error)"))
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        handOver()
    }

    private func handOver() {
        guard !messages.isEmpty else { return }
        var batch: [Message] = []
        swap(&batch, &messages)
        let bytes = bytes
        self.bytes = 0
        reader.received(batch, bytes: bytes)
    }

    /// Has the connection read no more, or read on.
    func setPaused(_ pauses: Bool) {
        guard pauses != isPaused, let channel else { return }
        isPaused = pauses
        channel.setOption(.autoRead, value: !pauses).whenFailure { _ in }
        // The time that the owner takes is not the peer's silence.
        lastRead = .now()
    }

    private func end(_ reason: TransportError) {
        handOver()
        if let refusal {
            reader.refused(self, status: refusal.status, text: refusal.text)
        } else {
            reader.failed(self, reason)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(.closed)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        handOver()
        reader.failed(self, .malformed("\(error)"))
        context.close(promise: nil)
    }

    func close() {
        channel?.close(promise: nil)
    }
}
