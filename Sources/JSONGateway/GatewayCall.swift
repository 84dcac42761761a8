import GRPC
import JSONMapping
import NIOCore

/// One request in JSON and the call that it makes. Belongs to its event loop.
final class GatewayCall: HTTPStreamHandler, LocalCallReceiver {
    private let http: HTTPCall
    private let method: GatewayMethod
    private let errors: ErrorShape
    private let limit: Int
    private var scanner = JSONScanner()
    /// The bytes so far of the value that is arriving.
    private var value: [UInt8] = []
    /// The request's messages are complete: nothing of the body that follows counts.
    private var hasRequest = false
    /// The request of a method that takes one, while the rest of its body is awaited.
    private var request: [UInt8]?
    /// Why the request of a method that takes one is refused, while the rest of its body is awaited: a connection whose
    /// request was read to its end can be used again.
    private var refusal: Status?
    private var call: LocalCall?
    private var hasEnded = false
    private var isOver = false
    private var hasBegun = false
    private var reply: [UInt8] = []
    /// What makes JSON of a reply that comes in pieces.
    private var pieces: JSONPieces?
    private var headers = Metadata()

    init(_ http: HTTPCall, _ method: GatewayMethod, errors: ErrorShape, limit: Int) {
        self.http = http
        self.method = method
        self.errors = errors
        self.limit = limit
    }

    // MARK: The request

    func received(_ bytes: [UInt8]) {
        guard !isOver, !hasRequest else { return }
        take(bytes)
        if !http.keeps(value.count + (request?.count ?? 0)), !isOver {
            refuseMemory()
        }
    }

    private func take(_ bytes: [UInt8]) {
        var start = 0
        for (index, byte) in bytes.enumerated() {
            let event: JSONScanner.Event
            do throws(JSONScanner.Failure) {
                event = try scanner.step(byte)
            } catch {
                return refuseValue(error.description)
            }
            guard event != .goesOn else { continue }
            let end = event == .ended ? index + 1 : index
            value += bytes[start..<end]
            start = end
            guard takeValue() else { return }
            if event == .endedBefore {
                // The byte that ended a number is the first one of what follows.
                do throws(JSONScanner.Failure) {
                    _ = try scanner.step(byte)
                } catch {
                    return refuseValue(error.description)
                }
            }
        }
        // White space between values need not be kept.
        if scanner.isInsideValue { value += bytes[start...] }
        if value.count > limit { tooLarge() }
    }

    func ended() {
        guard !isOver else { return }
        hasEnded = true
        if let refusal { return fail(refusal) }
        if !hasRequest {
            let isInside = scanner.isInsideValue
            if scanner.finish() {
                guard takeValue() else { return }
            } else if isInside {
                return refuseValue("unexpected EOF")
            }
        }
        if method.takesStream {
            begin()
            call?.halfClose()
        } else if !isOver, call == nil {
            begin()
            call?.send(request ?? [])
            call?.halfClose()
        }
    }

    /// Takes the value that is whole. Returns whether more are looked for.
    private func takeValue() -> Bool {
        let json = value
        value = []
        guard json.count <= limit else {
            tooLarge()
            return false
        }
        let message: [UInt8]
        do throws(JSONMappingError) {
            message = try method.mapping.request.message(json[...])
        } catch {
            refuseValue(error.description)
            return false
        }
        guard method.takesStream else {
            hasRequest = true
            request = message
            // A WebSocket has no end of its body to wait for.
            if http.request.isWebSocket { ended() }
            return false
        }
        begin()
        call?.send(message)
        if let call, !call.isReading { http.pauseReading() }
        return !isOver
    }

    /// What cannot be read ends the call if it has not begun, and the stream of requests if it has.
    private func refuseValue(_ text: String) {
        hasRequest = true
        value = []
        if call != nil {
            call?.halfClose()
        } else {
            // The first message of a stream is refused with another code than the only one of a call, and at once.
            if method.takesStream { return fail(Status(.unknown, text)) }
            refusal = Status(.invalidArgument, text)
            if http.request.isWebSocket || hasEnded { ended() }
        }
    }

    private func refuseMemory() {
        value = []
        request = nil
        _ = http.keeps(0)
        let text = "json: too many requests are unfinished"
        if call == nil { return fail(Status(.resourceExhausted, text)) }
        refuseValue(text)
    }

    private func tooLarge() {
        let text = "json: request larger than max (\(value.count) vs. \(limit))"
        if call == nil { return fail(Status(.resourceExhausted, text)) }
        refuseValue(text)
    }

    private func begin() {
        guard call == nil, !isOver else { return }
        let metadata: Metadata
        let timeout: TimeAmount?
        do throws(GatewayMetadata.Refusal) {
            metadata = try GatewayMetadata.make(http.request)
            timeout = try GatewayMetadata.timeout(http.request)
        } catch {
            return fail(Status(.invalidArgument, error.text))
        }
        guard let call = http.call(method.path, metadata: metadata, timeout: timeout, receiver: self) else {
            let parts = method.path.split(separator: "/")
            let text = parts.count == 2 ? "unknown method \(parts[1]) for service \(parts[0])" : "unknown method"
            return fail(Status(.unimplemented, text))
        }
        self.call = call
        call.begin()
    }

    func writable() { call?.drained() }

    func cancelled() {
        isOver = true
        let call = call
        self.call = nil
        call?.cancel(.connectionClosed)
    }

    // MARK: The answer

    var pendingBytes: Int { http.pendingBytes }

    func callReads() { http.resumeReading() }

    func callAnswered(_ metadata: Metadata) {
        headers = metadata
        if method.repliesStream { beginStream(status: 200) }
    }

    private func beginStream(status: Int) {
        guard !hasBegun, !isOver else { return }
        hasBegun = true
        http.begin(status: status, headers: successHeaders)
    }

    private var successHeaders: [(name: String, value: String)] {
        var list = [("Content-Type", "application/json"), ("Grpc-Metadata-Content-Type", "application/grpc")]
        for (name, value) in headers.fields {
            list.append(("Grpc-Metadata-\(name)", String(decoding: value, as: UTF8.self)))
        }
        return list
    }

    /// A WebSocket's answer is one message, so there it must be whole.
    func callBeginsReply(length: Int) -> Bool {
        guard !method.repliesStream, !http.request.isWebSocket, !isOver else { return false }
        pieces = method.mapping.response.pieces()
        return true
    }

    func callContinued(_ piece: [UInt8]) {
        guard !isOver, pieces != nil else { return }
        do throws(JSONMappingError) {
            write(try pieces?.append(piece) ?? [])
        } catch {
            call?.cancel(.connectionClosed)
            breakOff()
        }
    }

    private func write(_ json: [UInt8]) {
        beginStream(status: 200)
        if !json.isEmpty { http.write(json) }
    }

    /// Ends an answer that is not whole, so that it shows.
    private func breakOff() {
        call = nil
        guard hasBegun else { return fail(Status(.internal, "the reply could not be read")) }
        isOver = true
        http.abort()
    }

    private func endPieces() {
        do throws(JSONMappingError) {
            write(try pieces?.finish() ?? [])
        } catch {
            return breakOff()
        }
        isOver = true
        http.end()
    }

    func callReplied(_ parts: [[UInt8]]) {
        guard !isOver else { return }
        let message = parts.count == 1 ? parts[0] : Array(parts.joined())
        let json: [UInt8]
        do throws(JSONMappingError) {
            json = try method.mapping.response.json(message)
        } catch {
            call?.cancel(.connectionClosed)
            return end(Status(.internal, error.description))
        }
        guard method.repliesStream else {
            reply = json
            return
        }
        var line = Array("{\"result\":".utf8)
        line.reserveCapacity(json.count + 16)
        line += json
        line += [UInt8(ascii: "}"), UInt8(ascii: "\n")]
        http.write(line)
    }

    func callFinished(_ status: Status, trailers: Metadata) { end(status) }

    private func end(_ status: Status) {
        guard !isOver else { return }
        call = nil
        if method.repliesStream {
            if status.code == .ok {
                beginStream(status: 200)
            } else {
                beginStream(status: errors.httpStatus(status.code))
                http.write(errors.streamObject(status) + [UInt8(ascii: "\n")])
            }
            isOver = true
            http.end()
        } else if pieces != nil, hasBegun || status.code == .ok {
            if status.code == .ok { endPieces() } else { breakOff() }
        } else if status.code == .ok {
            isOver = true
            http.respond(HTTPResponse(status: 200, headers: successHeaders, body: reply))
        } else {
            fail(status)
        }
    }

    /// Answers with an error before anything else was said.
    private func fail(_ status: Status) {
        guard !isOver else { return }
        isOver = true
        http.respond(
            HTTPResponse(
                status: errors.httpStatus(status.code), headers: [("Content-Type", "application/json")],
                body: errors.body(status)))
    }
}
