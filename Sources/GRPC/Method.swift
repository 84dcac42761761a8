/// How a method of a service is carried out. What a method is given is called on the event loop of the connection that
/// the call came on, so it must not block.
public enum Method: Sendable {
    /// One request, one reply. The closure runs as soon as the request is whole; the reply may be given then or later.
    case unary(@Sendable (UnaryCall, _ message: [UInt8]) -> Void)
    /// Streams of requests, replies or both. The closure runs when the call's head has arrived and gives the object
    /// that the rest is told to.
    case stream(@Sendable (StreamCall) -> any StreamHandler)
}

/// What a streaming call is told. Everything is called on the connection's event loop.
public protocol StreamHandler: AnyObject {
    /// A request arrived, whole and decompressed.
    func received(_ message: [UInt8])
    /// The client will send no more requests; replies may go on.
    func halfClosed()
    /// The call is over before the handler finished it. Nothing is called afterwards and nothing can be sent.
    func cancelled(_ reason: CancelReason)
    /// Replies that waited went out, and there is room again after `StreamCall.isWritable` was false.
    func writable()
}

/// Why a call ended before its handler finished it.
public enum CancelReason: Sendable, Equatable {
    /// The client reset the stream, with this HTTP/2 error code (8 is CANCEL).
    case reset(code: UInt32)
    /// The connection is gone.
    case connectionClosed
    /// The deadline that the client set has passed; it was told DEADLINE_EXCEEDED.
    case deadlineExceeded
    /// The client sent what no message can be, or more than it may; it was told this status.
    case refused(Status)
    /// The client left more replies unread than the server keeps; it was told RESOURCE_EXHAUSTED.
    case unread
}

/// The methods of a server by path, found from the bytes of a header without making a string.
struct MethodTable: Sendable {
    final class Entry: Sendable {
        let path: String
        let bytes: [UInt8]
        let method: Method
        /// Who is told of the method's calls.
        let observer: (any CallObserver)?

        init(path: String, method: Method, observer: (any CallObserver)?) {
            self.path = path
            self.method = method
            self.observer = observer
            bytes = Array(path.utf8)
        }

        func matches(_ path: UnsafeRawBufferPointer) -> Bool {
            bytes.withUnsafeBytes { path.hasSameBytes(as: $0) }
        }
    }

    /// Open addressing over a power of two at least twice the number of methods.
    private var slots: [Entry?]
    private let services: Set<String>

    init(_ methods: [String: Method], observer: ServerObserver = ServerObserver()) {
        var size = 16
        while size < methods.count * 2 { size *= 2 }
        slots = Array(repeating: nil, count: size)
        var services: Set<String> = []
        for (path, method) in methods {
            let entry = Entry(path: path, method: method, observer: observer.calls?(path))
            var index = entry.bytes.withUnsafeBytes { Self.hash($0) } & (size - 1)
            while slots[index] != nil { index = (index + 1) & (size - 1) }
            slots[index] = entry
            if let (service, _) = Self.split(path) { services.insert(service) }
        }
        self.services = services
    }

    func find(_ path: UnsafeRawBufferPointer) -> Entry? {
        var index = Self.hash(path) & (slots.count - 1)
        while let entry = slots[index] {
            if entry.matches(path) { return entry }
            index = (index + 1) & (slots.count - 1)
        }
        return nil
    }

    /// The status of a call to a path that no method has, worded as grpc-go words it.
    func refusal(of path: [UInt8]) -> Status {
        let text = String(decoding: path, as: UTF8.self)
        guard let (service, method) = Self.split(text) else {
            return Status(.unimplemented, "malformed method name: \"\(text)\"")
        }
        guard services.contains(service) else { return Status(.unimplemented, "unknown service \(service)") }
        return Status(.unimplemented, "unknown method \(method) for service \(service)")
    }

    private static func split(_ path: String) -> (service: String, method: String)? {
        let name = path.hasPrefix("/") ? path.dropFirst() : path[...]
        guard let slash = name.lastIndex(of: "/") else { return nil }
        return (String(name[..<slash]), String(name[name.index(after: slash)...]))
    }

    /// FNV-1a over the last bytes: methods of one service differ at their end.
    private static func hash(_ path: UnsafeRawBufferPointer) -> Int {
        var hash: UInt32 = 2_166_136_261
        for byte in path.suffix(16) { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return Int(hash ^ hash >> 16)
    }
}
