import Applier
import Auth
import EtcdAPI
import GRPC
import MVCC
import NIOCore
import NIOPosix

/// `KV.RangeStream`: a range in pieces, of which only a few are in memory at a time.
///
/// Merged, the pieces are the answer of `Range`: the first has the header's ids, the next its revision, the last the count.
final class RangeStreamHandler: StreamHandler, @unchecked Sendable {
    /// A piece has about so many bytes.
    private static let bytesPerPiece = 512 << 10

    private let call: StreamCall
    private let service: KeyValueService
    private let publisher: StorePublisher
    private var hasRequest = false
    private var place: LargeReads.Place?
    private var progress: ReplyPatience?
    private var source: (request: RangeRequest, view: StoreView)?
    private var range: PiecewiseRange?
    private var isFirst = true
    /// The auth revision at which the caller was let in; nil while permissions are not checked.
    private var checked: UInt64?
    private var isReading = false
    private var isOver = false

    init(call: StreamCall, service: KeyValueService, publisher: StorePublisher) {
        self.call = call
        self.service = service
        self.publisher = publisher
    }

    func received(_ message: [UInt8]) {
        guard !hasRequest, !isOver else { return }
        hasRequest = true
        do {
            let request = try message.withUnsafeBytes { try RangeRequest(decoding: $0) }
            try RequestCheck.check(request)
            call.span?.begin(.range(request))
            if request.serializable {
                begin(request, publisher.latest())
            } else {
                service.readLinearizably(call.eventLoop) { [self] view in
                    call.span?.noteReadIndex()
                    switch view {
                    case .success(let view): begin(request, view)
                    case .failure(let error): finish(Status(error))
                    }
                }
            }
        } catch let error as EtcdError {
            finish(Status(error))
        } catch {
            finish(Status(.internal, "grpc: failed to unmarshal the received message: \(error)"))
        }
    }

    func halfClosed() {}

    func cancelled(_ reason: CancelReason) { end() }

    func writable() { readNext() }

    private func begin(_ request: RangeRequest, _ view: StoreView) {
        guard !isOver else { return }
        do throws(EtcdError) {
            checked = try service.gateways.authority.permitReading(call) { state, caller throws(EtcdError) in
                try Authorisation.keys(state, caller).check(request)
            }
        } catch {
            return finish(Status(error))
        }
        guard let place = service.large.takePlace() else { return finish(Status(.tooManyRequests)) }
        self.place = place
        source = (request, view)
        progress = ReplyPatience(call.eventLoop, LargeReads.patience) { [weak self] in
            self?.end()
            self?.call.finish(LargeReads.tooSlow)
        }
        send(RangeResponseWriter(header: service.header).finish(count: 0).bytes)
        readNext()
    }

    private func readNext() {
        guard !isReading, !isOver, call.isWritable, let source, let place else { return }
        isReading = true
        let known = range
        let header = isFirst ? ResponseHeader(revision: source.view.currentRevision) : nil
        service.large.readers.submit { [self] _ in
            let result = Result {
                let range = try known ?? PiecewiseRange(source.request, on: source.view)
                return (range, try Self.piece(of: range, header, place))
            }
            call.eventLoop.execute { [self] in take(result) }
        }
    }

    private struct Piece {
        var message: [UInt8]
        var isLast: Bool
    }

    /// The next piece, or nil after a step that only prepared for it.
    private static func piece(
        of range: PiecewiseRange, _ header: ResponseHeader?, _ place: LargeReads.Place
    ) throws(EtcdError) -> Piece? {
        // No length is announced, so only what must be sorted or filtered is looked at as a whole before.
        if range.needsOrder {
            var room = 0
            let isPrepared = try range.prepare(head: &room)
            try place.hold(range.heldBytes)
            if !isPrepared { return nil }
        }
        var message = RangeResponseWriter(header: header).writer.bytes
        let hasMore = try range.write(to: &message, until: bytesPerPiece)
        if !hasMore { message += RangeResponseWriter(header: nil).finish(more: range.more, count: range.count).bytes }
        return Piece(message: message, isLast: !hasMore)
    }

    private func take(_ result: Result<(PiecewiseRange, Piece?), any Error>) {
        isReading = false
        guard !isOver else { return }
        do {
            let piece: Piece?
            (range, piece) = try result.get()
            try service.gateways.authority.confirm(checked)
            guard let piece else { return readNext() }
            isFirst = false
            progress?.note()
            send(piece.message)
            if piece.isLast { finish(.ok) } else { readNext() }
        } catch let error as EtcdError {
            finish(Status(error))
        } catch {
            finish(Status(.internal, "\(error)"))
        }
    }

    private func send(_ response: [UInt8]) {
        call.send(parts: [KeyValueResponse.streamPieceHead(length: response.count), response])
    }

    private func finish(_ status: Status) {
        guard !isOver else { return }
        end()
        call.finish(status)
    }

    private func end() {
        isOver = true
        progress?.end()
        progress = nil
        range = nil
        source = nil
        place = nil
    }
}

extension KeyValueService {
    /// Runs `body` on `loop` when the published view holds all that was committed before.
    func readLinearizably(_ loop: any EventLoop, _ body: @escaping @Sendable (Result<StoreView, EtcdError>) -> Void) {
        gateways[loop].readLinearizably(body)
    }
}
