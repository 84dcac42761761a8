import Logging
import Membership
import NIOCore
import NIOHTTP1
import PeerProtocol
import RaftMessages

/// Opens one stream from a peer, again and again, and reads what comes. Belongs to the event loop.
final class StreamReader: @unchecked Sendable {
    private let kind: StreamKind
    private unowned let peer: Peer
    private let id: UInt64
    private let core: TransportCore
    private var connection: StreamReaderConnection?
    private(set) var isOpen = false
    private var redial: Scheduled<Void>?
    private var isStopped = false

    init(_ kind: StreamKind, from peer: Peer) {
        self.kind = kind
        self.peer = peer
        id = peer.id
        core = peer.core
    }

    /// Asks the peer for the stream.
    func dial() {
        redial = nil
        guard !isStopped, let url = peer.picker.pick() else { return }
        let decoder = StreamDecoder(kind, from: id, to: core.settings.memberID)
        let connection = StreamReaderConnection(self, decoder: decoder)
        self.connection = connection
        core.dialer.connect(to: url, handler: connection).whenComplete { [self] result in
            switch result {
            case .success(let channel):
                guard connection === self.connection else { return channel.close(promise: nil) }
                connection.lastRead = .now()
                var headers = core.headers(to: url)
                headers.add(name: PeerHeader.raftTo, value: Identity.text(id))
                let head = HTTPRequestHead(
                    version: .http1_1, method: .GET, uri: "\(kind.path)/\(core.identity.memberText)", headers: headers)
                channel.write(HTTPClientRequestPart.head(head), promise: nil)
                channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
            case .failure(let error):
                // A peer that was dropped meanwhile is gone.
                guard connection === self.connection else { return }
                // With several URLs another one may still work.
                if Dialer.isRefusal(error), peer.picker.urls.count == 1 { core.events.gone(id) }
                failed(connection, error as? TransportError ?? .connect("\(error)"))
            }
        }
    }

    /// The peer has agreed.
    func opened(_ connection: StreamReaderConnection) {
        guard connection === self.connection else { return }
        isOpen = true
        peer.activate()
        peer.streamsChanged()
        log(.info, "established TCP streaming connection with remote peer")
    }

    /// The peer has refused.
    func refused(_ connection: StreamReaderConnection, status: UInt, text: String) {
        guard connection === self.connection else { return }
        if status == 410 { core.reportRemoval() }
        failed(connection, .status(Int(status), text))
    }

    func received(_ messages: [Message]) {
        core.receive(messages)
    }

    func read(_ count: Int) {
        if !isStopped { peer.received(count) }
    }

    /// The connection has ended or will be of no use.
    func failed(_ connection: StreamReaderConnection, _ reason: TransportError) {
        guard connection === self.connection, !isStopped else { return }
        self.connection = nil
        connection.close()
        if isOpen {
            isOpen = false
            log(.warning, "lost TCP streaming connection with remote peer", ["error": .string("\(reason)")])
            peer.deactivate("read on \(kind.name)", reason)
            peer.streamsChanged()
        } else {
            if let url = peer.picker.pick() { peer.picker.unreachable(url) }
            peer.deactivate("dial \(kind.name)", reason)
            peer.complain(reason)
        }
        redial = core.loop.scheduleTask(in: PeerTimeout.redial) { [weak self] in self?.dial() }
    }

    func tick(_ now: NIODeadline) {
        guard let connection, let lastRead = connection.lastRead else {
            // A peer whose URLs could not be used may have been given others.
            if connection == nil && redial == nil { dial() }
            return
        }
        if now - lastRead > PeerTimeout.read { failed(connection, .timedOut) }
    }

    func stop() {
        isStopped = true
        redial?.cancel()
        connection?.close()
        connection = nil
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

    private let reader: StreamReader
    private var decoder: StreamDecoder
    private var channel: (any Channel)?
    private var refusal: (status: UInt, text: String)?
    /// Messages of the present burst, handed over together at its end.
    private var messages: [Message] = []
    /// When something came last; nil before the connection is made, which has a timeout of its own.
    var lastRead: NIODeadline?

    init(_ reader: StreamReader, decoder: StreamDecoder) {
        self.reader = reader
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
        do throws(PeerProtocolError) {
            try piece.readableBytesView.withUnsafeBytes { (bytes) throws(PeerProtocolError) in
                try decoder.feed(bytes, into: &messages)
            }
        } catch {
            // What came before the damage is whole.
            handOver()
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
        reader.received(batch)
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
