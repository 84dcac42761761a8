import FoundationEssentials
import Logging
import Membership
import NIOCore
import PeerTransport

/// What a member asks others over their peer ports apart from Raft's traffic.
struct PeerQueries {
    /// What a member says of versions; nil where it says nothing that is one.
    struct Versions: Equatable {
        var server: ClusterVersion?
        var cluster: ClusterVersion?
    }

    /// A cluster as one of its members describes it.
    struct Described {
        var id: UInt64
        var members: [Membership.Member]
    }

    /// How long one question may take: etcd's timeout of a connection and an election.
    private static let timeout = TimeAmount.seconds(2)

    private let peers: PeerTransport
    private let logger: Logger

    init(_ peers: PeerTransport, logger: Logger) {
        self.peers = peers
        self.logger = logger
    }

    /// The versions that `members` tell, in their order; nil for one that does not answer. All are asked at once.
    func versions(of members: [Membership.Member]) async -> [Versions?] {
        await withTaskGroup(of: (Int, Versions?).self) { group in
            for (position, member) in members.enumerated() {
                group.addTask { (position, await version(of: member)) }
            }
            var versions = [Versions?](repeating: nil, count: members.count)
            for await (position, version) in group { versions[position] = version }
            return versions
        }
    }

    private struct VersionAnswer: Decodable {
        var etcdserver: String?
        var etcdcluster: String?
    }

    private func version(of member: Membership.Member) async -> Versions? {
        do {
            let body = try await get("/version", at: member.peerURLs, timeout: Self.timeout).body
            let answer = try JSONDecoder().decode(VersionAnswer.self, from: Data(body))
            return Versions(
                server: ClusterVersion(answer.etcdserver ?? ""), cluster: ClusterVersion(answer.etcdcluster ?? ""))
        } catch {
            logger.warning(
                "failed to get version",
                metadata: ["remote-member-id": .string(Identity.text(member.id)), "error": .string("\(error)")])
            return nil
        }
    }

    /// The cluster as the first of `urls` describes it that gives a good answer; nil when none does. Complains about
    /// the others where `isExpected`.
    func cluster(at urls: [String], timeout: TimeAmount, isExpected: Bool) async -> Described? {
        for url in urls {
            let problem: String
            do {
                let response = try await get("/members", at: [url], timeout: timeout)
                let id = response.headers.first { $0.name == "x-etcd-cluster-id" }
                if let members = MemberJSON.members(response.body), let id = id.flatMap({ UInt64($0.value, radix: 16) })
                {
                    return Described(id: id, members: members)
                }
                problem = "the answer is not a list of a cluster's members"
            } catch {
                problem = "\(error)"
            }
            guard isExpected else { continue }
            logger.warning(
                "failed to get cluster response",
                metadata: ["address": .string("\(url)/members"), "error": .string(problem)])
        }
        return nil
    }

    /// Whether the cluster of `members` is being taken back, as the first of them tells that answers.
    func isDowngrading(_ members: [Membership.Member]) async -> Bool {
        for member in members {
            // Members before 3.5 know nothing of it.
            guard let response = try? await get("/downgrade/enabled", at: member.peerURLs, timeout: Self.timeout) else {
                continue
            }
            return response.body == Array("true".utf8)
        }
        return false
    }

    private struct Refused: Error, CustomStringConvertible {
        var status: Int
        var description: String { "the answer has the status \(status)" }
    }

    private func get(_ target: String, at urls: [String], timeout: TimeAmount) async throws -> PeerResponse {
        let response = try await peers.request(PeerRequest("GET", target), urls: urls, timeout: timeout)
        guard response.status == 200 else { throw Refused(status: response.status) }
        return response
    }
}
