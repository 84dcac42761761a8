import Backend
import RaftMessages
import Testing

@testable import Member

/// Three members whose messages are carried by hand, in one thread.
struct Trio {
    var members: [SimulatedMember] = []
    /// Members whose messages are lost in both directions.
    var cut: Set<UInt64> = []
    /// Whether snapshots are carried; else they stay in the members' hands.
    var carriesSnapshots = true
    private let record = Record()
    /// The snapshots that were carried, by receiver.
    var carried: [UInt64: Int] { record.carried }

    private final class Record {
        var carried: [UInt64: Int] = [:]
    }

    init(seed: UInt64, arguments: [String] = []) throws {
        let cluster = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3"
        for (index, name) in ["a", "b", "c"].enumerated() {
            members.append(
                try SimulatedMember(name: name, cluster: cluster, seed: seed + UInt64(index), arguments: arguments))
        }
        try settle()
    }

    var leader: SimulatedMember? {
        members.first { $0.core.isLeader && !cut.contains($0.core.settings.memberID) }
    }

    /// A member that does not lead.
    var follower: SimulatedMember? { members.first { !$0.core.isLeader } }

    /// Lets all go on until no message is under way.
    func settle() throws {
        var delivered = true
        while delivered {
            delivered = false
            for member in members where !cut.contains(member.core.settings.memberID) { try member.settle() }
            for member in members {
                let messages = member.messages
                member.messages = []
                guard !cut.contains(member.core.settings.memberID) else { continue }
                for message in messages where !cut.contains(message.to) {
                    let receiver = members.first { $0.core.settings.memberID == message.to }
                    receiver?.core.step(message)
                    delivered = true
                }
                if carriesSnapshots, try carrySnapshots(of: member) { delivered = true }
            }
        }
    }

    /// Takes the snapshots that `member` sends to their receivers, and reports their fate.
    private func carrySnapshots(of member: SimulatedMember) throws -> Bool {
        let snapshots = member.snapshots
        member.snapshots = []
        for (message, database) in snapshots {
            let receiver = members.first { $0.core.settings.memberID == message.to }
            if let receiver, !cut.contains(message.to) {
                try receiver.receiveSnapshot(message, database)
                record.carried[message.to, default: 0] += 1
                member.core.reportSnapshot(to: message.to, succeeded: true)
            } else {
                member.core.reportSnapshot(to: message.to, succeeded: false)
            }
        }
        return !snapshots.isEmpty
    }

    func tick() throws {
        for member in members where !cut.contains(member.core.settings.memberID) { member.tick() }
        try settle()
    }

    /// Ticks until there is a leader, at most `limit` times.
    func elect(limit: Int = 200) throws -> SimulatedMember {
        for _ in 0..<limit {
            if let leader { return leader }
            try tick()
        }
        return try #require(leader, "nobody was elected")
    }
}
