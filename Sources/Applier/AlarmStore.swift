import Backend
import EtcdAPI
import WireFormat

/// An alarm of one member, as etcd keeps it in the `alarm` bucket.
public struct Alarm: Hashable, Sendable, Comparable {
    /// What is wrong.
    public enum Kind: UInt64, Sendable {
        case none = 0
        /// The backend has reached its quota.
        case noSpace = 1
        /// A member's data differs from that of the others.
        case corrupt = 2
    }

    public var memberID: UInt64
    public var kind: Kind

    /// An alarm of `kind` at `memberID`.
    public init(memberID: UInt64, kind: Kind) {
        self.memberID = memberID
        self.kind = kind
    }

    /// By kind, then by member, the order in which etcd lists them.
    public static func < (left: Alarm, right: Alarm) -> Bool {
        (left.kind.rawValue, left.memberID) < (right.kind.rawValue, right.memberID)
    }

    fileprivate init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        var memberID: UInt64 = 0
        var kind = Kind.none
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: memberID = try reader.varint(tag)
            case 2:
                guard let value = Kind(rawValue: try reader.varint(tag)) else {
                    throw WireError(.badValue(field: 2), offset: reader.offset)
                }
                kind = value
            default: try reader.skip(tag)
            }
        }
        self.init(memberID: memberID, kind: kind)
    }

    var encoded: [UInt8] {
        var writer = WireWriter()
        writer.varint(1, memberID)
        writer.varint(2, kind.rawValue)
        return writer.bytes
    }
}

extension Alarm.Kind {
    /// The kind that `request` is about; one that etcd does not have is refused, before it gets into the log and after.
    public init(_ request: Etcdserverpb_AlarmRequest) throws(EtcdError) {
        guard let number = UInt64(exactly: request.alarm.rawValue), let kind = Self(rawValue: number) else {
            throw EtcdError(.invalidArgument, "etcdserver: unknown alarm type \(request.alarm.rawValue)")
        }
        self = kind
    }
}

/// The alarms that are raised, kept in the backend so that they survive a restart.
struct AlarmStore {
    private let backend: Backend
    private(set) var raised: Set<Alarm> = []

    init(backend: Backend) throws(BackendError) {
        self.backend = backend
        for (key, _) in try backend.all(.alarm) {
            do {
                raised.insert(try key.span.withUnsafeBytes { (bytes) throws(WireError) in try Alarm(decoding: bytes) })
            } catch {
                throw BackendError.corrupt(path: backend.path, what: "an alarm in the backend: \(error)")
            }
        }
    }

    /// Whether any member is out of space.
    var isOutOfSpace: Bool { raised.contains { $0.kind == .noSpace } }

    /// Whether any member's data is known to differ from the others'.
    var isCorrupt: Bool { raised.contains { $0.kind == .corrupt } }

    /// Raises `alarm` and returns it, also when it is raised already.
    mutating func raise(_ alarm: Alarm) -> [Alarm] {
        if raised.insert(alarm).inserted { backend.put(.alarm, alarm.encoded, []) }
        return [alarm]
    }

    /// Takes `alarm` back and returns it, or nothing when it was not raised.
    mutating func clear(_ alarm: Alarm) -> [Alarm] {
        guard raised.remove(alarm) != nil else { return [] }
        backend.delete(.alarm, alarm.encoded)
        return [alarm]
    }

    /// The alarms of `kind`, or all of them for `none`.
    func list(_ kind: Alarm.Kind) -> [Alarm] {
        raised.filter { kind == .none || $0.kind == kind }.sorted()
    }
}
