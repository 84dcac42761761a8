import EtcdAPI
import Membership
import StoreV2
import SwiftProtobuf
import WireFormat

/// What members tell the cluster of itself, as log entries.
///
/// Since 3.5 etcd has requests of their own for this, on which members of 3.4 end. Those read requests of the version-2
/// API, so that is what is written while the cluster's version is below 3.5, or not known.
public enum ClusterRequest {
    /// A member's name and client URLs.
    case attributes(memberID: UInt64, PublishedAttributes)
    /// The cluster's version.
    case version(ClusterVersion)
    /// Where the cluster is being taken back to. The attributes are those of the member that asks.
    case downgrade(DowngradeState, memberID: UInt64, PublishedAttributes)

    static let membersPath = "/0/members/"
    static let attributesSuffix = "/attributes"
    static let versionPath = "/0/version"

    /// The entry under `id`, in a form that every member of a cluster of `version` reads.
    public func entry(id: UInt64, for version: ClusterVersion?) -> [UInt8] {
        guard let version, version >= .clusterRequests else { return legacyEntry(id: id) }
        switch self {
        case .attributes(let memberID, let attributes):
            var request = Membershippb_ClusterMemberAttrSetRequest()
            request.memberID = memberID
            request.memberAttributes.name = attributes.name ?? ""
            request.memberAttributes.clientUrls = attributes.clientURLs ?? []
            return Self.entry(.clusterMemberAttrSet, request, id: id)
        case .version(let version):
            var request = Membershippb_ClusterVersionSetRequest()
            request.ver = version.description
            return Self.entry(.clusterVersionSet, request, id: id)
        case .downgrade(let state, _, _):
            var request = Membershippb_DowngradeInfoSetRequest()
            request.enabled = state.target != nil
            request.ver = state.target?.description ?? ""
            return Self.entry(.downgradeInfoSet, request, id: id)
        }
    }

    private static func entry(
        _ kind: RaftRequestView.Kind, _ request: some SwiftProtobuf.Message, id: UInt64
    ) -> [UInt8] {
        guard let bytes: [UInt8] = try? request.serializedBytes() else {
            preconditionFailure("a request about the cluster does not encode")
        }
        let header = RaftRequestHeader(id: id)
        var writer = WireWriter()
        bytes.withUnsafeBytes { RaftRequestView.encode(kind, request: $0, header: header, into: &writer) }
        return writer.bytes
    }

    private func legacyEntry(id: UInt64) -> [UInt8] {
        switch self {
        case .attributes(let memberID, let attributes):
            return Self.put(id: id, Self.attributesPath(memberID), MemberJSON.encode(attributes))
        case .version(let version):
            return Self.put(id: id, Self.versionPath, Array(version.description.utf8))
        case .downgrade(let state, let memberID, let attributes):
            // The version-2 API has no such request. One that says again what the member has published, with a field
            // more, is read by every etcd from 3.4 on, and all others pass over the field.
            var value = MemberJSON.encode(attributes)
            value.removeLast()
            if value.count > 1 { value.append(UInt8(ascii: ",")) }
            value += Array("\"downgrade\":".utf8) + state.encoded + [UInt8(ascii: "}")]
            return Self.put(id: id, Self.attributesPath(memberID), value)
        }
    }

    /// The member whose attributes a request of the version-2 API to `path` sets, if it does.
    static func publishingMember(_ path: String) -> UInt64? {
        guard path.hasPrefix(membersPath), path.hasSuffix(attributesSuffix),
            path.utf8.count > membersPath.utf8.count + attributesSuffix.utf8.count
        else { return nil }
        return UInt64(path.dropFirst(membersPath.count).dropLast(attributesSuffix.count), radix: 16)
    }

    private static func attributesPath(_ memberID: UInt64) -> String {
        "\(membersPath)\(Identity.text(memberID))\(attributesSuffix)"
    }

    private static func put(id: UInt64, _ path: String, _ value: [UInt8]) -> [UInt8] {
        var request = StoreV2Request(.put, path: Array(path.utf8))
        request.id = id
        request.value = value
        return request.encoded
    }
}
