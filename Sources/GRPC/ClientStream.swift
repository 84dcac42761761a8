import CNGHTTP2
import NIOCore

/// What a call on the client's side is told. Everything is called on the connection's event loop; the last is
/// `finished`, exactly once.
public protocol ClientStreamHandler: AnyObject {
    /// The head of the answer arrived; not called for answers that consist of trailers only.
    func receivedHeaders(_ metadata: Metadata)
    /// A reply arrived, whole and decompressed.
    func received(_ message: [UInt8])
    /// Requests that waited went out, and there is room again after `ClientCall.isWritable` was false.
    func writable()
    /// The call is over.
    func finished(_ status: Status, trailers: Metadata)
}

/// One call on the client's side of an HTTP/2 connection.
final class ClientStream: HTTP2Stream, @unchecked Sendable {
    let connection: ClientHTTP2Connection
    private var handler: (any ClientStreamHandler)?
    private var reader = MessageReader()
    private var usesGzip = false
    private var fields: [UInt8] = []
    private var fieldCount = 0
    private var httpStatus = 0
    private var isGRPC = false
    private var status: Status?
    private var timer: Scheduled<Void>?
    private var isPaused = false
    /// Arrived bytes that a paused handler has not been given.
    private var held: [UInt8] = []
    /// How the call ended, while a paused handler has not been told.
    private var outcome: Status?

    init(connection: ClientHTTP2Connection) {
        self.connection = connection
        super.init()
    }

    /// Opens the stream. Calls made when the connection is gone are finished at once.
    func start(_ block: HeaderBlock, handler: any ClientStreamHandler, timeout: TimeAmount?) {
        self.handler = handler
        guard let session = connection.sessionIfOpen, !connection.isClosing else {
            return finish(Status(.unavailable, "the connection is closed"))
        }
        guard block.withFields({ session.submitRequest(self, $0) }) else {
            return finish(Status(.unavailable, "the connection takes no more calls"))
        }
        if let timeout {
            timer = connection.loop.eventLoop.scheduleTask(in: timeout) { [weak self] in
                self?.cancel(Status(.deadlineExceeded, "context deadline exceeded"))
            }
        }
        connection.setDirty()
    }

    // MARK: Requests

    func send(_ message: [UInt8]) {
        send { $0.append(message: message) }
    }

    func send(compressed message: [UInt8]) {
        send { $0.append(compressed: message) }
    }

    private func send(_ append: (inout OutboundQueue) -> Void) {
        guard let session, !isEnding else { return }
        let before = outbound.pendingBytes
        append(&outbound)
        session.queued(outbound.pendingBytes - before)
        if outbound.pendingBytes >= connection.configuration.highWaterMark { producerWaits = true }
        session.resume(self)
        connection.setDirty()
    }

    func halfClose() {
        guard let session, !isEnding else { return }
        isEnding = true
        session.resume(self)
        connection.setDirty()
    }

    func cancel(_ status: Status) {
        guard handler != nil else { return }
        session?.reset(self, code: NGHTTP2_CANCEL.rawValue)
        connection.setDirty()
        finish(status)
    }

    override func drained() { handler?.writable() }

    // MARK: Replies

    override func receivedHeader(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        guard handler != nil else { return }
        if name.is(":status") {
            httpStatus = value.reduce(0) { $0 * 10 + Int($1 &- 48) }
        } else if name.is("content-type") {
            isGRPC = RequestHead.isGRPC(value)
        } else if name.is("grpc-encoding") {
            usesGzip = value.is("gzip")
        } else if name.is("grpc-status") {
            let number = Int(String(decoding: value, as: UTF8.self)) ?? Status.Code.unknown.rawValue
            let code = Status.Code(rawValue: number) ?? .unknown
            status = Status(code, status?.message ?? "")
        } else if name.is("grpc-message") {
            status = Status(status?.code ?? .unknown, PercentEncoding.decode(value))
        } else if !name.starts(with: ":".utf8) {
            Metadata.append(name: name, value: value, to: &fields)
            fieldCount += 1
        }
    }

    override func receivedHeaders(endStream: Bool) {
        guard handler != nil else { return }
        let metadata = Metadata(storage: fields, count: fieldCount)
        fields = []
        fieldCount = 0
        guard endStream || !isGRPC || httpStatus != 200 else {
            handler?.receivedHeaders(metadata)
            return
        }
        if status == nil {
            status = Status(Self.code(httpStatus), "unexpected HTTP status \(httpStatus) and no grpc-status")
        }
        trailers = metadata
        if !endStream { cancel(status ?? Status(.unknown)) }
    }

    private var trailers = Metadata()

    override func received(_ bytes: UnsafeRawBufferPointer) {
        if isPaused {
            held.append(contentsOf: bytes)
        } else {
            session?.consume(self, bytes.count)
            read(bytes)
        }
    }

    /// Stops giving replies to the handler. The server may send one window more, which is kept.
    func pauseReading() { isPaused = true }

    /// Gives the handler what was kept and opens the window again.
    func resumeReading() {
        guard isPaused else { return }
        isPaused = false
        let bytes = held
        held = []
        session?.consume(self, bytes.count)
        bytes.withUnsafeBytes { read($0) }
        if let outcome { finish(outcome) }
        connection.setDirty()
    }

    private func read(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        do {
            let maximum = connection.configuration.maximumMessageSize
            while handler != nil, let message = try reader.next(&rest, maximum: maximum) {
                handler?.received(try unpack(message, maximum))
            }
        } catch let failure as MessageReader.Failure {
            switch failure {
            case .tooLarge(let length, let maximum):
                cancel(
                    Status(.resourceExhausted, "grpc: received message larger than max (\(length) vs. \(maximum))"))
            case .unknownFlag(let flag):
                cancel(Status(.internal, "grpc: received unexpected payload format \(flag)"))
            }
        } catch {
            cancel(Status(.internal, "grpc: failed to decompress the received message: \(error)"))
        }
    }

    private func unpack(_ message: MessageReader.Message, _ maximum: Int) throws(Gzip.Failure) -> [UInt8] {
        guard message.isCompressed else { return message.bytes }
        guard usesGzip else { throw .corrupt }
        return try Gzip.decompress(message.bytes, maximum: maximum)
    }

    override func receivedEnd() {
        conclude(status ?? Status(.internal, "server closed the stream without sending trailers"))
    }

    override func closed(code: UInt32) {
        if connection.sessionIfOpen == nil { return conclude(Status(.unavailable, "the connection was lost")) }
        let text = "stream terminated by RST_STREAM with error code: \(String(cString: nghttp2_http2_strerror(code)))"
        switch code {
        case NGHTTP2_REFUSED_STREAM.rawValue: conclude(Status(.unavailable, text))
        case NGHTTP2_CANCEL.rawValue: conclude(Status(.cancelled, text))
        case NGHTTP2_ENHANCE_YOUR_CALM.rawValue: conclude(Status(.resourceExhausted, text))
        case NGHTTP2_INADEQUATE_SECURITY.rawValue: conclude(Status(.permissionDenied, text))
        default: conclude(Status(.internal, text))
        }
    }

    /// The call has ended; a paused handler is told when it has had the replies that came before.
    private func conclude(_ status: Status) {
        if outcome == nil { outcome = status }
        if !isPaused, let outcome { finish(outcome) }
    }

    private func finish(_ status: Status) {
        timer?.cancel()
        timer = nil
        guard let handler else { return }
        self.handler = nil
        // A server that has answered needs no more requests.
        if !isEnding, session != nil {
            session?.reset(self, code: NGHTTP2_CANCEL.rawValue)
            connection.setDirty()
        }
        handler.finished(status, trailers: trailers)
    }

    /// What an HTTP status means where gRPC's is missing. Source: gRPC, "HTTP to gRPC Status Code Mapping".
    private static func code(_ httpStatus: Int) -> Status.Code {
        switch httpStatus {
        case 400: .internal
        case 401: .unauthenticated
        case 403: .permissionDenied
        case 404: .unimplemented
        case 429, 502, 503, 504: .unavailable
        default: .unknown
        }
    }
}
