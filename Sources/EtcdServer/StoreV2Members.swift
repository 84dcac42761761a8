import GRPC
import Member
import Membership
import StoreV2

/// `/v2/members` and `/v2/machines`.
extension StoreV2Service {
    /// Answers a request about members; `rest` is what the path names behind `/v2/members`.
    func members(_ call: HTTPCall, _ rest: String) {
        if refuseAllBut(["GET", "POST", "DELETE", "PUT"], call) { return }
        switch call.request.method {
        case "GET": list(call, rest)
        case "POST": add(call)
        case "DELETE":
            guard let id = memberID(rest, call) else { return }
            change(call, id) { core, now throws(MembershipChangeError) in try core.removeMember(id, now: now) }
        default:
            guard let id = memberID(rest, call), let urls = peerURLs(call) else { return }
            change(call, id) { core, now in core.updateMember(id, peerURLs: urls, now: now) }
        }
    }

    func machines(_ call: HTTPCall) {
        if refuseAllBut(["GET", "HEAD"], call) { return }
        member.perform { member in
            let urls = member.core.applier.cluster.sortedMembers.flatMap(\.clientURLs).sorted()
            call.respond(HTTPResponse(status: 200, text: urls.joined(separator: ", ")))
        }
    }

    private func list(_ call: HTTPCall, _ rest: String) {
        guard rest.isEmpty || rest == "leader" else { return refuse(call, 404, "Not found") }
        member.perform { [self] member in
            let cluster = member.core.applier.cluster
            if rest.isEmpty {
                return json(call, 200, MembersText.list(cluster.sortedMembers.map(Self.entry)))
            }
            guard let leader = cluster.members[member.core.leader] else {
                return refuse(call, 503, "During election")
            }
            json(call, 200, MembersText.one(Self.entry(leader)))
        }
    }

    private func add(_ call: HTTPCall) {
        guard let urls = peerURLs(call) else { return }
        let seconds = Int64(Clock.unixMilliseconds / 1_000)
        member.perform { [self] member in
            if refuseForAuth(call, member) { return }
            member.change { core, now throws(MembershipChangeError) in
                try core.addMember(peerURLs: urls, isLearner: false, unixSeconds: seconds, now: now)
            } _: { [self] result in
                switch result {
                case .success(let members):
                    // No other member has the same.
                    guard let added = members.first(where: { $0.peerURLs == urls }) else { return failed(call) }
                    json(call, 201, MembersText.one(Self.entry(added)))
                case .failure(.refused(let refusal)) where refusal == .idExists || refusal == .peerURLExists:
                    refuse(call, 409, "\(refusal)")
                case .failure: failed(call)
                }
            }
        }
    }

    private func change(
        _ call: HTTPCall, _ id: UInt64,
        _ propose: @escaping @Sendable (MemberCore, _ now: Int64) throws(MembershipChangeError) -> UInt64
    ) {
        member.perform { [self] member in
            if refuseForAuth(call, member) { return }
            member.change(propose) { [self] result in
                switch result {
                case .success: json(call, 204, [])
                case .failure(.refused(.peerURLExists)): refuse(call, 409, "\(Cluster.Refusal.peerURLExists)")
                case .failure(.refused(.idRemoved)) where call.request.method == "DELETE":
                    refuse(call, 410, "Member permanently removed: \(Identity.text(id))")
                case .failure(.refused(.idNotFound)): refuse(call, 404, "No such member: \(Identity.text(id))")
                case .failure: failed(call)
                }
            }
        }
    }

    // MARK: Parts

    private static func entry(_ member: Membership.Member) -> MembersText.Entry {
        MembersText.Entry(
            id: Identity.text(member.id), name: member.name, peerURLs: member.peerURLs, clientURLs: member.clientURLs)
    }

    private func memberID(_ text: String, _ call: HTTPCall) -> UInt64? {
        guard !text.isEmpty else {
            Self.text(call, 405, "Method Not Allowed\n", headers: clusterHeaders)
            return nil
        }
        guard text.allSatisfy(\.isHexDigit), let id = UInt64(text, radix: 16) else {
            refuse(call, 404, "No such member: \(text)")
            return nil
        }
        return id
    }

    /// The peer URLs in the body, in ascending order; nil when the request was refused.
    private func peerURLs(_ call: HTTPCall) -> [String]? {
        let given = call.request.header("content-type") ?? ""
        // etcd forgives capitals and blanks only before a parameter.
        let type =
            given.firstIndex(of: ";").map { given[..<$0].lowercased().filter { $0 != " " } } ?? given
        guard type == "application/json" else {
            refuse(call, 415, "Bad Content-Type \(type), accept application/json")
            return nil
        }
        let texts: [String]
        do throws(MembersText.Refusal) {
            texts = try MembersText.peerURLs(call.request.body)
        } catch {
            refuse(call, 400, error.message)
            return nil
        }
        guard !texts.isEmpty else {
            refuse(call, 400, "no valid URLs given")
            return nil
        }
        var urls: [String] = []
        for text in texts {
            do throws(ServiceURL.Invalid) {
                let url = try ServiceURL(parsing: text)
                guard !text.hasSuffix("/") else {
                    refuse(call, 400, "URL must not contain a path: \(text)")
                    return nil
                }
                urls.append(url.text)
            } catch {
                let hasScheme = text.contains("://")
                refuse(
                    call, 400,
                    hasScheme ? "\(error)" : "URL scheme must be http, https, unix, or unixs: \(text)")
                return nil
            }
        }
        return urls.sorted()
    }

    private var clusterHeaders: [(name: String, value: String)] {
        [(Self.clusterHeader, Identity.text(status.clusterID))]
    }

    func json(_ call: HTTPCall, _ status: Int, _ body: [UInt8]) {
        let type = body.isEmpty ? [] : [("content-type", "application/json")]
        call.respond(HTTPResponse(status: status, headers: clusterHeaders + type, body: body))
    }

    func refuse(_ call: HTTPCall, _ status: Int, _ message: String) {
        json(call, status, MembersText.message(message))
    }

    /// Nobody has a name here, so where the cluster asks for one, by either version's users, its members are changed in
    /// another way.
    private func refuseForAuth(_ call: HTTPCall, _ member: MemberThread) -> Bool {
        let applier = member.core.applier
        guard applier.auth.state.isEnabled || applier.keyTree.asksForUsers else { return false }
        // The only answer about members in which etcd does not name the cluster.
        call.respond(
            HTTPResponse(
                status: 401, headers: [("content-type", "application/json")],
                body: MembersText.message("Insufficient credentials")))
        return true
    }

    private func failed(_ call: HTTPCall) { refuse(call, 500, "Internal Server Error") }
}
