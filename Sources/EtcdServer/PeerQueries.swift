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

    /// The cluster as the first of `urls` describes it that gives a good answer; nil when none does. Complains about the
    /// others.
    func cluster(at urls: [String], timeout: TimeAmount) async -> RunningCluster? {
        for url in urls {
            do {
                return try await describedCluster(at: url, timeout: timeout)
            } catch {
                logger.warning(
                    "failed to get cluster response",
                    metadata: ["address": .string("\(url)/members"), "error": .string("\(error)")])
            }
        }
        return nil
    }

    /// The cluster as any of `urls` describes it within `timeout`. All are asked at once: when a whole cluster is being
    /// made, none of its members answers yet, and to wait for one after the other would be long.
    func anyCluster(at urls: [String], timeout: TimeAmount) async -> RunningCluster? {
        await withTaskGroup(of: RunningCluster?.self) { group in
            for url in urls {
                group.addTask { try? await describedCluster(at: url, timeout: timeout) }
            }
            for await cluster in group {
                if let cluster { return cluster }
            }
            return nil
        }
    }

    private func describedCluster(at url: String, timeout: TimeAmount) async throws -> RunningCluster {
        let response = try await get("/members", at: [url], timeout: timeout)
        let header = response.headers.first { $0.name.lowercased() == "x-etcd-cluster-id" }
        guard let members = MemberJSON.members(response.body) else {
            throw Refused("the answer is not a list of members")
        }
        guard let id = header.flatMap({ UInt64($0.value, radix: 16) }) else {
            throw Refused("the answer does not name a cluster")
        }
        return RunningCluster(id: id, members: members)
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
        var description: String

        init(_ description: String) {
            self.description = description
        }
    }

    private func get(_ target: String, at urls: [String], timeout: TimeAmount) async throws -> PeerResponse {
        let response = try await peers.request(PeerRequest("GET", target), urls: urls, timeout: timeout)
        guard response.status == 200 else { throw Refused("the answer has the status \(response.status)") }
        return response
    }
}
