import EtcdAPI
import RaftMessages
import WireFormat

/// What the cluster's data must be: a second, plain implementation of the requests that the simulated clients make.
///
/// It is given the committed entries in their order, each once, and keeps every version of every key.
struct KeyValueModel {
    /// A key's state from a revision on.
    struct Version {
        var revision: Int64
        /// Nil when the key was deleted.
        var value: String?
        var createRevision: Int64 = 0
        var count: Int64 = 0
        var lease: Int64 = 0
    }

    /// A change as watchers hear of it.
    struct Event: Equatable {
        var revision: Int64
        var key: String
        /// Nil when the key was deleted.
        var value: String?
    }

    /// What a request must be answered.
    enum Expected: Equatable {
        /// Success at this revision; the number is what the response's second field holds, where it matters.
        case success(revision: Int64, number: UInt64?)
        case failure
    }

    private(set) var revision: Int64 = 1
    private(set) var compactedRevision: Int64 = -1
    private(set) var versions: [String: [Version]] = [:]
    private(set) var events: [Event] = []
    /// The keys that hang on each lease.
    private(set) var leases: [Int64: Set<String>] = [:]
    private(set) var expected: [UInt64: Expected] = [:]
    /// Set when an entry makes no sense.
    private(set) var complaint: String?
    /// The leases that the last entry ended.
    private(set) var justRevoked: Int64?

    mutating func apply(_ entry: Entry) {
        justRevoked = nil
        guard entry.type == .normal, !entry.data.isEmpty else { return }
        entry.data.withUnsafeBytes { bytes in
            do {
                // What is no request of version 3 is one of version 2, which publishes a member.
                guard let request = try? RaftRequestView(bytes), let kind = request.kind else { return }
                try apply(kind, request)
            } catch {
                complaint = "entry \(entry.index) does not decode: \(error)"
            }
        }
    }

    private mutating func apply(_ kind: RaftRequestView.Kind, _ request: RaftRequestView) throws {
        let result: Expected
        switch kind {
        case .put: result = put(try PutRequest(decoding: request.request))
        case .deleteRange: result = delete(try DeleteRangeRequest(decoding: request.request))
        case .txn: result = txn(try TxnRequest(decoding: request.request))
        case .compaction: result = compact(try CompactionRequest(decoding: request.request).revision)
        case .leaseGrant:
            let (id, _) = try Self.numbers(request.request, 2, 1)
            if leases[id] == nil {
                leases[id] = []
                result = .success(revision: revision, number: nil)
            } else {
                result = .failure
            }
        case .leaseRevoke: result = revoke(try Self.numbers(request.request, 1, 2).0)
        default: return
        }
        if expected.updateValue(result, forKey: request.id) != nil {
            complaint = "request \(request.id) is in the log twice"
        }
    }

    /// Two integer fields of a message.
    private static func numbers(_ bytes: UnsafeRawBufferPointer, _ first: Int, _ second: Int) throws -> (Int64, Int64) {
        var found: (Int64, Int64) = (0, 0)
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case first: found.0 = try reader.int64(tag)
            case second: found.1 = try reader.int64(tag)
            default: try reader.skip(tag)
            }
        }
        return found
    }

    // MARK: Requests

    private mutating func put(_ request: PutRequest) -> Expected {
        if request.lease != 0 && leases[request.lease] == nil { return .failure }
        revision += 1
        set(Self.text(request.key), Self.text(request.value), lease: request.lease)
        return .success(revision: revision, number: nil)
    }

    private mutating func set(_ key: String, _ value: String?, lease: Int64 = 0) {
        let before = versions[key]?.last
        if let before, before.lease != 0 { leases[before.lease]?.remove(key) }
        if lease != 0 { leases[lease]?.insert(key) }
        var version = Version(revision: revision, value: value)
        if value != nil {
            version.lease = lease
            version.createRevision = before?.value == nil ? revision : before?.createRevision ?? revision
            version.count = (before?.count ?? 0) + 1
        }
        versions[key, default: []].append(version)
        events.append(Event(revision: revision, key: key, value: value))
    }

    private mutating func delete(_ request: DeleteRangeRequest) -> Expected {
        let keys = present(Self.text(request.key), request.rangeEnd)
        if !keys.isEmpty {
            revision += 1
            for key in keys { set(key, nil) }
        }
        return .success(revision: revision, number: UInt64(keys.count))
    }

    private mutating func revoke(_ id: Int64) -> Expected {
        guard let keys = leases.removeValue(forKey: id) else { return .failure }
        justRevoked = id
        if !keys.isEmpty {
            revision += 1
            for key in keys.sorted() { set(key, nil) }
        }
        return .success(revision: revision, number: nil)
    }

    private mutating func compact(_ target: Int64) -> Expected {
        guard target > compactedRevision, target <= revision else { return .failure }
        compactedRevision = target
        return .success(revision: revision, number: nil)
    }

    private mutating func txn(_ request: TxnRequest) -> Expected {
        let holds = request.compare.allSatisfy { self.holds($0) }
        let operations = holds ? request.success : request.failure
        for operation in operations {
            if case .put(let put) = operation, put.lease != 0, leases[put.lease] == nil { return .failure }
        }
        let before = revision
        revision += 1
        var writes = false
        for operation in operations {
            switch operation {
            case .put(let put):
                set(Self.text(put.key), Self.text(put.value), lease: put.lease)
                writes = true
            case .deleteRange(let request):
                for key in present(Self.text(request.key), request.rangeEnd) {
                    set(key, nil)
                    writes = true
                }
            case .range, .none, .txn: break
            }
        }
        if !writes { revision = before }
        return .success(revision: revision, number: holds ? 1 : 0)
    }

    private func holds(_ compare: Compare) -> Bool {
        let version = versions[Self.text(compare.key)]?.last
        switch compare.operand {
        case .value(let value): return version?.value.map { $0 == Self.text(value) } ?? false
        case .modRevision(let revision): return (version?.value == nil ? 0 : version?.revision ?? 0) == revision
        case .version(let count): return (version?.count ?? 0) == count
        case .createRevision(let revision): return (version?.createRevision ?? 0) == revision
        case .lease, .none: return false
        }
    }

    private func present(_ key: String, _ end: [UInt8]) -> [String] {
        if end.isEmpty { return versions[key]?.last?.value == nil ? [] : [key] }
        let end = Self.text(end)
        return versions.filter { $0.key >= key && $0.key < end && $0.value.last?.value != nil }.keys.sorted()
    }

    // MARK: What it knows

    /// A key's value at a revision.
    func value(of key: String, at revision: Int64) -> String? {
        version(of: key, at: revision)?.value
    }

    func version(of key: String, at revision: Int64) -> Version? {
        versions[key]?.last { $0.revision <= revision }
    }

    /// All keys and values at a revision.
    func contents(at revision: Int64) -> [String: String] {
        var found: [String: String] = [:]
        for key in versions.keys {
            if let value = value(of: key, at: revision) { found[key] = value }
        }
        return found
    }

    static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
