import RaftMessages

/// A member of a new group.
public struct BootstrapMember: Sendable {
    public var id: UInt64
    /// The owner's bytes about the member, in the change that adds it.
    public var context: [UInt8]

    /// A member `id`.
    public init(id: UInt64, context: [UInt8] = []) {
        self.id = id
        self.context = context
    }
}

extension RawNode {
    /// Starts a new group: the log begins with one committed configuration change for each of `members`, in term 1.
    ///
    /// Every member of the group starts with the same list. Storage must be empty.
    public func bootstrap(_ members: [BootstrapMember]) {
        precondition(!members.isEmpty, "must provide at least one peer to Bootstrap")
        precondition(replica.log.lastIndex == 0, "can't bootstrap a nonempty Storage")
        replica.becomeFollower(term: 1, leader: 0)
        let entries = members.enumerated().map { offset, member in
            let change = ConfigurationChange(type: .addNode, nodeID: member.id, context: member.context)
            return Entry(
                term: 1, index: UInt64(offset + 1), type: .configurationChange, data: change.encoded())
        }
        replica.log.append(entries[...])
        replica.log.commit(to: UInt64(entries.count))
        // The entries are applied by the owner again; meanwhile this member must know who votes to take part at all.
        for member in members {
            do throws(ConfigurationChangeError) {
                let change = ConfigurationChange(type: .addNode, nodeID: member.id)
                _ = try replica.apply(change.asV2)
            } catch {
                preconditionFailure("adding voter \(member.id) one at a time always succeeds: \(error)")
            }
        }
    }
}
