import Backend
import Crypto
import Logging
import Membership
import NIOCore
import NIOHTTP1
import NIOPosix
import PeerProtocol
import RaftMessages

/// Posts one snapshot, with its database, to a member. Belongs to the event loop; a thread of its own reads the database.
///
/// The connection carries nothing else, so that no message waits behind the database.
final class SnapshotSender: @unchecked Sendable {
    /// Pieces, of 256 KiB, that may be on their way to the network.
    private static let piecesUnderWay = 4
    /// Time in which the receiver must take some of the database.
    private static let progressTimeout = TimeAmount.seconds(30)
    /// Time that the receiver may take to check and keep a database that it has in full; gigabytes take minutes.
    private static let answerTimeout = TimeAmount.minutes(10)
    private static let answerLimit = 4096

    var to: UInt64 { message.to }
    private let message: Message
    private let database: BackendSnapshot
    private let core: TransportCore
    private let picker: URLPicker
    private let gate = PieceGate(piecesUnderWay)
    private let thread = NIOThreadPool(numberOfThreads: 1)
    private let startedAt = NIODeadline.now()
    private var url: ServiceURL?
    private var channel: (any Channel)?
    private var lastProgress = NIODeadline.now()
    private var isSent = false
    private var isFinished = false
    private var answer: HTTPResponseHead?
    private var text = ByteBuffer()
    private let finished: (SnapshotSender, TransportError?) -> Void

    /// A transfer of `message` and `database`, after which `finished` hears how it went.
    init(
        _ message: Message, _ database: BackendSnapshot, picker: URLPicker, core: TransportCore,
        finished: @escaping (SnapshotSender, TransportError?) -> Void
    ) {
        self.message = message
        self.database = database
        self.picker = picker
        self.core = core
        self.finished = finished
    }

    func start() {
        guard let url = picker.pick() else { return finish(.noURL) }
        self.url = url
        log(.info, "sending database snapshot")
        core.dialer.connect(to: url, handler: SnapshotSenderHandler(self)).whenComplete { [self] result in
            switch result {
            case .success(let channel):
                guard !isFinished else { return channel.close(promise: nil) }
                self.channel = channel
                lastProgress = .now()
                begin(channel, url)
            case .failure(let error): finish(error as? TransportError ?? .connect("\(error)"))
            }
        }
    }

    private func begin(_ channel: any Channel, _ url: ServiceURL) {
        var headers = core.headers(to: url)
        headers.add(name: "Content-Type", value: "application/octet-stream")
        headers.add(name: "Transfer-Encoding", value: "chunked")
        headers.add(name: "Trailer", value: PeerHeader.databaseSHA256)
        let head = HTTPRequestHead(version: .http1_1, method: .POST, uri: "/raft/snapshot", headers: headers)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        let preamble = ByteBuffer(bytes: SnapshotBody.preamble(message))
        channel.writeAndFlush(HTTPClientRequestPart.body(.byteBuffer(preamble)), promise: nil)
        thread.start()
        thread.submit { [self] state in
            guard state == .active else { return }
            let result = Result { try readDatabase(to: channel) }
            core.loop.execute { self.readEnded(result) }
        }
    }

    /// Runs on the thread: passes the database on at the pace of the network, and returns its hash.
    private func readDatabase(to channel: any Channel) throws -> String {
        var hash = SHA256()
        try database.write { piece in
            try gate.pass()
            hash.update(bufferPointer: piece)
            let bytes = ByteBuffer(bytes: piece)
            core.loop.execute {
                channel.writeAndFlush(HTTPClientRequestPart.body(.byteBuffer(bytes))).whenComplete { _ in
                    self.lastProgress = .now()
                    self.gate.open()
                }
            }
        }
        return DatabaseHash.text(hash.finalize())
    }

    private func readEnded(_ result: Result<String, any Error>) {
        guard !isFinished, let channel else { return }
        switch result {
        case .success(let hash):
            lastProgress = .now()
            isSent = true
            channel.writeAndFlush(HTTPClientRequestPart.end([PeerHeader.databaseSHA256: hash]), promise: nil)
        case .failure(let error): finish(.malformed("\(error)"))
        }
    }

    fileprivate func read(_ part: HTTPClientResponsePart) {
        switch part {
        case .head(let head): if head.status.code >= 200 { answer = head }
        case .body(let piece):
            if text.readableBytes + piece.readableBytes <= Self.answerLimit { text.writeImmutableBuffer(piece) }
        case .end:
            guard let answer else { return }
            let result = Result<RequestConnection.Answer, any Error>.success(
                RequestConnection.Answer(
                    status: answer.status.code, headers: answer.headers, body: text, roundTrip: .zero))
            if PostAnswer.saysRemoved(result) { core.reportRemoval() }
            do throws(TransportError) {
                try PostAnswer.check(result)
                // One who is content before it has everything has not understood.
                finish(isSent ? nil : .malformed("answered before the end of the snapshot"))
            } catch { finish(error) }
        }
    }

    func tick(_ now: NIODeadline) {
        guard channel != nil else { return }
        if now - lastProgress > (isSent ? Self.answerTimeout : Self.progressTimeout) { finish(.timedOut) }
    }

    /// Ends the transfer.
    func finish(_ error: TransportError?) {
        guard !isFinished else { return }
        isFinished = true
        gate.close()
        channel?.close(promise: nil)
        channel = nil
        thread.shutdownGracefully { _ in }
        if let error {
            if let url { picker.unreachable(url) }
            log(.warning, "failed to send database snapshot", ["error": .string("\(error)")])
        } else {
            let took = (NIODeadline.now() - startedAt).nanoseconds / 1_000_000
            log(.info, "sent database snapshot", ["took": .string("\(took)ms")])
        }
        finished(self, error)
    }

    private func log(_ level: Logger.Level, _ text: Logger.Message, _ more: Logger.Metadata = [:]) {
        core.logger.log(
            level: level, text,
            metadata: [
                "snapshot-index": .stringConvertible(message.snapshot?.metadata.index ?? 0),
                "remote-peer-id": .string(Identity.text(message.to)), "bytes": .stringConvertible(database.size),
            ].merging(more) { first, _ in first })
    }
}

/// The hash that tells whether a database arrived as it was sent.
enum DatabaseHash {
    static func text(_ digest: SHA256.Digest) -> String {
        digest.reduce(into: "") { text, byte in
            text += byte < 16 ? "0" : ""
            text += String(byte, radix: 16)
        }
    }
}

/// The channel's side of a ``SnapshotSender``.
private final class SnapshotSenderHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPClientResponsePart

    private let sender: SnapshotSender

    init(_ sender: SnapshotSender) {
        self.sender = sender
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        sender.read(unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) {
        sender.finish(.closed)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        sender.finish(.malformed("\(error)"))
        context.close(promise: nil)
    }
}
