import Backend
import EtcdAPI
import Membership
import RaftMessages
import StoreV2
import SwiftProtobuf
import WireFormat

/// What the entries about the cluster change: names and client URLs, the cluster's version, and its way back.
extension Applier {
    /// Applies a request of the version-2 API and returns what came of it. Those about the cluster have its keys. The store
    /// is in memory alone, so entries that a restart replays count again.
    func applyV2(_ bytes: UnsafeRawBufferPointer, _ entry: Entry) -> Outcome? {
        guard let request = (try? StoreV2Request(decoding: bytes)) ?? nested(bytes) else { return nil }
        guard request.isPlainPut else { return outcome(of: request) }
        let path = String(decoding: request.path, as: UTF8.self)
        var answer: [UInt8] = []
        if path == ClusterRequest.versionPath {
            if let version = ClusterVersion(String(decoding: request.value, as: UTF8.self)) {
                setVersion(version, entry)
            }
        } else if let id = ClusterRequest.publishingMember(path) {
            if let attributes = MemberJSON.attributes(request.value) { publish(attributes, for: id, entry) }
            if let state = DowngradeState(inAttributes: request.value) { answer = setDowngrade(state, entry) }
        } else {
            return outcome(of: request)
        }
        return Outcome(requestID: request.id, reply: .message(answer))
    }

    /// The request inside an entry of the form that all others have.
    private func nested(_ bytes: UnsafeRawBufferPointer) -> StoreV2Request? {
        guard let entry = try? RaftRequestView(bytes), entry.kind == .v2,
            var request = try? StoreV2Request(decoding: entry.request)
        else { return nil }
        if request.id == 0 { request.id = entry.id }
        return request
    }

    private func outcome(of request: StoreV2Request) -> Outcome? {
        keyTree.apply(request).map { Outcome(requestID: request.id, reply: .storeV2($0)) }
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
        guard let member = cluster.publish(attributes, for: id) else { return }
        Cluster.record(attributes, of: id, in: keyTree)
        if isNew(entry) { save(member) }
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
        Cluster.record(version, in: keyTree)
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
