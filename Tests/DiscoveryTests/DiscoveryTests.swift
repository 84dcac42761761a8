import Membership
import StoreV2
import Testing

@testable import Discovery

/// A version-2 service in memory, and what it does wrong.
private struct Service {
    var keys: [(name: String, value: String)] = []
    var size: String?
    /// What the next requests meet instead of an answer.
    var failures: [DiscoveryV2.Answer] = []
    /// Those who register while somebody waits.
    var coming: [(name: String, value: String)] = []
    var index: UInt64 = 10
    private(set) var log: [String] = []

    private func node(_ position: Int) -> KeysReply.Node {
        var node = KeysReply.Node()
        node.key = "/token/\(keys[position].name)"
        node.value = keys[position].value
        node.createdIndex = UInt64(position + 1)
        node.modifiedIndex = UInt64(position + 1)
        return node
    }

    private func error(_ code: Int) -> DiscoveryV2.Answer {
        var reply = KeysReply()
        reply.errorCode = code
        return .reply(reply, index: index)
    }

    mutating func answer(_ step: DiscoveryV2.Step) -> DiscoveryV2.Answer {
        log.append("\(step)")
        if case .pause = step { return .nothing }
        if !failures.isEmpty { return failures.removeFirst() }
        var reply = KeysReply()
        reply.action = "get"
        switch step {
        case .get("/token/_config/size"):
            guard let size else { return error(100) }
            reply.node.value = size
        case .get:
            var config = KeysReply.Node()
            config.key = "/token/_config"
            config.isDirectory = true
            reply.children = [config] + keys.indices.reversed().map(node)
        case .create(let path, let value):
            let name = String(path.split(separator: "/")[1])
            if keys.contains(where: { $0.name == name }) { return error(105) }
            keys.append((name, value))
            reply.action = "create"
            reply.node = node(keys.count - 1)
        case .watch(_, recursive: false, _): reply.node = node(keys.count - 1)
        case .watch(_, _, let since):
            guard !coming.isEmpty else { return .unreachable("nobody comes") }
            keys.append(coming.removeFirst())
            reply.action = "create"
            reply.node = node(keys.count - 1)
            reply.node.modifiedIndex = since
        default: break
        }
        return .reply(reply, index: index)
    }

    /// Runs the discovery of member `id`, as long as it takes no more than a hundred steps.
    mutating func run(id: UInt64 = 7, own: String = "own=http://own:1") -> Result<String, DiscoveryError>? {
        var discovery = DiscoveryV2(directory: "/token", id: id, ownURLs: own)
        var step = discovery.first
        for _ in 0..<100 {
            if case .done(let cluster) = step { return .success(cluster.text) }
            if case .failed(let error) = step { return .failure(error) }
            step = discovery.next(answer(step))
        }
        return nil
    }
}

@Suite struct DiscoveryV2Tests {
    private let others = [("1", "a=http://a:1"), ("2", "b=http://b:1"), ("3", "c=http://c:1")]

    @Test(arguments: 0...2) func membersRegisterInAnyOrder(before: Int) {
        var service = Service(
            keys: Array(others.prefix(before)), size: "3", coming: Array(others.dropFirst(before).prefix(2 - before)))
        #expect(service.run() == .success("a=http://a:1,b=http://b:1,own=http://own:1"))
    }

    @Test func aMemberMayBeAlone() {
        var service = Service(size: "1")
        #expect(service.run(own: "own=http://x:1,own=http://y:1") == .success("own=http://x:1,own=http://y:1"))
    }

    @Test(arguments: ["", "x", "0", "-1", "3.0", "1001", "9223372036854775807"])
    func theSizeMustBeANumber(size: String) {
        var service = Service(size: size)
        #expect(service.run() == .failure(.badSize(size)))
    }

    @Test func whatIsNotThereIsSaid() {
        var service = Service()
        #expect(service.run() == .failure(.sizeNotFound))
        service = Service(size: "3", failures: [.nonsense])
        #expect(service.run() == .failure(.badEndpoint))
    }

    @Test func aFullClusterTakesNobodyMore() {
        var service = Service(keys: others, size: "3")
        #expect(service.run() == .failure(.fullCluster))
        #expect(service.keys.count == 3)
        // Among those who register at the same moment the first ones count.
        service = Service(keys: Array(others.prefix(2)), size: "2")
        #expect(service.run() == .failure(.fullCluster))
    }

    @Test func whoHasRegisteredBeforeIsRefused() {
        var service = Service(keys: [("7", "own=http://own:1")], size: "3")
        #expect(service.run() == .failure(.duplicateID))
    }

    @Test func namesAndURLsAreOnce() {
        var service = Service(keys: [("1", "own=http://a:1")], size: "2")
        #expect(service.run() == .failure(.duplicateName))
        service = Service(keys: [("1", "a=http://own:1")], size: "2")
        guard case .failure(.invalidURL)? = service.run() else {
            Issue.record("two members share a URL")
            return
        }
        service = Service(keys: [("1", "nonsense")], size: "2")
        guard case .failure(.invalidURL)? = service.run() else {
            Issue.record("a member has no URL")
            return
        }
    }

    @Test func aServiceThatIsAwayIsAskedAgain() {
        let away = DiscoveryV2.Answer.unreachable("away")
        var service = Service(keys: Array(others.prefix(2)), size: "3", failures: [away, away, away])
        #expect(service.run() == .success("a=http://a:1,b=http://b:1,own=http://own:1"))
        #expect(service.log.filter { $0.hasPrefix("pause") }.count == 3)
        // Twice as long each time, up to some minutes.
        var backoff = Backoff()
        #expect((0..<10).map { _ in backoff.next() } == [2, 4, 8, 16, 32, 64, 128, 256, 256, 256])
        // A wait that breaks begins again with what is there by then.
        service = Service(keys: [], size: "3", coming: Array(others.prefix(2)))
        var discovery = DiscoveryV2(directory: "/token", id: 7, ownURLs: "own=http://own:1")
        var step = discovery.first
        var hasFailed = false
        for _ in 0..<50 {
            if case .watch(_, recursive: true, _) = step, !hasFailed {
                hasFailed = true
                step = discovery.next(away)
                continue
            }
            if case .done(let cluster) = step {
                #expect(cluster.text == "a=http://a:1,b=http://b:1,own=http://own:1" && hasFailed)
                return
            }
            step = discovery.next(service.answer(step))
        }
        Issue.record("it ends at \(step)")
    }

    @Test func aWaitWhoseHistoryIsGoneReadsAnew() {
        var reply = KeysReply()
        reply.errorCode = 401
        var service = Service(keys: [("1", "a=http://a:1")], size: "3", coming: [("2", "b=http://b:1")])
        // Size, list, create, confirm, size and list go well.
        var discovery = DiscoveryV2(directory: "/token", id: 7, ownURLs: "own=http://own:1")
        var step = discovery.first
        for _ in 0..<6 { step = discovery.next(service.answer(step)) }
        #expect(step == .watch(path: "/token", recursive: true, since: 11))
        #expect(discovery.next(.reply(reply, index: 99)) == discovery.first)
    }

    /// A service that says nonsense of indexes is left, not followed for ever or beyond the greatest number.
    @Test func indexesThatLeadNowhere() {
        func waiting(_ index: UInt64) -> (DiscoveryV2, DiscoveryV2.Step) {
            var service = Service(keys: [], size: "2", index: index)
            var discovery = DiscoveryV2(directory: "/token", id: 7, ownURLs: "own=http://own:1")
            var step = discovery.first
            for _ in 0..<6 { step = discovery.next(service.answer(step)) }
            return (discovery, step)
        }
        #expect(waiting(.max).1 == .failed(.badEndpoint))
        var reply = KeysReply()
        reply.action = "set"
        reply.node.key = "/token/_config"
        for index in [0, 10, UInt64.max] {
            var (discovery, step) = waiting(10)
            #expect(step == .watch(path: "/token", recursive: true, since: 11))
            reply.node.modifiedIndex = index
            step = discovery.next(.reply(reply, index: 10))
            #expect(step == .failed(.badEndpoint))
        }
        // One that ends its waits is asked again, but not at once.
        var (discovery, step) = waiting(10)
        for _ in 0..<3 {
            guard case .pause = discovery.next(.nothing) else {
                Issue.record("no pause")
                return
            }
            step = discovery.next(.nothing)
            #expect(step == .watch(path: "/token", recursive: true, since: 11))
        }
    }

    @Test func whatIsNoMemberDoesNotCount() {
        var service = Service(keys: [], size: "2", coming: [("_config", "x"), ("1", "a=http://a:1")])
        #expect(service.run() == .success("a=http://a:1,own=http://own:1"))
    }
}

@Suite struct DiscoveryV3Tests {
    /// A version-3 service in memory.
    private struct Service {
        var pairs: [DiscoveryV3.Pair] = []
        var coming: [DiscoveryV3.Pair] = []
        var failures = 0

        mutating func answer(_ step: DiscoveryV3.Step) -> DiscoveryV3.Answer {
            if case .pause = step { return .nothing }
            if failures > 0 {
                failures -= 1
                return .unreachable("away")
            }
            let revision = Int64(pairs.count)
            switch step {
            case .get(let key): return .pairs(pairs.filter { $0.key == key }, revision: revision)
            case .getPrefix(let prefix): return .pairs(pairs.filter { $0.key.hasPrefix(prefix) }, revision: revision)
            case .put(let key, let value):
                pairs.append(DiscoveryV3.Pair(key: key, value: value, createRevision: revision + 1))
                return .done
            case .watchPrefix:
                guard !coming.isEmpty else { return .unreachable("nobody comes") }
                let pair = coming.removeFirst()
                pairs.append(pair)
                return .pairs([pair], revision: revision + 1)
            default: return .nothing
            }
        }

        mutating func run() -> Result<String, DiscoveryError>? {
            var discovery = DiscoveryV3(token: "token", id: 7, ownURLs: "own=http://own:1")
            var step = discovery.first
            for _ in 0..<100 {
                if case .done(let cluster) = step { return .success(cluster.text) }
                if case .failed(let error) = step { return .failure(error) }
                step = discovery.next(answer(step))
            }
            return nil
        }
    }

    private static let prefix = "/_etcd/registry/token"

    private func size(_ text: String) -> DiscoveryV3.Pair {
        DiscoveryV3.Pair(key: "\(Self.prefix)/_config/size", value: text, createRevision: 1)
    }

    private func member(_ id: String, _ text: String, _ revision: Int64) -> DiscoveryV3.Pair {
        DiscoveryV3.Pair(key: "\(Self.prefix)/members/\(id)", value: text, createRevision: revision)
    }

    @Test func membersFindEachOther() {
        var service = Service(
            pairs: [size("3"), member("1", " a=http://a:1 ", 2)],
            coming: [member("junk", "no URL", 4), member("2", "b=http://b:1", 5)], failures: 4)
        #expect(service.run() == .success("a=http://a:1,b=http://b:1,own=http://own:1"))
    }

    @Test func refusals() {
        var service = Service()
        #expect(service.run() == .failure(.sizeNotFound))
        service = Service(pairs: [size("0")])
        #expect(service.run() == .failure(.badSize("0")))
        service = Service(pairs: [size("1001")])
        #expect(service.run() == .failure(.badSize("1001")))
        service = Service(pairs: [size("1"), member("1", "a=http://a:1", 2)])
        #expect(service.run() == .failure(.fullCluster))
        service = Service(pairs: [size("2"), member("1", "a=nonsense", 2)])
        guard case .failure(.invalidURL)? = service.run() else {
            Issue.record("a member has no URL")
            return
        }
    }

    @Test func revisionsThatLeadNowhere() {
        func waiting(_ revision: Int64) -> (DiscoveryV3, DiscoveryV3.Step) {
            var discovery = DiscoveryV3(token: "token", id: 7, ownURLs: "own=http://own:1")
            _ = discovery.next(.pairs([size("2")], revision: 1))
            _ = discovery.next(.pairs([], revision: 1))
            _ = discovery.next(.done)
            _ = discovery.next(.pairs([size("2")], revision: 1))
            let step = discovery.next(.pairs([member("7", "own=http://own:1", 2)], revision: revision))
            return (discovery, step)
        }
        for revision in [Int64.max, -1] { #expect(waiting(revision).1 == .failed(.badEndpoint)) }
        for revision in [Int64.min, 0, 5, .max] {
            var (discovery, step) = waiting(5)
            #expect(step == .watchPrefix("\(Self.prefix)/members", since: 6))
            step = discovery.next(.pairs([], revision: revision))
            #expect(step == .failed(.badEndpoint))
        }
    }

    /// The registration of one who had registered before goes on (its key is put again).
    @Test func aMemberMayRegisterAgain() {
        var service = Service(pairs: [size("2"), member("7", "own=http://own:1", 2), member("1", "a=http://a:1", 3)])
        #expect(service.run() == .success("a=http://a:1,own=http://own:1"))
    }
}

@Suite struct DiscoveryURLTests {
    @Test func parts() throws {
        let cases: [(String, Bool, String, Int, String, String)] = [
            ("http://h:2379/v2/keys/discovery/x", false, "h", 2379, "/v2/keys/discovery/x", "h:2379"),
            ("https://discovery.etcd.io/abc", true, "discovery.etcd.io", 443, "/abc", "discovery.etcd.io"),
            ("http://[::1]:80//abc/?x=1", false, "::1", 80, "/abc", "[::1]"),
            ("http://[::1]:1/a", false, "::1", 1, "/a", "[::1]:1"),
        ]
        for (text, isSecure, host, port, path, authority) in cases {
            let url = try DiscoveryURL(parsing: text)
            #expect(url.isSecure == isSecure && url.host == host && url.port == port && url.path == path, "\(text)")
            #expect(url.authority == authority)
        }
    }

    @Test(arguments: [
        "", "x", "ftp://a/b", "http://", "http:///x", "http://a", "http://a/", "http://a:x/b", "http://a:0/b",
        "http://[::1/b", "http://u@a/b",
    ])
    func refusals(text: String) {
        #expect(throws: DiscoveryError.self) { try DiscoveryURL(parsing: text) }
    }
}

@Suite struct ServiceRecordTests {
    /// An answer with one question and these records; names are labels and, as a number, where a name goes on.
    private func answer(_ records: [[UInt8]]) -> [UInt8] {
        [0, 1, 0x84, 0, 0, 1, 0, UInt8(records.count), 0, 0, 0, 0] + name("_s", "x") + [0, 33, 0, 1]
            + records.flatMap { $0 }
    }

    private func name(_ labels: String...) -> [UInt8] {
        labels.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    /// A service record.
    private func record(_ data: [UInt8]) -> [UInt8] { record(33, data) }

    private func record(_ type: UInt8, _ data: [UInt8]) -> [UInt8] {
        // Its name is that of the question.
        [0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, UInt8(data.count >> 8), UInt8(data.count & 255)] + data
    }

    @Test func recordsAreReadInOrder() throws {
        let bytes = answer([
            record([0, 2, 0, 1, 0x09, 0x4c] + name("b", "x")),
            record(5, name("alias")),
            record([0, 1, 0, 5, 0x09, 0x4c, 1, UInt8(ascii: "a"), 0xc0, 15]),
            record([0, 1, 0, 9, 0x09, 0x4c] + name("c")),
        ])
        let records = try DNSAnswer.services(in: bytes)
        #expect(records.map(\.target) == ["c", "a.x", "b.x"])
        #expect(records.allSatisfy { $0.port == 2380 })
    }

    @Test func hostileAnswersAreRefused() {
        let good = answer([record([0, 1, 0, 1, 9, 76] + name("a", "x"))])
        for length in 0..<good.count {
            // A shorter answer is wrong, or has fewer records; it is never read beyond its end.
            _ = try? DNSAnswer.services(in: Array(good.prefix(length)))
        }
        let circle = answer([record([0, 1, 0, 1, 9, 76, 0xc0, 42])])
        #expect(throws: DNSAnswer.Malformed.self) { try DNSAnswer.services(in: circle) }
        let beyond = answer([record([0, 1, 0, 1, 9, 76, 0xff, 0xff])])
        #expect(throws: DNSAnswer.Malformed.self) { try DNSAnswer.services(in: beyond) }
    }

    /// A target becomes part of URLs, and these of the text of an initial cluster.
    @Test(arguments: ["a,evil=http:", "a b", "a/b", "a:1", "a=b", "\u{e9}", "a\n"])
    func targetsAreNamesOfHosts(label: String) {
        #expect(throws: DNSAnswer.Malformed.self) {
            try DNSAnswer.services(in: answer([record([0, 1, 0, 1, 9, 76] + name(label, "x"))]))
        }
    }

    @Test func recordsStayWithinTheirLengths() throws {
        let data = [0, 1, 0, 1, 9, 76] + name("a", "x")
        for length in 0..<data.count {
            var bytes = answer([record(data)])
            bytes[bytes.count - data.count - 1] = UInt8(length)
            #expect(throws: DNSAnswer.Malformed.self) { try DNSAnswer.services(in: bytes) }
        }
        // The root says that there is no such service.
        #expect(try DNSAnswer.services(in: answer([record([0, 1, 0, 1, 9, 76, 0])])).map(\.target) == [""])
    }

    @Test func thereAreNotTooManyRecords() throws {
        func many(_ count: Int) -> [UInt8] {
            var bytes = answer([]) + Array(repeatElement(record([0, 1, 0, 1, 9, 76, 0]), count: count).joined())
            bytes[6] = UInt8(count >> 8)
            bytes[7] = UInt8(count & 255)
            return bytes
        }
        #expect(try DNSAnswer.services(in: many(1_000)).count == 1_000)
        #expect(throws: DNSAnswer.Malformed.self) { try DNSAnswer.services(in: many(1_001)) }
    }

    @Test func recordsBecomeMembers() {
        let queries = ServiceDiscovery.serverQueries(domain: "example.com", suffix: "dev")
        #expect(queries.map(\.name) == ["_etcd-server-ssl-dev._tcp.example.com", "_etcd-server-dev._tcp.example.com"])
        #expect(
            ServiceDiscovery.serverQueries(domain: "x", suffix: "").map(\.name) == [
                "_etcd-server-ssl._tcp.x", "_etcd-server._tcp.x",
            ])
        func record(_ host: String, _ port: Int) -> ServiceRecord {
            ServiceRecord(priority: 0, weight: 0, port: port, target: host)
        }
        let found = [
            ServiceDiscovery.Found(
                scheme: "https", records: [(record("a", 1), "10.0.0.1"), (record("b", 1), "10.0.0.2")]),
            ServiceDiscovery.Found(
                scheme: "http", records: [(record("c", 1), "10.0.0.3"), (record("a", 2), "10.0.0.1")]),
        ]
        let (text, notes) = ServiceDiscovery.cluster(
            found, name: "own", own: ["10.0.0.1:1": "https", "10.0.0.1:2": "https"])
        #expect(text == "own=https://a:1,0=https://b:1,1=http://c:1")
        #expect(notes == ["bootstrap at http://a:2 has scheme mismatch with expected peer https://10.0.0.1:2"])
    }
}
