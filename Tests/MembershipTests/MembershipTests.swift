import Membership
import RaftMessages
import Testing

@Suite struct IdentityTests {
    /// The ids that genuine etcd computes for the cluster of its Procfile and for its defaults.
    @Test func idsAreThoseOfEtcd() throws {
        let text = [12380, 22380, 32380].enumerated().map { "infra\($0 + 1)=http://127.0.0.1:\($1)" }
        let members = try InitialCluster(parsing: text.joined(separator: ",")).members(token: "etcd-cluster-1")
        #expect(members.map { Identity.text($0.id) } == ["8211f1d0f64f3269", "91bc3c398fb3c146", "fd422379fda50e48"])
        #expect(Identity.text(Identity.cluster(memberIDs: members.map(\.id))) == "ef37ad9dc622a7c4")

        let alone = try InitialCluster(parsing: "default=http://localhost:2380").members(token: "etcd-cluster")
        #expect(alone[0].id == 10_276_657_743_932_975_437)
        #expect(Identity.cluster(memberIDs: alone.map(\.id)) == 14_841_639_068_965_178_418)
    }
}

@Suite struct ServiceURLTests {
    @Test(
        arguments: [
            ("http://127.0.0.1:2379", "http://127.0.0.1:2379"),
            ("https://[::1]:2379/", "https://[::1]:2379"),
            ("unix://run/etcd.sock", "unix://run/etcd.sock"),
            ("127.0.0.1:2379", "URL \"127.0.0.1:2379\" has no scheme (http, https, unix or unixs)"),
            ("ftp://a:1", "URL scheme must be http, https, unix, or unixs: ftp://a:1"),
            ("http://127.0.0.1", "URL address does not have the form \"host:port\": http://127.0.0.1"),
            ("http://a:99999", "URL \"http://a:99999\" has no port from 0 to 65535"),
            ("http://a:1/path", "URL must not contain a path: http://a:1/path"),
        ] as [(String, String)])
    func parsing(text: String, expected: String) {
        do throws(ServiceURL.Invalid) {
            #expect(try ServiceURL(parsing: text).text == expected)
        } catch {
            #expect(error.description == expected)
        }
    }
}

@Suite struct ClusterTests {
    private let first = Member(id: 1, peerURLs: ["http://a:1"])

    private func change(_ type: ConfigurationChangeType, _ member: Member) -> ConfigurationChange {
        ConfigurationChange(type: type, nodeID: member.id, context: MemberJSON.encode(member))
    }

    @Test func changesThatMakeNoSenseAreRefused() throws {
        var cluster = Cluster(id: 9)
        #expect(try cluster.apply(change(.addNode, first)) == .added(first))
        #expect(throws: Cluster.Refusal.idExists) { try cluster.validate(change(.addNode, first)) }
        let sameURL = Member(id: 2, peerURLs: ["http://a:1"])
        #expect(throws: Cluster.Refusal.peerURLExists) { try cluster.validate(change(.addNode, sameURL)) }
        #expect(throws: Cluster.Refusal.idNotFound) { try cluster.validate(change(.removeNode, sameURL)) }
        #expect(try cluster.apply(change(.removeNode, first)) == .removed(1))
        #expect(throws: Cluster.Refusal.idRemoved) { try cluster.validate(change(.addNode, first)) }
        #expect(throws: Cluster.Refusal.self) {
            try cluster.validate(ConfigurationChange(type: .addNode, nodeID: 3, context: [1, 2]))
        }
    }

    @Test func whatAMemberPublishedOutlivesASecondApplication() throws {
        var cluster = Cluster(id: 9)
        _ = try cluster.apply(change(.addNode, first))
        let published = cluster.publish(PublishedAttributes(name: "one", clientURLs: ["http://a:2"]), for: 1)
        #expect(published?.name == "one")
        _ = try cluster.apply(change(.addNode, first))
        #expect(cluster.members[1]?.clientURLs == ["http://a:2"])
        #expect(cluster.publish(PublishedAttributes(name: "two", clientURLs: []), for: 7) == nil)
    }

    @Test func aSnapshotsImageKeepsTheCluster() throws {
        var cluster = Cluster(id: 9, version: "3.4.0")
        _ = try cluster.apply(change(.addNode, first))
        _ = cluster.publish(PublishedAttributes(name: "one", clientURLs: ["http://a:2"]), for: 1)
        _ = try cluster.apply(change(.addLearnerNode, Member(id: 2, peerURLs: ["http://b:1"])))
        _ = try cluster.apply(change(.removeNode, Member(id: 3, peerURLs: [])))
        let bytes = StoreV2Image().encode(cluster)
        #expect(try StoreV2Image(decoding: bytes, clusterID: 9).cluster == cluster)
        #expect(throws: StoreV2Image.Malformed.self) { try StoreV2Image(decoding: [1, 2], clusterID: 9) }
    }
}
