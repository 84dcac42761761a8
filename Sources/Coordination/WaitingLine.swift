import EtcdAPI
import FoundationEssentials
import GRPC

/// Those who wait for one lock or one office: a key each, under a common prefix, in the order in which the keys were
/// made. Whoever's key is the oldest has it. etcd's clients keep the same line with the same keys, so that they and the
/// services can stand in it together.
struct WaitingLine: Sendable {
    let keys: LineKeys
    let calls: CoordinationCalls

    /// The line of the lock or the election `name`.
    init(of name: Data, calls: CoordinationCalls) {
        keys = LineKeys(of: name)
        self.calls = calls
    }

    /// A request for the one who stands first.
    var first: Etcdserverpb_RangeRequest {
        var request = Etcdserverpb_RangeRequest()
        request.key = keys.prefix
        request.rangeEnd = keys.end
        request.sortTarget = .create
        request.sortOrder = .ascend
        request.limit = 1
        return request
    }

    /// Returns when all keys that were made before `revision` are gone. Each who waits watches the one before, so that a
    /// key that goes wakes one and not all.
    func waitForTurn(before revision: Int64) async throws {
        var request = Etcdserverpb_RangeRequest()
        request.key = keys.prefix
        request.rangeEnd = keys.end
        request.sortTarget = .create
        request.sortOrder = .descend
        request.limit = 1
        request.maxCreateRevision = revision - 1
        while true {
            try Task.checkCancellation()
            let response = try await calls.range(request)
            guard let before = response.kvs.first else { return }
            try await waitForDeletion(of: before.key, from: response.header.revision)
        }
    }

    private func waitForDeletion(of key: Data, from revision: Int64) async throws {
        let feed = try calls.watch(key, from: revision)
        defer { feed.close() }
        do {
            while true {
                if try await feed.next().events.contains(where: { $0.type == .delete }) { return }
            }
        } catch CoordinationCalls.Feed.End.compacted {
            // Then the line is looked at again.
            return
        }
    }
}

/// The keys of a line.
struct LineKeys: Sendable {
    /// What they begin with.
    let prefix: Data

    /// The keys of the lock or the election `name`.
    init(of name: Data) { prefix = name + Data("/".utf8) }

    /// The key of the one who holds `lease`: its id in hexadecimal digits, with a minus sign when it is negative.
    func key(of lease: Int64) -> Data { prefix + Data(String(lease, radix: 16).utf8) }

    /// The end of the range of all keys with the prefix. The prefix ends with a slash, which has a successor.
    var end: Data { prefix.dropLast() + Data([UInt8(ascii: "/") + 1]) }
}

/// Comparisons that the services make.
extension Etcdserverpb_Compare {
    /// Whether `key` was created at `revision`; 0 is for a key that does not exist.
    static func isCreated(_ key: Data, at revision: Int64) -> Etcdserverpb_Compare {
        var compare = Etcdserverpb_Compare()
        compare.result = .equal
        compare.target = .create
        compare.key = key
        compare.createRevision = revision
        return compare
    }
}

/// Operations that the services put into transactions.
extension Etcdserverpb_RequestOp {
    static func put(_ key: Data, _ value: Data, lease: Int64) -> Etcdserverpb_RequestOp {
        var operation = Etcdserverpb_RequestOp()
        operation.requestPut.key = key
        operation.requestPut.value = value
        operation.requestPut.lease = lease
        return operation
    }

    static func get(_ key: Data) -> Etcdserverpb_RequestOp {
        var operation = Etcdserverpb_RequestOp()
        operation.requestRange.key = key
        return operation
    }

    static func range(_ request: Etcdserverpb_RangeRequest) -> Etcdserverpb_RequestOp {
        var operation = Etcdserverpb_RequestOp()
        operation.requestRange = request
        return operation
    }

    static func delete(_ key: Data) -> Etcdserverpb_RequestOp {
        var operation = Etcdserverpb_RequestOp()
        operation.requestDeleteRange.key = key
        return operation
    }
}
