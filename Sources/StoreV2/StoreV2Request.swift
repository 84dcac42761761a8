import WireFormat

/// A request of the version-2 API as it stands in the log (`etcdserverpb.Request`).
public struct StoreV2Request: Equatable, Sendable {
    public enum Method: String, Sendable {
        case post = "POST"
        case put = "PUT"
        case delete = "DELETE"
        /// A read by way of the log.
        case quorumGet = "QGET"
        /// Says what time it is, so that nodes expire.
        case sync = "SYNC"
    }

    /// The id by which the proposer recognises it.
    public var id: UInt64 = 0
    public var method: Method
    public var path: [UInt8] = []
    public var value: [UInt8] = []
    public var isDirectory = false
    public var previousValue: [UInt8] = []
    public var previousIndex: UInt64 = 0
    public var previousExists: Bool?
    /// Nanoseconds since 1970, or 0.
    public var expiration: Int64 = 0
    public var waits = false
    public var since: UInt64 = 0
    public var recursive = false
    public var sorted = false
    public var quorum = false
    /// Nanoseconds since 1970, of ``Method/sync``.
    public var time: Int64 = 0
    public var stream = false
    public var refresh: Bool?

    /// A request without parameters.
    public init(_ method: Method, path: [UInt8] = []) {
        self.method = method
        self.path = path
    }

    /// The request encoded in `bytes`; nil when it is of no method that is ever logged.
    public init?(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init(.sync)
        var method: Method?
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: id = try reader.varint(tag)
            case 2: method = Method(rawValue: String(decoding: try reader.bytes(tag), as: UTF8.self))
            case 3: path = try reader.byteArray(tag)
            case 4: value = try reader.byteArray(tag)
            case 5: isDirectory = try reader.varint(tag) != 0
            case 6: previousValue = try reader.byteArray(tag)
            case 7: previousIndex = try reader.varint(tag)
            case 8: previousExists = try reader.varint(tag) != 0
            case 9: expiration = Int64(bitPattern: try reader.varint(tag))
            case 10: waits = try reader.varint(tag) != 0
            case 11: since = try reader.varint(tag)
            case 12: recursive = try reader.varint(tag) != 0
            case 13: sorted = try reader.varint(tag) != 0
            case 14: quorum = try reader.varint(tag) != 0
            case 15: time = Int64(bitPattern: try reader.varint(tag))
            case 16: stream = try reader.varint(tag) != 0
            case 17: refresh = try reader.varint(tag) != 0
            default: try reader.skip(tag)
            }
        }
        guard let method else { return nil }
        self.method = method
    }

    /// The request with every field that Go's encoder writes.
    public var encoded: [UInt8] {
        var writer = WireWriter(capacity: path.count + value.count + previousValue.count + 64)
        writer.alwaysVarint(1, id)
        writer.alwaysBytes(2, Array(method.rawValue.utf8))
        writer.alwaysBytes(3, path)
        writer.alwaysBytes(4, value)
        writer.alwaysVarint(5, isDirectory ? 1 : 0)
        writer.alwaysBytes(6, previousValue)
        writer.alwaysVarint(7, previousIndex)
        if let previousExists { writer.alwaysVarint(8, previousExists ? 1 : 0) }
        writer.alwaysVarint(9, UInt64(bitPattern: expiration))
        writer.alwaysVarint(10, waits ? 1 : 0)
        writer.alwaysVarint(11, since)
        writer.alwaysVarint(12, recursive ? 1 : 0)
        writer.alwaysVarint(13, sorted ? 1 : 0)
        writer.alwaysVarint(14, quorum ? 1 : 0)
        writer.alwaysVarint(15, UInt64(bitPattern: time))
        writer.alwaysVarint(16, stream ? 1 : 0)
        if let refresh { writer.alwaysVarint(17, refresh ? 1 : 0) }
        return writer.bytes
    }

    /// Whether it only sets a node, whatever is there.
    public var isPlainPut: Bool {
        method == .put && previousExists == nil && previousIndex == 0 && previousValue.isEmpty
    }

    var timeToLive: TimeToLive {
        TimeToLive(expiration: expiration == 0 ? nil : expiration, isRefresh: refresh ?? false)
    }
}

extension KeyTree {
    /// Carries a logged request out. The answer is nil when there is nobody to have one.
    public func apply(_ request: StoreV2Request) -> Result<StoreV2Event, StoreV2Error>? {
        do throws(StoreV2Error) {
            switch request.method {
            case .post:
                return .success(
                    try create(
                        request.path, isDirectory: request.isDirectory, value: request.value, unique: true,
                        request.timeToLive))
            case .put: return .success(try put(request))
            case .delete:
                if request.previousIndex > 0 || !request.previousValue.isEmpty {
                    return .success(
                        try compareAndDelete(
                            request.path, previousValue: request.previousValue, previousIndex: request.previousIndex))
                }
                return .success(
                    try delete(request.path, isDirectory: request.isDirectory, recursive: request.recursive))
            case .quorumGet: return .success(try get(request.path, recursive: request.recursive))
            case .sync:
                expire(until: request.time)
                return nil
            }
        } catch {
            return .failure(error)
        }
    }

    private func put(_ request: StoreV2Request) throws(StoreV2Error) -> StoreV2Event {
        if request.previousExists == false {
            return try create(
                request.path, isDirectory: request.isDirectory, value: request.value, request.timeToLive)
        }
        if request.previousIndex > 0 || !request.previousValue.isEmpty {
            return try compareAndSwap(
                request.path, previousValue: request.previousValue, previousIndex: request.previousIndex,
                value: request.value, request.timeToLive)
        }
        if request.previousExists == true {
            return try update(request.path, value: request.value, request.timeToLive)
        }
        return try set(request.path, isDirectory: request.isDirectory, value: request.value, request.timeToLive)
    }
}
