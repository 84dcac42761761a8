import CNGHTTP2

/// An HTTP/2 session of libnghttp2, for either side: bytes in, bytes out, callbacks in between. It has no socket and
/// no clock. Windows open as the application takes bytes (`consume`), never by themselves. It belongs to the event loop
/// of its connection.
final class HTTP2Session: @unchecked Sendable {
    private var raw: OpaquePointer?
    /// The connection, which owns the session and alone feeds and pulls it, so that it is there whenever it is told.
    private unowned(unsafe) let delegate: any HTTP2SessionDelegate
    @exclusivity(unchecked) private(set) var streams: [HTTP2Stream] = []
    /// Streams whose queue fell under the low-water mark since the last look.
    private var drainedStreams: [HTTP2Stream] = []
    /// The queue length under which a producer that waits is told to go on.
    let lowWaterMark: Int

    /// The stream whose header block is arriving; blocks never interleave.
    private var headerStream: HTTP2Stream?
    /// Whether that block opens its stream, on the server's side.
    private var isRequestBlock = false
    /// The fields of that block. There is one for all requests, as their blocks never interleave.
    let requestHead = RequestHead()
    private var rules = RequestRules()
    private let isServer: Bool
    private var headerListSize = 0
    private let maximumHeaderList: Int
    /// Bytes that nghttp2 gave and that did not fit the last buffer.
    private var leftover: UnsafeRawBufferPointer?
    private var output = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var outputCount = 0
    private var isBlocked = false
    /// Whether code of nghttp2 is on the stack, so that the session must not be torn down.
    private(set) var isInside = false
    /// The queued bytes of all streams.
    private(set) var pendingBytes = 0
    /// Whether HEADERS or DATA went out; for the owner to set back.
    var hasSentHeadersOrData = false
    /// Why the session cannot go on; nil while it can.
    private(set) var failure: String?
    private var tookLargeHead = false
    private var takenCalls = 0

    /// The largest DATA payload that nghttp2 makes, with its frame header, is the least room that is worth a pull.
    static let minimumOutput = 16_384 + 9

    init(server: Bool, settings: Settings, lowWaterMark: Int, delegate: any HTTP2SessionDelegate) {
        self.delegate = delegate
        isServer = server
        self.lowWaterMark = lowWaterMark
        maximumHeaderList = Int(settings.maximumHeaderList)
        let user = Unmanaged.passUnretained(self).toOpaque()
        let code =
            server
            ? nghttp2_session_server_new2(&raw, Self.callbacks, user, Self.serverOptions)
            : nghttp2_session_client_new2(&raw, Self.callbacks, user, Self.clientOptions)
        precondition(code == 0 && raw != nil, "HTTP2Session: nghttp2 gave no session (\(code))")
        var entries = [
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
                value: UInt32(settings.streamWindow)),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue), value: settings.maximumHeaderList),
        ]
        if server {
            entries.append(
                nghttp2_settings_entry(
                    settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue),
                    value: settings.maximumStreams))
        } else {
            entries.append(
                nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0))
        }
        nghttp2_submit_settings(raw, Self.noFlags, entries, entries.count)
        nghttp2_session_set_local_window_size(raw, Self.noFlags, 0, settings.connectionWindow)
    }

    deinit {
        if let raw { nghttp2_session_del(raw) }
    }

    // MARK: Bytes

    /// Feeds what the peer sent. Afterwards `failure` says whether the session can go on.
    func receive(_ bytes: UnsafeRawBufferPointer) {
        guard let raw, failure == nil, let base = bytes.baseAddress else { return }
        isInside = true
        let count = nghttp2_session_mem_recv(raw, base.assumingMemoryBound(to: UInt8.self), bytes.count)
        isInside = false
        if count < 0 { failure = String(cString: nghttp2_strerror(Int32(count))) }
    }

    /// Fills the front of `buffer` with what is to be sent and returns how many bytes that are. `hasMore` then says
    /// whether another buffer would get some too.
    func pull(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard let raw else { return 0 }
        output = buffer
        outputCount = 0
        isBlocked = false
        isInside = true
        defer {
            isInside = false
            output = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        }
        while true {
            if let rest = leftover {
                let room = output.count - outputCount
                let part = min(room, rest.count)
                append(UnsafeRawBufferPointer(rebasing: rest[..<part]))
                leftover = part == rest.count ? nil : UnsafeRawBufferPointer(rebasing: rest[part...])
                if leftover != nil { break }
            }
            if output.count - outputCount < Self.minimumOutput {
                isBlocked = true
                break
            }
            var bytes: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(raw, &bytes)
            guard count > 0, let bytes else {
                if count < 0 { failure = String(cString: nghttp2_strerror(Int32(count))) }
                break
            }
            leftover = UnsafeRawBufferPointer(start: bytes, count: count)
        }
        return outputCount
    }

    /// Whether the last `pull` ended for want of room.
    var hasMore: Bool { isBlocked || leftover != nil }

    /// Whether much work has arrived since the last time this was asked: a large head, or part of one, or more than
    /// `calls` calls that began or were reset.
    func hasTakenMuch(calls: Int) -> Bool {
        defer {
            tookLargeHead = false
            takenCalls = 0
        }
        return tookLargeHead || takenCalls > calls || headerStream != nil && headerListSize > ReadSize.largeHead
    }

    /// Whether neither side has anything left to say.
    var isFinished: Bool {
        guard let raw, failure == nil else { return true }
        return nghttp2_session_want_read(raw) == 0 && nghttp2_session_want_write(raw) == 0
    }

    private func append(_ bytes: UnsafeRawBufferPointer) {
        guard let from = bytes.baseAddress, let base = output.baseAddress else { return }
        (base + outputCount).copyMemory(from: from, byteCount: bytes.count)
        outputCount += bytes.count
    }

    /// Closes all streams with `code` and lets go of nghttp2. Must not be called from a callback.
    func tearDown(code: UInt32) {
        precondition(!isInside, "HTTP2Session: torn down from one of its own callbacks")
        guard let raw else { return }
        let open = streams
        streams = []
        drainedStreams = []
        headerStream = nil
        leftover = nil
        self.raw = nil
        nghttp2_session_del(raw)
        for stream in open {
            stream.session = nil
            stream.closed(code: code)
        }
    }

    /// Tells the producers whose queues drained; what they add is for the next `pull`.
    func notifyDrained() -> Bool {
        guard !drainedStreams.isEmpty else { return false }
        let list = drainedStreams
        drainedStreams = []
        for stream in list where stream.session != nil { stream.drained() }
        return true
    }

    // MARK: Frames

    /// Answers `stream` with a head, followed by what its queue holds and will hold. Without a body the head also
    /// ends the stream.
    func submitResponse(_ stream: HTTP2Stream, _ fields: UnsafeBufferPointer<nghttp2_nv>, hasBody: Bool) {
        guard let raw, stream.session != nil else { return }
        var provider = Self.provider(for: stream)
        let code =
            hasBody
            ? nghttp2_submit_response(raw, stream.id, fields.baseAddress, fields.count, &provider)
            : nghttp2_submit_response(raw, stream.id, fields.baseAddress, fields.count, nil)
        if !hasBody { stream.hasEnded = true }
        check(code, stream)
    }

    /// Opens `stream` with a head, followed by what its queue holds and will hold.
    func submitRequest(_ stream: HTTP2Stream, _ fields: UnsafeBufferPointer<nghttp2_nv>) -> Bool {
        guard let raw else { return false }
        var provider = Self.provider(for: stream)
        let user = Unmanaged.passUnretained(stream).toOpaque()
        let id = nghttp2_submit_request(raw, nil, fields.baseAddress, fields.count, &provider, user)
        guard id > 0 else { return false }
        stream.id = id
        attach(stream)
        return true
    }

    /// Sends the fields that end `stream`, ahead of any data that still waits.
    func submitTrailers(_ stream: HTTP2Stream, _ fields: UnsafeBufferPointer<nghttp2_nv>) {
        guard let raw, stream.session != nil else { return }
        stream.hasEnded = true
        check(nghttp2_submit_trailer(raw, stream.id, fields.baseAddress, fields.count), stream)
    }

    /// Says that `stream`'s queue has something again, or has ended.
    func resume(_ stream: HTTP2Stream) {
        guard let raw, stream.session != nil else { return }
        // Refused when the stream does not wait for data, and then it is not needed.
        _ = nghttp2_session_resume_data(raw, stream.id)
    }

    /// Ends `stream` at once with HTTP/2's error `code`.
    func reset(_ stream: HTTP2Stream, code: UInt32) {
        guard let raw, stream.session != nil else { return }
        nghttp2_submit_rst_stream(raw, Self.noFlags, stream.id, code)
    }

    func submitPing(_ payload: UInt64) {
        guard let raw else { return }
        withUnsafeBytes(of: payload) { bytes in
            _ = nghttp2_submit_ping(raw, Self.noFlags, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
    }

    /// Announces that the session will end, without refusing streams that are on their way.
    func submitShutdownNotice() {
        if let raw { nghttp2_submit_shutdown_notice(raw) }
    }

    /// Refuses streams after those that were seen.
    func submitGoAway(code: UInt32, debug: StaticString = "") {
        guard let raw else { return }
        let last = nghttp2_session_get_last_proc_stream_id(raw)
        nghttp2_submit_goaway(raw, Self.noFlags, last, code, debug.utf8Start, debug.utf8CodeUnitCount)
    }

    /// Opens the connection's window by `count` bytes that have arrived.
    func consumeConnection(_ count: Int) {
        if let raw { nghttp2_session_consume_connection(raw, count) }
    }

    /// Opens the window of `stream` by `count` bytes that the application has taken.
    func consume(_ stream: HTTP2Stream, _ count: Int) {
        guard let raw, stream.session != nil, count > 0 else { return }
        nghttp2_session_consume_stream(raw, stream.id, count)
    }

    /// Keeps count of what the streams have queued.
    func queued(_ count: Int) { pendingBytes += count }

    private func check(_ code: Int32, _ stream: HTTP2Stream) {
        guard code != 0, let raw else { return }
        nghttp2_submit_rst_stream(raw, Self.noFlags, stream.id, NGHTTP2_INTERNAL_ERROR.rawValue)
    }

    private func attach(_ stream: HTTP2Stream) {
        stream.session = self
        stream.slot = streams.count
        streams.append(stream)
    }

    private func detach(_ stream: HTTP2Stream) {
        let last = streams.count - 1
        if stream.slot != last {
            streams[stream.slot] = streams[last]
            streams[stream.slot].slot = stream.slot
        }
        streams.removeLast()
        stream.session = nil
        pendingBytes -= stream.outbound.pendingBytes
        stream.outbound.removeAll()
    }

    private static func provider(for stream: HTTP2Stream) -> nghttp2_data_provider {
        var provider = nghttp2_data_provider()
        provider.source.ptr = Unmanaged.passUnretained(stream).toOpaque()
        provider.read_callback = readData
        return provider
    }
}

// MARK: - What nghttp2 calls

extension HTTP2Session {
    private static let noFlags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
    private static let endStream = UInt8(NGHTTP2_FLAG_END_STREAM.rawValue)
    private static let acknowledgement = UInt8(NGHTTP2_FLAG_ACK.rawValue)

    /// Resets are counted by the server's connection, with its own answer; nghttp2's count is only a backstop.
    private static let resetBurst: UInt64 = 100_000
    private static let resetRate: UInt64 = 10_000

    nonisolated(unsafe) private static let clientOptions = makeOptions()
    nonisolated(unsafe) private static let serverOptions: OpaquePointer? = {
        let options = makeOptions()
        // `RequestRules` checks the heads instead.
        nghttp2_option_set_no_http_messaging(options, 1)
        return options
    }()

    private static func makeOptions() -> OpaquePointer? {
        var options: OpaquePointer?
        nghttp2_option_new(&options)
        nghttp2_option_set_no_auto_window_update(options, 1)
        nghttp2_option_set_no_closed_streams(options, 1)
        nghttp2_option_set_stream_reset_rate_limit(options, resetBurst, resetRate)
        return options
    }

    nonisolated(unsafe) private static let callbacks: OpaquePointer? = {
        var callbacks: OpaquePointer?
        nghttp2_session_callbacks_new(&callbacks)
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
            with(user) { session in
                if let frame { session.beganHeaders(frame) }
                return 0
            }
        }
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, _, name, nameLength, value, valueLength, _, user in
            with(user) { session in
                session.header(
                    UnsafeRawBufferPointer(start: name, count: nameLength),
                    UnsafeRawBufferPointer(start: value, count: valueLength))
                return 0
            }
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
            with(user) { session in
                if let frame { session.receivedFrame(frame) }
                return 0
            }
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { raw, _, id, bytes, count, user in
            with(user) { session in
                session.consumeConnection(count)
                session.stream(raw, id)?.received(UnsafeRawBufferPointer(start: bytes, count: count))
                return 0
            }
        }
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
            with(user) { session in
                if let frame { session.sentFrame(frame) }
                return 0
            }
        }
        nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { raw, frame, _, user in
            with(user) { session in
                if let frame { session.couldNotSend(frame) }
                return 0
            }
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { raw, id, code, user in
            with(user) { session in
                if let stream = session.stream(raw, id) { session.closed(stream, code) }
                return 0
            }
        }
        nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, _, header, count, source, user in
            with(user) { session in
                guard let pointer = source?.pointee.ptr, let header else {
                    return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
                }
                return Unmanaged<HTTP2Stream>.fromOpaque(pointer)._withUnsafeGuaranteedRef {
                    session.sendData($0, header, count)
                }
            }
        }
        return callbacks
    }()

    /// Says how much of a stream's queue the next DATA frame takes, and whether it is the last.
    private static let readData: nghttp2_data_source_read_callback = { _, _, _, length, flags, source, _ in
        guard let pointer = source?.pointee.ptr, let flags else { return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue) }
        return Unmanaged<HTTP2Stream>.fromOpaque(pointer)._withUnsafeGuaranteedRef {
            prepareData($0, length, &flags.pointee)
        }
    }

    private static func prepareData(_ stream: HTTP2Stream, _ length: Int, _ flags: inout UInt32) -> Int {
        if stream.hasEnded { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        let pending = stream.outbound.pendingBytes
        if pending == 0, !stream.isEnding { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        flags |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
        if stream.isEnding, pending <= length {
            flags |= NGHTTP2_DATA_FLAG_EOF.rawValue
            if stream.submitTrailers() { flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue }
            stream.hasEnded = true
        }
        return min(pending, length)
    }

    /// Calls `body` with the session that nghttp2 was given. The connection holds the session while nghttp2 runs, so
    /// that no callback, of which a request has about twenty, need count references to it.
    @inline(__always)
    private static func with(_ user: UnsafeMutableRawPointer?, _ body: (HTTP2Session) -> Int32) -> Int32 {
        guard let user else { return 0 }
        return Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef { body($0) }
    }

    private func stream(_ raw: OpaquePointer?, _ id: Int32) -> HTTP2Stream? {
        nghttp2_session_get_stream_user_data(raw, id).map {
            Unmanaged<HTTP2Stream>.fromOpaque($0).takeUnretainedValue()
        }
    }

    private static func header(of frame: UnsafePointer<nghttp2_frame>) -> nghttp2_frame_hd {
        UnsafeRawPointer(frame).load(as: nghttp2_frame_hd.self)
    }

    private func beganHeaders(_ frame: UnsafePointer<nghttp2_frame>) {
        let head = Self.header(of: frame)
        headerListSize = 0
        isRequestBlock = false
        if let known = stream(raw, head.stream_id) {
            headerStream = known
            return
        }
        headerStream = nil
        guard frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST else { return }
        isRequestBlock = true
        requestHead.begin()
        rules.begin()
        let stream = delegate.openedStream(head.stream_id)
        stream.id = head.stream_id
        attach(stream)
        headerStream = stream
        nghttp2_session_set_stream_user_data(raw, head.stream_id, Unmanaged.passUnretained(stream).toOpaque())
    }

    private func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        let overhead = 32  // What HTTP/2 adds to each field when it counts a list.
        headerListSize += name.count + value.count + overhead
        guard headerListSize <= maximumHeaderList else {
            tookLargeHead = true
            if let stream = headerStream { reset(stream, code: NGHTTP2_ENHANCE_YOUR_CALM.rawValue) }
            headerStream = nil
            isRequestBlock = false
            return
        }
        if isRequestBlock {
            guard rules.allows(name, value) else { return refuseHead() }
            requestHead.add(name, value)
        } else if isServer {
            // A request's trailers: gRPC does not use them, but they must be well-formed.
            if !RequestRules.allowsField(name, value) { refuseHead() }
        } else {
            headerStream?.receivedHeader(name: name, value: value)
        }
    }

    /// Ends a stream whose request is malformed.
    private func refuseHead() {
        if let stream = headerStream { reset(stream, code: NGHTTP2_PROTOCOL_ERROR.rawValue) }
        headerStream = nil
        isRequestBlock = false
    }

    private func receivedFrame(_ frame: UnsafePointer<nghttp2_frame>) {
        let head = Self.header(of: frame)
        switch UInt32(head.type) {
        case NGHTTP2_HEADERS.rawValue:
            if head.length > ReadSize.largeHead { tookLargeHead = true }
            if isServer { takenCalls += 1 }
            let ends = head.flags & Self.endStream != 0
            // A second head of a request is its trailers, which end it.
            if isServer, isRequestBlock ? !rules.isComplete : !ends { refuseHead() }
            guard let stream = headerStream else { return }
            headerStream = nil
            stream.remoteEnded = ends
            stream.receivedHeaders(endStream: ends)
            if ends { stream.receivedEnd() }
        case NGHTTP2_DATA.rawValue:
            guard head.flags & Self.endStream != 0, let stream = stream(raw, head.stream_id) else { return }
            stream.remoteEnded = true
            stream.receivedEnd()
        case NGHTTP2_PING.rawValue:
            guard head.flags & Self.acknowledgement != 0 else { return delegate.receivedPing() }
            let payload = frame.pointee.ping.opaque_data
            delegate.receivedPingAnswer(withUnsafeBytes(of: payload) { $0.loadUnaligned(as: UInt64.self) })
        case NGHTTP2_RST_STREAM.rawValue:
            takenCalls += 1
            delegate.receivedReset()
        case NGHTTP2_GOAWAY.rawValue:
            let goAway = frame.pointee.goaway
            delegate.receivedGoAway(
                code: goAway.error_code, lastStream: goAway.last_stream_id,
                debug: UnsafeRawBufferPointer(start: goAway.opaque_data, count: goAway.opaque_data_len))
        default: break
        }
    }

    /// A head that cannot be sent, such as one beyond nghttp2's 64 KiB, must not leave a client waiting.
    private func couldNotSend(_ frame: UnsafePointer<nghttp2_frame>) {
        let head = Self.header(of: frame)
        guard nghttp2_session_check_server_session(raw) != 0, UInt32(head.type) == NGHTTP2_HEADERS.rawValue,
            let stream = stream(raw, head.stream_id)
        else { return }
        reset(stream, code: NGHTTP2_INTERNAL_ERROR.rawValue)
    }

    private func sentFrame(_ frame: UnsafePointer<nghttp2_frame>) {
        let head = Self.header(of: frame)
        switch UInt32(head.type) {
        case NGHTTP2_HEADERS.rawValue:
            hasSentHeadersOrData = true
            // An answer that ends before its request does leaves the client sending for nothing.
            guard head.flags & Self.endStream != 0, nghttp2_session_check_server_session(raw) != 0,
                let stream = stream(raw, head.stream_id), !stream.remoteEnded
            else { return }
            reset(stream, code: NGHTTP2_NO_ERROR.rawValue)
        case NGHTTP2_DATA.rawValue:
            hasSentHeadersOrData = true
        case NGHTTP2_RST_STREAM.rawValue:
            let code = frame.pointee.rst_stream.error_code
            if code != NGHTTP2_NO_ERROR.rawValue { delegate.sentReset(code: code) }
        case NGHTTP2_GOAWAY.rawValue:
            let code = frame.pointee.goaway.error_code
            if code != NGHTTP2_NO_ERROR.rawValue {
                delegate.sentGoAway(reason: String(cString: nghttp2_http2_strerror(code)))
            }
        default: break
        }
    }

    private func closed(_ stream: HTTP2Stream, _ code: UInt32) {
        if headerStream === stream { headerStream = nil }
        detach(stream)
        stream.closed(code: code)
        if streams.isEmpty { delegate.becameIdle() }
    }

    private func sendData(_ stream: HTTP2Stream, _ header: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
        let frameHeader = 9
        guard output.count - outputCount >= frameHeader + count, let base = output.baseAddress else {
            isBlocked = true
            return NGHTTP2_ERR_WOULDBLOCK.rawValue
        }
        append(UnsafeRawBufferPointer(start: header, count: frameHeader))
        stream.outbound.take(count, into: base + outputCount)
        outputCount += count
        pendingBytes -= count
        if stream.producerWaits, stream.outbound.pendingBytes <= lowWaterMark {
            stream.producerWaits = false
            drainedStreams.append(stream)
        }
        return 0
    }
}
