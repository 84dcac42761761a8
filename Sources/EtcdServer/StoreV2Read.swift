import EtcdAPI
import GRPC
import NIOCore
import StoreV2

/// A request that reads version-2 keys.
///
/// What it found is a value that nobody changes, so the member's thread only finds it. A short answer is written on the
/// connection's event loop; a long one on a reader's thread, piece by piece as the client takes them.
///
/// Belongs to the connection's event loop, but for the writing of a piece, during which the loop leaves it alone.
final class StoreV2Read: HTTPStreamHandler, @unchecked Sendable {
    /// What of an answer is written at once: the time that this takes is not noticed by other connections.
    private static let shortBytes = 16 << 10
    /// The nodes that are looked at for it.
    private static let shortNodes = 256
    /// Nodes that are looked at in one go on a reader's thread, after which others have their turn.
    private static let nodesOfStep = 10_000

    private let call: HTTPCall
    private let parsed: KeysRequest
    private let service: StoreV2Service
    private let isHead: Bool
    private var text: EventText?
    private var piece: [UInt8] = []
    private var headers: [(name: String, value: String)] = []
    /// Bytes of an answer to HEAD, which are counted and not sent.
    private var length = 0
    private var place: LargeReads.Place?
    private var progress: ReplyPatience?
    private var isWriting = false
    private var hasBegun = false
    private var isOver = false

    init(_ call: HTTPCall, _ parsed: KeysRequest, _ service: StoreV2Service) {
        self.call = call
        self.parsed = parsed
        self.service = service
        isHead = call.request.method == "HEAD"
    }

    func received(_ bytes: [UInt8]) {}

    func ended() {
        service.outcome(of: parsed, method: call.request.method) { [self] result, place in
            call.eventLoop.execute { [self] in answer(result, place) }
        }
    }

    func writable() { writeNext() }
    func cancelled() { end() }

    private func answer(_ result: Result<StoreV2Event, StoreV2Error>, _ place: StoreV2Service.Place) {
        guard !isOver else { return }
        switch result {
        case .success(let event):
            headers = place.headers(storeIndex: event.storeIndex, clusterID: service.status.clusterID)
            var text = EventText(event, trimming: KeyTree.keysPath, now: Clock.unixNanoseconds)
            piece = text.next(bytes: Self.shortBytes, nodes: Self.shortNodes)
            if text.isOver { return respond() }
            guard let place = service.large.takePlace() else { return refuse(StoreV2Error(EtcdError.tooManyRequests)) }
            self.place = place
            self.text = text
            writeNext()
        case .failure(let error): refuse(error)
        }
    }

    private func refuse(_ error: StoreV2Error) {
        end()
        call.respond(StoreV2Service.refusal(error, clusterID: service.status.clusterID))
    }

    private func respond() {
        end()
        call.respond(HTTPResponse(status: 200, headers: headers, body: piece))
    }

    /// Has a reader's thread write, up to a piece or to a step's end.
    private func writeNext() {
        guard !isOver, !isWriting, !hasBegun || call.isWritable, text != nil else { return }
        isWriting = true
        service.large.readers.submit { [self] _ in
            let missing = LargeReads.headBytes - piece.count
            piece += text?.next(bytes: max(0, missing), nodes: Self.nodesOfStep) ?? []
            call.eventLoop.execute { [self] in
                isWriting = false
                take()
            }
        }
    }

    private func take() {
        guard !isOver, let text else { return }
        if isHead {
            length += piece.count
            piece = []
            return text.isOver ? finishHead() : writeNext()
        }
        if text.isOver && !hasBegun { return respond() }
        guard text.isOver || piece.count >= LargeReads.headBytes else { return writeNext() }
        if !hasBegun {
            hasBegun = true
            call.begin(status: 200, headers: headers)
            progress = ReplyPatience(call.eventLoop, LargeReads.patience) { [weak self] in self?.giveUp() }
        }
        progress?.note()
        // A connection that takes all at once asks for the next piece from within.
        let ready = piece
        piece = []
        if text.isOver { end() }
        call.write(ready)
        if text.isOver { call.end() } else { writeNext() }
    }

    private func finishHead() {
        end()
        call.begin(status: 200, headers: headers + [("content-length", "\(length)")])
        call.end()
    }

    /// The client takes too long: what it reads from cannot be kept for it.
    private func giveUp() {
        end()
        call.abort()
    }

    private func end() {
        isOver = true
        progress?.end()
        progress = nil
        place = nil
        if !isWriting { text = nil }
    }
}
