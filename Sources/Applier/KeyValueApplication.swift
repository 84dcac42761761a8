import EtcdAPI
import MVCC
import WireFormat

/// Puts, deletes, transactions and compactions.
extension Applier {
    /// A put that needs nothing of the version before goes into the store straight from the entry's bytes.
    func put(_ bytes: UnsafeRawBufferPointer) throws(EtcdError) -> [UInt8] {
        let view = try decode { () throws(WireError) in try PutRequestView(bytes) }
        guard view.isPlain else {
            return try put(try decode { () throws(WireError) in try PutRequest(decoding: bytes) })
        }
        if alarms.isOutOfSpace { throw .noSpace }
        if view.lease != 0, !lessor.contains(view.lease) { throw .leaseNotFound }
        store.begin()
        counts.puts += 1
        counts.putBytes += view.key.count + view.value.count
        _ = store.put(key: view.key, value: view.value, lease: view.lease)
        _ = endTransaction()
        return encodePut(header: header(), previous: nil)
    }

    private func put(_ request: PutRequest) throws(EtcdError) -> [UInt8] {
        if alarms.isOutOfSpace { throw .noSpace }
        if request.lease != 0, !lessor.contains(request.lease) { throw .leaseNotFound }
        let before = counts
        defer { counts.endTransaction(from: before) }
        let write = try resolve(request)
        store.begin()
        _ = put(request.key, write)
        _ = endTransaction()
        return encodePut(header: header(), previous: write.previous)
    }

    /// A put with what it takes over from the version that it replaces.
    private struct ResolvedPut {
        var value: [UInt8]
        var lease: Int64
        var previous: [UInt8]?
    }

    private func resolve(_ request: PutRequest) throws(EtcdError) -> ResolvedPut {
        var put = ResolvedPut(value: request.value, lease: request.lease, previous: nil)
        guard request.prevKV && answers || request.ignoreValue || request.ignoreLease else { return put }
        let stored = try stored(request.key)
        if request.ignoreValue || request.ignoreLease {
            guard let stored else { throw .keyNotFound }
            let current = try decode { () throws(WireError) in
                try stored.span.withUnsafeBytes { (bytes) throws(WireError) in try KeyValue(decoding: bytes) }
            }
            if request.ignoreValue { put.value = current.value }
            if request.ignoreLease { put.lease = current.lease }
        }
        if request.prevKV && answers { put.previous = stored }
        return put
    }

    private func put(_ key: [UInt8], _ write: ResolvedPut) -> Int64 {
        counts.puts += 1
        counts.putBytes += key.count + write.value.count
        return store.put(key: key, value: write.value, lease: write.lease)
    }

    /// The stored pair of `key`, or nil when there is none.
    private func stored(_ key: [UInt8]) throws(EtcdError) -> [UInt8]? {
        counts.ranges += 1
        var found: [UInt8]?
        do throws(StoreError) {
            _ = try store.range(key: key, end: nil, revision: 0, limit: 0, countOnly: false) {
                found = [UInt8]($0.encoded)
            }
        } catch {
            throw EtcdError(error)
        }
        return found
    }

    private func encodePut(header: ResponseHeader, previous: [UInt8]?) -> [UInt8] {
        guard answers else { return [] }
        var writer = WireWriter(capacity: header.encodedFieldSize + (previous.map { $0.count + 6 } ?? 0))
        if let previous {
            previous.withUnsafeBytes { KeyValueResponse.encodePut(header: header, previous: $0, into: &writer) }
        } else {
            KeyValueResponse.encodePut(header: header, into: &writer)
        }
        return writer.bytes
    }

    func deleteRange(_ request: DeleteRangeRequest) throws(EtcdError) -> [UInt8] {
        let before = counts
        defer { counts.endTransaction(from: before) }
        let previous = request.prevKV && answers ? try storedRange(request) : []
        store.begin()
        counts.deletes += 1
        let deleted = store.deleteRange(key: request.key, end: request.end)
        _ = endTransaction()
        return encodeDelete(header: header(), deleted: deleted, previous: previous)
    }

    private func storedRange(_ request: DeleteRangeRequest) throws(EtcdError) -> [[UInt8]] {
        counts.ranges += 1
        var found: [[UInt8]] = []
        do throws(StoreError) {
            _ = try store.range(key: request.key, end: request.end, revision: 0, limit: 0, countOnly: false) {
                found.append([UInt8]($0.encoded))
            }
        } catch {
            throw EtcdError(error)
        }
        return found
    }

    private func encodeDelete(header: ResponseHeader, deleted: Int, previous: [[UInt8]]) -> [UInt8] {
        guard answers else { return [] }
        var writer = DeleteRangeResponseWriter(header: header, deleted: Int64(deleted))
        for pair in previous { pair.withUnsafeBytes { writer.append(previous: $0) } }
        return writer.finish().bytes
    }

    func txn(_ request: TxnRequest) throws(EtcdError) -> [UInt8] {
        if alarms.isOutOfSpace && RequestCost.appliedTxn(request) > 0 { throw .noSpace }
        var execution = TxnExecution(request, on: store)
        defer { countReads(&execution) }
        try execution.check(request, on: store) { lessor.contains($0) }
        countReads(&execution)
        let before = counts
        defer { counts.endTransaction(from: before) }
        store.begin()
        var responses: TxnExecution.Responses?
        var failure: EtcdError?
        do throws(EtcdError) {
            responses = try execution.run(request) { (operation) throws(EtcdError) in try self.execute(operation) }
        } catch {
            failure = error
        }
        _ = endTransaction()
        // The checks above leave no reason to fail half-way but a damaged store, which every member must stop at alike.
        guard let responses else { throw failure ?? EtcdError(.internal, "etcdserver: a transaction gave no answer") }
        return answers ? TxnExecution.encode(responses, header: header()) : []
    }

    /// Counts the comparisons and checks of a transaction, which etcd reads in a transaction of their own.
    private func countReads(_ execution: inout TxnExecution) {
        let before = counts
        counts.ranges += execution.takeReads()
        counts.endTransaction(from: before)
    }

    /// One operation inside the transaction that is under way; its header has the revision alone.
    private func execute(_ operation: RequestOp) throws(EtcdError) -> (TxnResponseWriter.Operation, [UInt8]) {
        switch operation {
        case .range(let request):
            guard answers else { return (.range, []) }
            counts.ranges += 1
            return (.range, try RangeQuery.answer(request, on: store, header: ResponseHeader()))
        case .put(let request):
            let write = try resolve(request)
            let revision = put(request.key, write)
            return (.put, encodePut(header: ResponseHeader(revision: revision), previous: write.previous))
        case .deleteRange(let request):
            let previous = request.prevKV && answers ? try storedRange(request) : []
            counts.deletes += 1
            let deleted = store.deleteRange(key: request.key, end: request.end)
            let header = ResponseHeader(revision: store.visibleRevision)
            return (.deleteRange, encodeDelete(header: header, deleted: deleted, previous: previous))
        case .none, .txn: throw .keyNotFound
        }
    }

    func compact(_ request: CompactionRequest) throws(EtcdError) -> Reply {
        let view = keepsCompactedViews ? store.view() : nil
        do throws(StoreError) {
            try store.compact(at: request.revision)
            if let view { compactedViews.append((view, request.revision)) }
            // etcd reads a key for the answer's revision.
            counts.ranges += 1
        } catch {
            throw EtcdError(error)
        }
        var writer = WireWriter()
        KeyValueResponse.encodeHeaderOnly(header(), into: &writer)
        guard request.physical else { return .message(writer.bytes) }
        return .whenCompacted(revision: request.revision, message: writer.bytes)
    }
}

extension DeleteRangeRequest {
    /// The end of the range as the store takes it: nil for one key.
    var end: [UInt8]? { rangeEnd.isEmpty ? nil : rangeEnd }
}
