import Applier
import Auth
import EtcdAPI
import GRPC
import MVCC
import NIOCore
import NIOPosix
import WireFormat

/// `KV.RangeStream`: a range in pieces, of which only a few are in memory at a time.
///
/// Merged, the pieces are the answer of `Range`: the first has the header's ids, the next its revision, the last the count.
final class RangeStreamHandler: StreamHandler, @unchecked Sendable {
    /// The first piece has few pairs, since nothing is known of their size yet; those after it as many as make about so
    /// many bytes.
    private static let pairsInFirstPiece = 10
    private static let mostPairsInPiece = 1000
    private static let bytesPerPiece = 512 << 10

    private let call: StreamCall
    private let service: KeyValueService
    private let publisher: StorePublisher
    private let readers: NIOThreadPool
    private var request: RangeRequest?
    private var view: StoreView?
    private var nextKey: [UInt8] = []
    private var sent: Int64 = 0
    private var isFirst = true
    /// The auth revision at which the caller was let in; nil while permissions are not checked.
    private var checked: UInt64?
    private var pairsPerPiece = RangeStreamHandler.pairsInFirstPiece
    private var isReading = false
    private var isOver = false

    init(call: StreamCall, service: KeyValueService, publisher: StorePublisher, readers: NIOThreadPool) {
        self.call = call
        self.service = service
        self.publisher = publisher
        self.readers = readers
    }

    func received(_ message: [UInt8]) {
        guard request == nil, !isOver else { return }
        do {
            let request = try message.withUnsafeBytes { try RangeRequest(decoding: $0) }
            try RequestCheck.check(request)
            self.request = request
            nextKey = request.key
            if request.serializable {
                begin(publisher.latest())
            } else {
                service.readLinearizably(call.eventLoop) { [self] view in
                    switch view {
                    case .success(let view): begin(view)
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

    func cancelled(_ reason: CancelReason) {
        isOver = true
        view = nil
    }

    func writable() { readNext() }

    private func begin(_ view: StoreView) {
        guard !isOver, let request else { return }
        do throws(EtcdError) {
            checked = try service.gateways.authority.permitReading(call) { state, caller throws(EtcdError) in
                try Authorisation.keys(state, caller).check(request)
            }
        } catch {
            return finish(Status(error))
        }
        self.view = view
        let writer = RangeResponseWriter(header: service.header)
        send(writer.finishPiece())
        readNext()
    }

    private func readNext() {
        guard !isReading, !isOver, call.isWritable, let request, let view else { return }
        isReading = true
        let start = nextKey
        let isFirst = self.isFirst
        let sent = self.sent
        let pairs = pairsPerPiece
        readers.submit { [self] _ in
            let piece = Result {
                try Self.piece(request, from: start, on: view, isFirst: isFirst, sent: sent, pairs: pairs)
            }
            call.eventLoop.execute { [self] in take(piece) }
        }
    }

    private struct Piece {
        var message: [UInt8]
        var pairs: Int64
        /// Where the next piece begins; nil when this is the last.
        var next: [UInt8]?
    }

    private static func piece(
        _ request: RangeRequest, from start: [UInt8], on view: StoreView, isFirst: Bool, sent: Int64, pairs most: Int
    ) throws(EtcdError) -> Piece {
        // Sorted and filtered ranges need all pairs at once anyway.
        if request.needsWholeRange {
            return Piece(message: try RangeQuery.run(request, on: view, header: ResponseHeader()), pairs: 0, next: nil)
        }
        var wanted = most
        if request.limit > 0 { wanted = min(wanted, Int(clamping: request.limit - sent)) }
        var writer = RangeResponseWriter(header: isFirst ? ResponseHeader(revision: view.currentRevision) : nil)
        var pairs = 0
        var last: [UInt8] = []
        let result: (count: Int, revision: Int64)
        do throws(StoreError) {
            result = try view.range(
                key: start, end: request.end, revision: request.revision == 0 ? view.currentRevision : request.revision,
                limit: request.countOnly ? 0 : wanted, countOnly: request.countOnly
            ) { pair in
                pairs += 1
                if pairs == wanted { last = [UInt8](pair.key) }
                writer.append(pair, keysOnly: request.keysOnly)
            }
        } catch {
            throw EtcdError(error)
        }
        let total = sent + Int64(result.count)
        let reached = request.limit > 0 && sent + Int64(pairs) >= request.limit
        if request.countOnly || reached || pairs >= result.count {
            let more = !request.countOnly && pairs < result.count
            return Piece(message: writer.finish(more: more, count: total).bytes, pairs: Int64(pairs), next: nil)
        }
        // The key just behind the last one.
        return Piece(message: writer.finishPiece(), pairs: Int64(pairs), next: last + [0])
    }

    private func take(_ piece: Result<Piece, any Error>) {
        isReading = false
        guard !isOver else { return }
        do {
            let piece = try piece.get()
            try service.gateways.authority.confirm(checked)
            isFirst = false
            sent += piece.pairs
            if piece.pairs > 0 {
                let bytesPerPair = max(1, piece.message.count / Int(piece.pairs))
                pairsPerPiece = max(1, min(Self.mostPairsInPiece, Self.bytesPerPiece / bytesPerPair))
            }
            send(piece.message)
            guard let next = piece.next else {
                finish(.ok)
                return
            }
            nextKey = next
            readNext()
        } catch let error as EtcdError {
            finish(Status(error))
        } catch {
            finish(Status(.internal, "\(error)"))
        }
    }

    private func send(_ response: [UInt8]) {
        var writer = WireWriter(capacity: response.count + 8)
        KeyValueResponse.encodeStreamPiece(response, into: &writer)
        call.send(writer.bytes)
    }

    private func finish(_ status: Status) {
        guard !isOver else { return }
        isOver = true
        view = nil
        call.finish(status)
    }
}

extension RangeResponseWriter {
    /// The pairs so far, without what only the last piece says.
    fileprivate consuming func finishPiece() -> [UInt8] { finish(more: false, count: 0).bytes }
}

extension KeyValueService {
    /// Runs `body` on `loop` when the published view holds all that was committed before.
    func readLinearizably(_ loop: any EventLoop, _ body: @escaping @Sendable (Result<StoreView, EtcdError>) -> Void) {
        gateways[loop].readLinearizably(body)
    }
}
