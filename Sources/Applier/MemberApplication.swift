import Backend
import EtcdAPI
import Membership
import RaftMessages
import SwiftProtobuf
import WireFormat

/// Raft's configuration changes, as far as they concern the list of members.
extension Applier {
    /// Carries a configuration change out; the entry's index counts as applied whether it is refused or not.
    public func applyConfigurationChange(
        _ change: ConfigurationChange, entry: Entry
    ) -> Result<Cluster.Effect, Cluster.Refusal> {
        defer { noteApplied(entry) }
        do throws(Cluster.Refusal) {
            let effect = try cluster.apply(change)
            Cluster.record(effect, in: keyTree)
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

    /// The members that the backend lists: known before the log, from which ``cluster`` comes, is applied again.
    public var storedMembers: [Member] {
        let records = (try? backend.all(.members)) ?? []
        return records.compactMap { MemberJSON.member($0.value) }
    }

    func save(_ member: Member) {
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
