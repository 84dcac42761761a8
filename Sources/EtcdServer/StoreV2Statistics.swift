import GRPC
import Member
import Membership
import RaftMessages
import StoreV2

/// `/v2/stats`, and what it tells.
extension StoreV2Service {
    func storeStatistics(_ call: HTTPCall) {
        if refuseAllBut(["GET"], call) { return }
        member.perform { Self.respond(call, KeysText.statistics($0.core.applier.keyTree)) }
    }

    func selfStatistics(_ call: HTTPCall) {
        if refuseAllBut(["GET"], call) { return }
        member.perform { [name] member in
            guard let statistics = member.storeV2.statistics else { return }
            let id = member.core.settings.memberID
            Self.respond(call, statistics.own(name: name, id: id, now: Clock.unixNanoseconds))
        }
    }

    func leaderStatistics(_ call: HTTPCall) {
        if refuseAllBut(["GET"], call) { return }
        member.perform { member in
            let members = Array(member.core.applier.cluster.members.keys)
            let id = member.core.settings.memberID
            guard let body = member.storeV2.statistics?.followers(of: id, members) else {
                return call.respond(
                    HTTPResponse(
                        status: 403, headers: [("content-type", "application/json")],
                        body: MembersText.message("not current leader")))
            }
            Self.respond(call, body)
        }
    }

    private static func respond(_ call: HTTPCall, _ body: [UInt8]) {
        call.respond(HTTPResponse(status: 200, headers: [("content-type", "application/json")], body: body))
    }
}

/// The messages of a turn, where `/v2/stats` counts them.
extension MemberThread {
    /// Counts from now on.
    func countMessages() {
        storeV2.statistics = MessageStatistics(now: Clock.unixNanoseconds)
        storeV2.statistics?.follow(core.leader, now: Clock.unixNanoseconds)
    }

    func countSent(_ messages: [Message]) {
        guard storeV2.statistics != nil else { return }
        let now = Clock.unixNanoseconds
        storeV2.statistics?.follow(core.leader, now: now)
        for message in messages where message.type == .append {
            storeV2.statistics?.noteSent(Self.bytes(message), now: now)
            guard storeV2.unanswered[message.to] == nil, let last = message.entries.last?.index else { continue }
            storeV2.unanswered[message.to] = (last, now)
        }
    }

    func countReceived(_ messages: [Message]) {
        guard storeV2.statistics != nil else { return }
        let now = Clock.unixNanoseconds
        for message in messages {
            if message.type == .append { storeV2.statistics?.noteReceived(Self.bytes(message), now: now) }
            guard message.type == .appendResponse, let (index, sentAt) = storeV2.unanswered[message.from],
                message.index >= index || message.reject
            else { continue }
            storeV2.unanswered[message.from] = nil
            storeV2.statistics?.noteTaken(by: message.from, milliseconds: Double(now - sentAt) / 1_000_000)
        }
    }

    func countLost(to peer: UInt64) {
        guard storeV2.statistics != nil else { return }
        storeV2.unanswered[peer] = nil
        storeV2.statistics?.noteLost(to: peer)
    }

    private static func bytes(_ message: Message) -> Int { message.entries.reduce(0) { $0 + $1.data.count } }
}
