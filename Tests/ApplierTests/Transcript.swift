import Backend
import Disk
import EtcdAPI
import Lease
import MVCC
import Membership
import RaftMessages
import StoreV2
import Testing
import WireFormat

@testable import Applier

/// Runs a script against an applier on a disk in memory and compares what comes out with what the script says.
///
/// A script is a row of steps with an empty line between them: commands, `----`, and a line for each answer.
///
/// | command | what it does |
/// | --- | --- |
/// | `put k v [lease=N] [prev] [ignore-value] [ignore-lease]` | |
/// | `delete k [end=E] [prev]` | `end=0` is everything from the key on, here and below |
/// | `get k [end=E] [rev=N] [limit=N] [sort=TARGET] [order=ORDER] [keys] [count] [minmod=N] [maxmod=N] [mincreate=N] [maxcreate=N]` | from a view and through the log, which must agree |
/// | `txn [if C and C] [then OP ; OP] [else OP ; OP]` | a nested one stands in parentheses |
/// | `check OP` | what is refused before it is proposed; at most 3 operations a transaction |
/// | `compact N`, `grant ID TTL`, `revoke ID`, `lease ID`, `alarm get/activate/deactivate KIND MEMBER` | |
/// | `publish NAME URL`, `version V`, `members` | |
/// | `commit`, `restart` | commits the backend; drops the applier and makes one from what is on the disk |
/// | `replay` | applies all entries once more |
/// | `state` | revision, index and key count |
struct Transcript {
    private let disk = MemoryDisk()
    private var applier: Applier
    private var entries: [Entry] = []
    private var lines: [String] = []

    static let member: UInt64 = 0xa1
    static let cluster: UInt64 = 0xc1

    private init() throws {
        try disk.createDirectory("d")
        applier = try Self.open(disk)
    }

    private static func open(_ disk: MemoryDisk) throws -> Applier {
        let backend = try Backend(disk: disk, path: "d/db")
        let lessor = Lessor(configuration: LeaseConfiguration(), storage: Leases(backend))
        try lessor.restore(try backend.all(.lease))
        let store = try Store(backend: backend)
        for (key, lease) in store.takeRestoredLeases() where lessor.contains(lease) {
            try lessor.attach(id: lease, key: key)
        }
        let members = [Member(id: member, name: "", peerURLs: ["http://127.0.0.1:2380"])]
        let applier = try Applier(
            backend: backend, store: store, lessor: lessor, cluster: Cluster(id: cluster, members: members),
            keyTree: KeyTree(), memberID: member)
        applier.raftTerm = 2
        return applier
    }

    /// Runs `script` and records an issue with the actual transcript when it differs.
    static func check(_ script: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        var runner = try Transcript()
        var actual: [String] = []
        for step in script.split(separator: "\n\n") {
            let commands = step.split(separator: "\n").prefix { $0 != "----" }.map(String.init)
            for command in commands { try runner.run(command) }
            actual.append((commands + ["----"] + runner.lines).joined(separator: "\n"))
            runner.lines = []
        }
        let text = actual.joined(separator: "\n\n")
        if text != script {
            Issue.record("the transcript is now:\n\(text)\n", sourceLocation: sourceLocation)
        }
    }

    private mutating func run(_ line: String) throws {
        var words = Words(line)
        let command = words.next()
        switch command {
        case "put", "delete", "get", "txn": try request(Words(line))
        case "check": lines.append(Self.refusal(words.operation()))
        case "compact":
            var writer = WireWriter()
            CompactionRequest(revision: words.number()).encode(into: &writer)
            try apply(.compaction, writer.bytes) { _ in "" }
        case "grant":
            var request = Etcdserverpb_LeaseGrantRequest()
            request.id = words.number()
            request.ttl = words.number()
            try apply(.leaseGrant, try request.serializedBytes()) { bytes in
                let response = try Etcdserverpb_LeaseGrantResponse(serializedBytes: bytes)
                return " id=\(response.id) ttl=\(response.ttl)"
            }
        case "revoke":
            var request = Etcdserverpb_LeaseRevokeRequest()
            request.id = words.number()
            try apply(.leaseRevoke, try request.serializedBytes()) { _ in "" }
        case "lease": try showLease(words.number())
        case "alarm": try alarm(&words)
        case "publish":
            let attributes = PublishedAttributes(name: words.next(), clientURLs: [words.next()])
            append(ClusterRequest.attributes(memberID: Self.member, attributes).entry(id: 1, for: nil))
        case "version":
            let version = try #require(ClusterVersion(words.next()))
            append(ClusterRequest.version(version).entry(id: 1, for: nil))
        default: try manage(command)
        }
    }

    private mutating func manage(_ command: String) throws {
        switch command {
        case "members":
            for member in applier.cluster.sortedMembers {
                lines.append("\(Identity.text(member.id)) \(member.name) \(member.clientURLs)")
            }
            lines.append("version \(applier.cluster.version?.description ?? "none")")
        case "commit": try applier.backend.commitNow()
        case "restart":
            applier.backend.close()
            applier = try Self.open(disk)
        case "replay": for entry in entries { _ = applier.apply(entry, now: 0) }
        case "state":
            let store = applier.store
            lines.append(
                "rev=\(store.currentRevision) compacted=\(store.compactedRevision) keys=\(store.keyCount)"
                    + " leases=\(applier.lessor.count) index=\(applier.backend.consistentIndex)")
        case "watched":
            for commit in applier.takeCommits() {
                let changes = commit.changes.map { change in
                    "\(change.isDelete ? "delete" : "put") \(String(decoding: change.key, as: UTF8.self))"
                }
                lines.append("@\(commit.revision): \(changes.joined(separator: ", "))")
            }
        default: Issue.record("no command: \(command)")
        }
    }

    // MARK: The log

    @discardableResult
    private mutating func append(_ data: [UInt8]) -> Applier.Outcome? {
        let entry = Entry(term: 2, index: UInt64(entries.count + 1), type: .normal, data: data)
        entries.append(entry)
        return applier.apply(entry, now: 0)
    }

    /// Applies a request and notes its answer: the header's revision and what `describe` makes of the rest.
    private mutating func apply(
        _ kind: RaftRequestView.Kind, _ request: [UInt8], describe: ([UInt8]) throws -> String
    ) throws {
        var writer = WireWriter()
        let id = UInt64(entries.count + 1) << 8
        request.withUnsafeBytes {
            RaftRequestView.encode(kind, request: $0, header: RaftRequestHeader(id: id), into: &writer)
        }
        let outcome = try #require(append(writer.bytes))
        #expect(outcome.requestID == id)
        switch outcome.reply {
        case .failure(let error): lines.append("error \(error.code): \(error)")
        case .storeV2(let result): lines.append("version 2: \(result)")
        case .message(let bytes), .whenCompacted(_, let bytes):
            // The header is the first field of every response.
            let header = try Etcdserverpb_PutResponse(serializedBytes: bytes).header
            #expect(header.clusterID == Self.cluster && header.memberID == Self.member && header.raftTerm == 2)
            lines.append("rev=\(header.revision)\(try describe(bytes))")
        }
    }

    private mutating func request(_ words: Words) throws {
        var words = words
        let operation = words.operation()
        var writer = WireWriter()
        switch operation {
        case .put(let request):
            request.encode(into: &writer)
            try apply(.put, writer.bytes) { Describe.put(try Etcdserverpb_PutResponse(serializedBytes: $0)) }
        case .deleteRange(let request):
            request.encode(into: &writer)
            try apply(.deleteRange, writer.bytes) {
                Describe.delete(try Etcdserverpb_DeleteRangeResponse(serializedBytes: $0))
            }
        case .txn(let request):
            request.encode(into: &writer)
            let view = applier.store.view()
            var logged: [UInt8]?
            try apply(.txn, writer.bytes) { bytes in
                logged = bytes
                return Describe.txn(try Etcdserverpb_TxnResponse(serializedBytes: bytes))
            }
            // A corrupt member refuses what comes through the log and goes on to answer from its view.
            if TxnQuery.isReadOnly(request), let logged {
                let header = ResponseHeader(clusterID: Self.cluster, memberID: Self.member, raftTerm: 2)
                Pieces.expect(logged) { head throws(EtcdError) in
                    try ReadAnswer(request, on: view, header: header, head: head)
                }
            }
        case .range(let request): try range(request)
        case .none: Issue.record("no operation")
        }
    }

    /// A range is answered from a view and through the log alike.
    private mutating func range(_ request: RangeRequest) throws {
        var writer = WireWriter()
        request.encode(into: &writer)
        let header = ResponseHeader(clusterID: Self.cluster, memberID: Self.member, raftTerm: 2)
        let view = applier.store.view()
        let direct = Result { () throws(EtcdError) in try RangeQuery.run(request, on: view, header: header) }
        var logged: [UInt8]?
        try apply(.range, writer.bytes) { bytes in
            logged = bytes
            return Describe.range(try Etcdserverpb_RangeResponse(serializedBytes: bytes))
        }
        #expect(logged == (try? direct.get()), "the view answers otherwise")
        Pieces.expect(logged) { head throws(EtcdError) in
            try ReadAnswer(request, on: view, header: header, head: head)
        }
    }

    // MARK: Leases and alarms

    private mutating func showLease(_ id: Int64) throws {
        guard let lease = try? applier.lessor.timeToLive(id: id, now: 0, keys: true) else {
            lines.append("none")
            return
        }
        let keys = lease.keys.map { String(decoding: $0, as: UTF8.self) }
        lines.append("ttl=\(lease.grantedTTL) keys=\(keys)")
    }

    private mutating func alarm(_ words: inout Words) throws {
        var request = Etcdserverpb_AlarmRequest()
        switch words.next() {
        case "activate": request.action = .activate
        case "deactivate": request.action = .deactivate
        default: request.action = .get
        }
        switch words.next() {
        case "nospace": request.alarm = .nospace
        case "corrupt": request.alarm = .corrupt
        default: request.alarm = .none
        }
        request.memberID = UInt64(words.number())
        try apply(.alarm, try request.serializedBytes()) { bytes in
            let response = try Etcdserverpb_AlarmResponse(serializedBytes: bytes)
            return " \(response.alarms.map { "\($0.memberID):\($0.alarm)" })"
        }
    }

    private static func refusal(_ operation: RequestOp) -> String {
        do throws(EtcdError) {
            switch operation {
            case .range(let request): try RequestCheck.check(request)
            case .put(let request): try RequestCheck.check(request)
            case .deleteRange(let request): try RequestCheck.check(request)
            case .txn(let request): try RequestCheck.check(request, limit: 3)
            case .none: return "no operation"
            }
            return "ok"
        } catch {
            return "\(error)"
        }
    }
}

/// Leases in the backend, as a member keeps them.
private final class Leases: LeaseStorage {
    private let backend: Backend

    init(_ backend: Backend) { self.backend = backend }

    func put(id: Int64, record: [UInt8]) { backend.put(.lease, LeaseRecord.key(of: id), record) }

    func delete(id: Int64) { backend.delete(.lease, LeaseRecord.key(of: id)) }
}
