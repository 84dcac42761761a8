import WireFormat

/// Who asked, as the log remembers it (`etcdserverpb.RequestHeader`).
public struct RaftRequestHeader: Equatable, Sendable {
    /// The id by which the proposer recognises its request when it is applied.
    public var id: UInt64
    /// The user of the connection's auth token; empty without auth.
    public var username: String
    /// The revision of the auth store against which the request was checked.
    public var authRevision: UInt64
    /// The member that proposed the request (etcd 3.7; 0 from older ones).
    public var requesterMemberID: UInt64

    /// A header with the given fields.
    public init(id: UInt64 = 0, username: String = "", authRevision: UInt64 = 0, requesterMemberID: UInt64 = 0) {
        self.id = id
        self.username = username
        self.authRevision = authRevision
        self.requesterMemberID = requesterMemberID
    }

    /// The header encoded in `bytes`.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: id = try reader.varint(tag)
            case 2:
                guard let text = String(validating: try reader.bytes(tag), as: UTF8.self) else {
                    throw WireError(.badValue(field: 2), offset: reader.offset)
                }
                username = text
            case 3: authRevision = try reader.varint(tag)
            case 4: requesterMemberID = try reader.varint(tag)
            default: try reader.skip(tag)
            }
        }
    }

    /// The number of bytes that ``encode(into:)`` writes.
    public var encodedSize: Int {
        WireSize.varint(1, id) + WireSize.bytes(2, username.utf8.count) + WireSize.varint(3, authRevision)
            + WireSize.varint(4, requesterMemberID)
    }

    /// Appends the encoded header.
    public func encode(into writer: inout WireWriter) {
        writer.varint(1, id)
        writer.string(2, username)
        writer.varint(3, authRevision)
        writer.varint(4, requesterMemberID)
    }
}

/// The payload of a normal Raft entry (`etcdserverpb.InternalRaftRequest`), its request left encoded.
///
/// A request goes into the log in the bytes that it arrived in, and is decoded when it is applied.
/// The view borrows the bytes it was made over.
public struct RaftRequestView {
    /// The requests that a log entry can hold, by their field.
    public enum Kind: Int, CaseIterable, Sendable {
        /// A request of the version 2 store, in logs of etcd 3.4 to 3.6.
        case v2 = 2
        case range = 3
        case put = 4
        case deleteRange = 5
        case txn = 6
        case compaction = 7
        case leaseGrant = 8
        case leaseRevoke = 9
        case alarm = 10
        case leaseCheckpoint = 11
        case authEnable = 1000
        case authDisable = 1011
        case authenticate = 1012
        case authStatus = 1013
        case authUserAdd = 1100
        case authUserDelete = 1101
        case authUserGet = 1102
        case authUserChangePassword = 1103
        case authUserGrantRole = 1104
        case authUserRevokeRole = 1105
        case authUserList = 1106
        case authRoleList = 1107
        case authRoleAdd = 1200
        case authRoleDelete = 1201
        case authRoleGet = 1202
        case authRoleGrantPermission = 1203
        case authRoleRevokePermission = 1204
        case clusterVersionSet = 1300
        case clusterMemberAttrSet = 1301
        case downgradeInfoSet = 1302
        case downgradeVersionTest = 9900
    }

    /// The field of the header.
    private static let headerField = 100

    /// Who asked.
    public private(set) var header = RaftRequestHeader()
    /// The id outside the header, which old entries use; 0 in others.
    public private(set) var legacyID: UInt64 = 0
    /// Which request this is; nil when the entry holds none, or one that this version does not know.
    public private(set) var kind: Kind?
    /// The encoded request, inside the bytes that the view was made over.
    public private(set) var request = UnsafeRawBufferPointer(start: nil, count: 0)

    /// The id by which the proposer recognises the request.
    public var id: UInt64 { legacyID != 0 ? legacyID : header.id }

    /// A view of the entry in `bytes`.
    ///
    /// An entry with two requests is refused (``WireError/Reason/badValue(field:)``): etcd never writes one, and which
    /// of them counts would be a guess.
    public init(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            if tag.field == 1 {
                legacyID = try reader.varint(tag)
            } else if tag.field == Self.headerField {
                header = try RaftRequestHeader(decoding: try reader.bytes(tag))
            } else if let found = Kind(rawValue: tag.field) {
                guard kind == nil else { throw WireError(.badValue(field: tag.field), offset: reader.offset) }
                kind = found
                request = try reader.bytes(tag)
            } else {
                try reader.skip(tag)
            }
        }
    }

    /// The number of bytes that ``encode(_:request:header:into:)`` writes for a request of `length` bytes.
    public static func encodedSize(_ kind: Kind, requestLength length: Int, header: RaftRequestHeader) -> Int {
        WireSize.alwaysBytes(kind.rawValue, length) + WireSize.alwaysBytes(headerField, header.encodedSize)
    }

    /// Appends the entry for `request`, encoded bytes of the message that `kind` names.
    public static func encode(
        _ kind: Kind, request: UnsafeRawBufferPointer, header: RaftRequestHeader, into writer: inout WireWriter
    ) {
        let headerFirst = kind.rawValue > headerField
        if headerFirst { encode(header, into: &writer) }
        writer.alwaysBytes(kind.rawValue, request)
        if !headerFirst { encode(header, into: &writer) }
    }

    private static func encode(_ header: RaftRequestHeader, into writer: inout WireWriter) {
        writer.delimiter(headerField, length: header.encodedSize)
        header.encode(into: &writer)
    }
}
