import NIOCore
import NIOEmbedded

@testable import GRPC

/// HTTP/2 frames written and read by hand, for what a well-behaved client would not send.
struct Frame: Equatable {
    enum Kind: UInt8 {
        case data = 0
        case headers = 1
        case priority = 2
        case reset = 3
        case settings = 4
        case push = 5
        case ping = 6
        case goAway = 7
        case windowUpdate = 8
        case continuation = 9
    }

    static let endStream: UInt8 = 1
    static let acknowledgement: UInt8 = 1
    static let endHeaders: UInt8 = 4

    var kind: UInt8
    var flags: UInt8
    var stream: UInt32
    var payload: [UInt8]

    init(_ kind: Kind, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) {
        self.kind = kind.rawValue
        self.flags = flags
        self.stream = stream
        self.payload = payload
    }

    /// The head of a request, with every field as a literal that is not indexed.
    static func headers(_ fields: [(String, String)], stream: UInt32, endStream: Bool = false) -> Frame {
        let flags = Self.endHeaders | (endStream ? Self.endStream : 0)
        return Frame(.headers, flags: flags, stream: stream, fields.flatMap { literal($0.0, $0.1) })
    }

    /// The head of a call.
    static func call(_ path: String, stream: UInt32, _ more: [(String, String)] = []) -> Frame {
        let fields = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "raw"), ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        return headers(fields + more, stream: stream)
    }

    private static func literal(_ name: String, _ value: String) -> [UInt8] {
        [0] + text(name) + text(value)
    }

    private static func text(_ text: String) -> [UInt8] {
        var length = text.utf8.count
        guard length >= 127 else { return [UInt8(length)] + Array(text.utf8) }
        var bytes: [UInt8] = [127]
        length -= 127
        while length >= 128 {
            bytes.append(UInt8(length & 127 | 128))
            length >>= 7
        }
        return bytes + [UInt8(length)] + Array(text.utf8)
    }

    var bytes: [UInt8] {
        [UInt8(payload.count >> 16), UInt8(payload.count >> 8 & 255), UInt8(payload.count & 255), kind, flags]
            + Self.word(stream) + payload
    }

    static func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

    /// The error code of a RST_STREAM or GOAWAY.
    var code: UInt32? {
        let start = kind == Kind.goAway.rawValue ? 4 : 0
        guard payload.count >= start + 4 else { return nil }
        return payload[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }
}

/// A connection to a server whose bytes the test writes and reads itself.
final class RawClient {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    let loop: EmbeddedEventLoop
    let server: Server
    let channel: EmbeddedChannel
    private var received: [UInt8] = []

    init(
        methods: [String: Method] = [:], _ configure: (inout Server.Configuration) -> Void = { _ in },
        observer: ServerObserver = ServerObserver(), http: (@Sendable (HTTPCall) -> Void)? = nil,
        endpoint: Server.Endpoint? = nil
    ) throws {
        loop = EmbeddedEventLoop()
        var configuration = Server.Configuration()
        configure(&configuration)
        server = Server(
            group: loop, configuration: configuration, methods: methods, observer: observer,
            http: http.map { HTTPHandlers(answer: $0) })
        channel = EmbeddedChannel(loop: loop)
        try server.setUp(channel, for: endpoint)
        try channel.connect(to: SocketAddress(unixDomainSocketPath: "/raw")).wait()
    }

    /// Says that the connection is HTTP/2.
    func open() throws {
        try write(Self.preface)
        try write(Frame(.settings))
    }

    func write(_ bytes: [UInt8]) throws {
        guard channel.isActive else { return }
        try channel.writeInbound(ByteBuffer(bytes: bytes))
        loop.run()
    }

    func write(_ frame: Frame) throws { try write(frame.bytes) }

    func readBytes() throws -> [UInt8] {
        loop.run()
        while let buffer = try channel.readOutbound(as: ByteBuffer.self) { received += Array(buffer.readableBytesView) }
        defer { received = [] }
        return received
    }

    /// The frames that the server has sent since the last time.
    func readFrames() throws -> [Frame] {
        var bytes = try readBytes()[...]
        var frames: [Frame] = []
        while bytes.count >= 9 {
            let head = Array(bytes.prefix(9))
            let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
            var frame = Frame(.data)
            frame.kind = head[3]
            frame.flags = head[4]
            frame.stream = head[5...].reduce(0) { $0 << 8 | UInt32($1) }
            frame.payload = Array(bytes.dropFirst(9).prefix(length))
            frames.append(frame)
            bytes = bytes.dropFirst(9 + length)
        }
        return frames
    }

    func frames(_ kind: Frame.Kind) throws -> [Frame] { try readFrames().filter { $0.kind == kind.rawValue } }

    var connection: ServerConnection? {
        try? channel.pipeline.syncOperations.handler(type: ServerConnection.self)
    }
}
