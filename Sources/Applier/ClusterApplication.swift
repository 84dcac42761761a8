import Backend
import EtcdAPI
import Membership
import RaftMessages
import SwiftProtobuf
import WireFormat

/// What the entries about the cluster change: names and client URLs, the cluster's version, and its way back.
extension Applier {
    /// Follows a request of the version-2 API as far as it concerns the cluster, and returns what came of it. Its users'
    /// keys are another store's.
    func applyV2(_ bytes: UnsafeRawBufferPointer, _ entry: Entry) -> Outcome? {
        guard let request = try? V2Request(decoding: bytes) else { return nil }
        var answer: [UInt8] = []
        if request.method == "PUT", request.path == ClusterRequest.versionPath {
            if let version = ClusterVersion(String(decoding: request.value, as: UTF8.self)) {
                setVersion(version, entry)
            }
        } else if request.method == "PUT", let id = request.publishingMember {
            if let attributes = MemberJSON.attributes(request.value) { publish(attributes, for: id, entry) }
            if let state = DowngradeState(inAttributes: request.value) { answer = setDowngrade(state, entry) }
        }
        return Outcome(requestID: request.id, reply: .message(answer))
    }

    /// What a version-2 request says, as far as the cluster needs it.
    private struct V2Request {
        var id: UInt64 = 0
        var method = ""
        var path = ""
        var value: [UInt8] = []

        init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
            var reader = WireReader(bytes)
            while let tag = try reader.next() {
                switch tag.field {
                case 1: id = try reader.varint(tag)
                case 2: method = String(decoding: try reader.bytes(tag), as: UTF8.self)
                case 3: path = String(decoding: try reader.bytes(tag), as: UTF8.self)
                case 4: value = try reader.byteArray(tag)
                default: try reader.skip(tag)
                }
            }
        }

        /// The member whose attributes the path names, if it does.
        var publishingMember: UInt64? {
            let (prefix, suffix) = (ClusterRequest.membersPath, ClusterRequest.attributesSuffix)
            guard path.hasPrefix(prefix), path.hasSuffix(suffix), path.count > prefix.count + suffix.count else {
                return nil
            }
            return UInt64(path.dropFirst(prefix.count).dropLast(suffix.count), radix: 16)
        }
    }

    /// Follows one of the requests that etcd has for this since 3.5, and returns the answer.
    func setClusterAttributes(
        _ bytes: UnsafeRawBufferPointer, _ kind: RaftRequestView.Kind, _ entry: Entry
    ) throws(EtcdError) -> [UInt8] {
        switch kind {
        case .clusterVersionSet:
            let request: Membershippb_ClusterVersionSetRequest = try message(bytes)
            if let version = ClusterVersion(request.ver) { setVersion(version, entry) }
        case .clusterMemberAttrSet:
            let request: Membershippb_ClusterMemberAttrSetRequest = try message(bytes)
            let attributes = PublishedAttributes(
                name: request.memberAttributes.name, clientURLs: request.memberAttributes.clientUrls)
            publish(attributes, for: request.memberID, entry)
        default:
            let request: Membershippb_DowngradeInfoSetRequest = try message(bytes)
            let state = DowngradeState(target: request.enabled ? ClusterVersion(request.ver) : nil)
            return setDowngrade(state, entry)
        }
        return []
    }

    private func isNew(_ entry: Entry) -> Bool { entry.index > backend.consistentIndex }

    private func publish(_ attributes: PublishedAttributes, for id: UInt64, _ entry: Entry) {
        guard let member = cluster.publish(attributes, for: id), isNew(entry) else { return }
        save(member)
    }

    /// Returns the answer to the client that asked for it.
    private func setDowngrade(_ state: DowngradeState, _ entry: Entry) -> [UInt8] {
        cluster.downgradeTarget = state.target
        if isNew(entry) { backend.put(.cluster, Self.downgradeKey, state.encoded) }
        var response = Etcdserverpb_DowngradeResponse()
        response.header = Etcdserverpb_ResponseHeader(header())
        response.version = cluster.version?.series ?? ""
        return (try? response.serializedBytes()) ?? []
    }

    private func setVersion(_ version: ClusterVersion, _ entry: Entry) {
        if let previous = cluster.version, version < previous { wentBackAt = entry.index }
        cluster.version = version
        guard isNew(entry) else { return }
        backend.put(.cluster, Self.versionKey, Array(version.description.utf8))
        if version >= .storageVersions && version > storageVersion ?? .minimum { setStorageVersion(version) }
    }

    static let versionKey = Array("clusterVersion".utf8)
    static let downgradeKey = Array("downgrade".utf8)

    /// Whether the log still holds entries that members of the cluster's version may not know, or the backend says so:
    /// a snapshot puts an end to it.
    public var needsSnapshot: Bool {
        guard let version = cluster.version else { return false }
        return wentBackAt != nil || (storageVersion ?? .minimum) > version
    }

    /// A snapshot at `index` is saved, so that entries up to there are read no more.
    public func snapshotSaved(at index: UInt64) {
        guard let version = cluster.version, index >= wentBackAt ?? 0 else { return }
        wentBackAt = nil
        guard let storageVersion, storageVersion > version else { return }
        setStorageVersion(version >= .storageVersions ? version : nil)
    }

    /// The series whose layout the backend has, as etcd tells it: before 3.6 the file does not say.
    public var toldStorageVersion: ClusterVersion { storageVersion ?? .clusterRequests }

    private func setStorageVersion(_ version: ClusterVersion?) {
        storageVersion = version
        if let version {
            backend.put(.meta, MetaKey.storageVersion, Array(version.description.utf8))
        } else {
            backend.delete(.meta, MetaKey.storageVersion)
        }
    }

    /// Stores Raft's configuration, from which etcd tells since 3.5 how old a file is.
    public func save(_ confState: ConfState) {
        func list(_ name: String, _ ids: [UInt64]) -> String {
            ids.isEmpty ? "" : "\"\(name)\":[\(ids.map(String.init).joined(separator: ","))],"
        }
        let text =
            "{\(list("voters", confState.voters))\(list("learners", confState.learners))"
            + "\(list("voters_outgoing", confState.votersOutgoing))\(list("learners_next", confState.learnersNext))"
            + "\"auto_leave\":\(confState.autoLeave)}"
        backend.put(.meta, MetaKey.confState, Array(text.utf8))
    }
}
