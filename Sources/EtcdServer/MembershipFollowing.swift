import Logging
import Member
import Membership

/// What a change of the members means beyond the list: log lines, and connections to those that came.
extension MemberThread {
    func logMembership(_ effects: [Cluster.Effect]) {
        for effect in effects {
            var fields: Logger.Metadata = [
                "cluster-id": .string(Identity.text(running.status.clusterID)),
                "local-member-id": .string(Identity.text(running.status.memberID)),
            ]
            switch effect {
            case .added(let member):
                fields["added-peer-id"] = .string(Identity.text(member.id))
                fields["added-peer-peer-urls"] = .array(member.peerURLs.map { .string($0) })
                fields["added-peer-is-learner"] = .stringConvertible(member.isLearner)
                logger.info("added member", metadata: fields)
            case .updated(let member):
                fields["updated-remote-peer-id"] = .string(Identity.text(member.id))
                fields["updated-remote-peer-urls"] = .array(member.peerURLs.map { .string($0) })
                logger.info("updated member", metadata: fields)
            case .promoted(let member):
                fields["promoted-member-id"] = .string(Identity.text(member.id))
                logger.info("promote member", metadata: fields)
            case .removed(let id):
                fields["removed-remote-peer-id"] = .string(Identity.text(id))
                logger.info("removed member", metadata: fields)
            }
        }
    }

    /// Connects to members that came and leaves those that went.
    func followMembership(_ effects: [Cluster.Effect]) {
        for effect in effects {
            switch effect {
            case .added(let member), .updated(let member), .promoted(let member):
                if member.id != running.status.memberID { running.peers.setPeer(member.id, urls: member.peerURLs) }
            case .removed(let id):
                if id != running.status.memberID { running.peers.removePeer(id) }
            }
        }
    }

    /// Connects to the members that the cluster has now.
    func connectToMembers() {
        let cluster = core.applier.cluster
        running.peers.setRemoved(cluster.removed)
        followMembership(cluster.sortedMembers.map { .updated($0) })
    }
}
