import Backend
import EtcdAPI
import Membership
import RaftMessages
import SwiftProtobuf
import WireFormat

/// Changes of the members: Raft's configuration changes, and what members publish about themselves.
///
/// Members of etcd up to 3.5 read these from requests of the version-2 API, so that is how they are written here.
extension Applier {
    private static let membersPath = "/0/members/"
    private static let attributesSuffix = "/attributes"
    private static let versionPath = "/0/version"

    /// The log entry that publishes a member's attributes.
    public static func publishRequest(
        id: UInt64, memberID: UInt64, attributes: PublishedAttributes
    ) -> [UInt8] {
        put(id: id, "\(membersPath)\(Identity.text(memberID))\(attributesSuffix)", MemberJSON.encode(attributes))
    }

    /// The log entry that sets the cluster's version.
    public static func versionRequest(id: UInt64, version: String) -> [UInt8] {
        put(id: id, versionPath, Array(version.utf8))
    }

    /// A request of the version-2 API, with every field that Go's encoder writes.
    private static func put(id: UInt64, _ path: String, _ value: [UInt8]) -> [UInt8] {
        var writer = WireWriter()
        writer.alwaysVarint(1, id)
        writer.alwaysBytes(2, Array("PUT".utf8))
        writer.alwaysBytes(3, Array(path.utf8))
        writer.alwaysBytes(4, value)
        writer.alwaysVarint(5, 0)
        writer.alwaysBytes(6, [])
        writer.alwaysVarint(7, 0)
        for field in 9...16 { writer.alwaysVarint(field, 0) }
        return writer.bytes
    }

    /// Follows a request of the version-2 API as far as it concerns the cluster. Its users' keys are another store's.
    func applyV2(_ bytes: UnsafeRawBufferPointer) {
        guard let request = try? V2Request(decoding: bytes), request.method == "PUT" else { return }
        if request.path == Self.versionPath {
            setVersion(String(decoding: request.value, as: UTF8.self))
        } else if request.path.hasPrefix(Self.membersPath), request.path.hasSuffix(Self.attributesSuffix) {
            let name = request.path.dropFirst(Self.membersPath.count).dropLast(Self.attributesSuffix.count)
            guard let id = UInt64(name, radix: 16), let attributes = MemberJSON.attributes(request.value) else {
                return
            }
            if let member = cluster.publish(attributes, for: id) { save(member) }
        }
    }

    /// What a version-2 request says, as far as the cluster needs it.
    private struct V2Request {
        var method = ""
        var path = ""
        var value: [UInt8] = []

        init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
            var reader = WireReader(bytes)
            while let tag = try reader.next() {
                switch tag.field {
                case 2: method = String(decoding: try reader.bytes(tag), as: UTF8.self)
                case 3: path = String(decoding: try reader.bytes(tag), as: UTF8.self)
                case 4: value = try reader.byteArray(tag)
                default: try reader.skip(tag)
                }
            }
        }
    }

    func setClusterAttributes(_ bytes: UnsafeRawBufferPointer, _ kind: RaftRequestView.Kind) throws(EtcdError) {
        if kind == .clusterVersionSet {
            let request: Membershippb_ClusterVersionSetRequest = try message(bytes)
            setVersion(request.ver)
        } else {
            let request: Membershippb_ClusterMemberAttrSetRequest = try message(bytes)
            let attributes = PublishedAttributes(
                name: request.memberAttributes.name, clientURLs: request.memberAttributes.clientUrls)
            if let member = cluster.publish(attributes, for: request.memberID) { save(member) }
        }
    }

    private func setVersion(_ version: String) {
        cluster.version = version
        backend.put(.cluster, Array("clusterVersion".utf8), Array(version.utf8))
    }

    /// Carries a configuration change out; the entry's index counts as applied whether it is refused or not.
    public func applyConfigurationChange(
        _ change: ConfigurationChange, entry: Entry
    ) -> Result<Cluster.Effect, Cluster.Refusal> {
        defer { noteApplied(entry) }
        do throws(Cluster.Refusal) {
            let effect = try cluster.apply(change)
            switch effect {
            case .added(let member), .updated(let member), .promoted(let member): save(member)
            case .removed(let id):
                let key = Array(Identity.text(id).utf8)
                backend.delete(.members, key)
                backend.put(.membersRemoved, key, Array("removed".utf8))
            }
            return .success(effect)
        } catch {
            return .failure(error)
        }
    }

    private func save(_ member: Member) {
        backend.put(.members, Array(Identity.text(member.id).utf8), MemberJSON.encode(member))
    }

    func message<Message: SwiftProtobuf.Message>(_ bytes: UnsafeRawBufferPointer) throws(EtcdError) -> Message {
        do {
            return try Message(serializedBytes: [UInt8](bytes))
        } catch {
            throw EtcdError(.internal, "etcdserver: a log entry does not decode: \(error)")
        }
    }

    func encode(_ message: some SwiftProtobuf.Message) throws(EtcdError) -> [UInt8] {
        do {
            return try message.serializedBytes()
        } catch {
            throw EtcdError(.internal, "etcdserver: a response does not encode: \(error)")
        }
    }
}

extension Etcdserverpb_ResponseHeader {
    /// The generated form of `header`.
    public init(_ header: ResponseHeader) {
        self.init()
        clusterID = header.clusterID
        memberID = header.memberID
        revision = header.revision
        raftTerm = header.raftTerm
    }
}
