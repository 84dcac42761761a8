import Membership
import RaftMessages
import StoreV2
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
            ("https://[::1]:2379", "https://[::1]:2379"),
            ("unix://run/etcd.sock", "unix://run/etcd.sock"),
            ("127.0.0.1:2379", "parse \"127.0.0.1:2379\": first path segment in URL cannot contain colon"),
            (":1", "parse \":1\": missing protocol scheme"),
            ("localhost:2379", "URL scheme must be http, https, unix, or unixs: localhost:2379"),
            ("localhost", "URL scheme must be http, https, unix, or unixs: localhost"),
            ("http:/a:1", "URL address does not have the form \"host:port\": http:/a:1"),
            ("http://::1:1", "URL address does not have the form \"host:port\": http://::1:1"),
            ("http://a:b", "parse \"http://a:b\": invalid port \":b\" after host"),
            ("http://a b:1", "parse \"http://a b:1\": invalid character \" \" in host name"),
            ("http://a:1/", "URL must not contain a path: http://a:1/"),
            ("unix://", "URL \"unix://\" names no socket"),
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
        var cluster = Cluster(id: 9, version: ClusterVersion(3, 4))
        let tree = KeyTree()
        Cluster.record(ClusterVersion(3, 4), in: tree)
        Cluster.record(try cluster.apply(change(.addNode, first)), in: tree)
        let attributes = PublishedAttributes(name: "one", clientURLs: ["http://a:2"])
        _ = cluster.publish(attributes, for: 1)
        Cluster.record(attributes, of: 1, in: tree)
        let second = Member(id: 2, peerURLs: ["http://b:1"])
        Cluster.record(try cluster.apply(change(.addLearnerNode, second)), in: tree)
        Cluster.record(try cluster.apply(change(.updateNode, first)), in: tree)
        Cluster.record(try cluster.apply(change(.addNode, Member(id: 3, peerURLs: ["http://c:1"]))), in: tree)
        Cluster.record(try cluster.apply(change(.removeNode, Member(id: 3, peerURLs: []))), in: tree)
        #expect(try Cluster(id: 9, in: KeyTree(decoding: tree.encoded())) == cluster)
        // Each takes the indexes that etcd's own changes take, for the users' keys count on.
        #expect(tree.index == 8)
    }

    @Test func learnersAreLimited() throws {
        var cluster = Cluster(id: 9, members: [first])
        let learner = Member(id: 2, peerURLs: ["http://b:1"], isLearner: true)
        let second = Member(id: 3, peerURLs: ["http://c:1"], isLearner: true)
        try cluster.validate(change(.addLearnerNode, learner))
        _ = try cluster.apply(change(.addLearnerNode, learner))
        #expect(throws: Cluster.Refusal.tooManyLearners) { try cluster.validate(change(.addLearnerNode, second)) }
        try cluster.validate(change(.addLearnerNode, second), maximumLearners: 2)
        try cluster.validate(change(.addNode, Member(id: 3, peerURLs: ["http://c:1"])))
    }

    @Test func aLearnerIsPromotedOnce() throws {
        let learner = Member(id: 2, name: "two", peerURLs: ["http://b:1"], isLearner: true)
        var cluster = Cluster(id: 9, members: [first, learner])
        func promotion(_ id: UInt64) -> ConfigurationChange {
            ConfigurationChange(type: .addNode, nodeID: id, context: MemberJSON.promotion(of: id))
        }
        #expect(throws: Cluster.Refusal.idNotFound) { try cluster.validate(promotion(7)) }
        #expect(throws: Cluster.Refusal.memberNotLearner) { try cluster.validate(promotion(1)) }
        try cluster.validate(promotion(2))
        var voter = learner
        voter.isLearner = false
        #expect(try cluster.apply(promotion(2)) == .promoted(voter))
        #expect(throws: Cluster.Refusal.memberNotLearner) { try cluster.validate(promotion(2)) }
    }

    /// A change of a learner's URLs that names it a voter, as etcd's does, makes it one in the list; one that names a
    /// voter a learner came too late.
    @Test func anUpdateChangesTheURLs() throws {
        let learner = Member(id: 2, name: "two", peerURLs: ["http://b:1"], isLearner: true)
        var cluster = Cluster(id: 9, members: [first, learner])
        var moved = learner
        moved.peerURLs = ["http://b:2"]
        #expect(try cluster.apply(change(.updateNode, moved)) == .updated(moved))
        #expect(throws: Cluster.Refusal.peerURLExists) {
            try cluster.validate(change(.updateNode, Member(id: 2, peerURLs: ["http://a:1"])))
        }
        _ = try cluster.apply(change(.updateNode, Member(id: 2, peerURLs: ["http://b:3"])))
        #expect(cluster.members[2]?.isLearner == false)
        _ = try cluster.apply(change(.updateNode, moved))
        #expect(cluster.members[2] == Member(id: 2, name: "two", peerURLs: ["http://b:2"]))
    }
}

@Suite struct MemberJSONTests {
    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// The bytes that Go's encoder gives for etcd's types.
    @Test func bytesAreThoseOfGo() {
        let member = Member(
            id: 18_446_744_073_709_551_615, name: "a\"<&>\n", peerURLs: ["http://a:1", "http://b:1"],
            clientURLs: ["http://a:2"], isLearner: true)
        #expect(
            text(MemberJSON.encode(member))
                == #"{"id":18446744073709551615,"peerURLs":["http://a:1","http://b:1"],"isLearner":true,"#
                + #""name":"a\"\u003c\u0026\u003e\n","clientURLs":["http://a:2"]}"#)
        #expect(
            text(MemberJSON.encode([Member(id: 1, peerURLs: ["http://a:1"]), Member(id: 2, peerURLs: [])]))
                == #"[{"id":1,"peerURLs":["http://a:1"]},{"id":2,"peerURLs":null}]"#)
        #expect(
            text(MemberJSON.encode(PublishedAttributes(name: "é", clientURLs: ["u"])))
                == #"{"name":"é","clientURLs":["u"]}"#)
        #expect(text(MemberJSON.encode(PublishedAttributes(name: "", clientURLs: []))) == "{}")
        #expect(text(MemberJSON.promotion(of: 7)) == #"{"id":7,"peerURLs":null,"isPromote":true}"#)
    }

    @Test func whatIsWrittenIsRead() {
        let members = [
            Member(id: .max, name: "\u{1}\u{2028}\\\t", peerURLs: ["x"], clientURLs: ["y", "z"], isLearner: true),
            Member(id: 0, peerURLs: []),
        ]
        #expect(MemberJSON.members(MemberJSON.encode(members)) == members)
        #expect(MemberJSON.member(MemberJSON.encode(members[0])) == members[0])
        #expect(MemberJSON.members([1]) == nil)
    }
}
