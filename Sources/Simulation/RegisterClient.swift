import EtcdAPI

/// A client that reads and writes a few keys: unique values, so that each read tells which write it saw.
///
/// Every answer is held against the model at the answer's revision; and a linearizable one, or a write, must not be older
/// than what anyone had been told before it was asked. With revisions as witnesses that is all of linearizability.
final class RegisterClient: SimulatedClient {
    private var lastValue = 0
    /// What this client saw last of each key, for comparisons.
    private var seen: [String: String] = [:]

    override func begin() {
        afterPause(around: 60_000) { [self] in
            act()
            begin()
        }
    }

    private func act() {
        world.recorder.note(.invoked, -number)
        let key = "r\(random.below(world.settings.keys))"
        switch random.below(100) {
        case 0..<35: write(.put, Requests.put(key, newValue(key)))
        case 35..<55: read(RangeRequest(key: Array(key.utf8)))
        case 55..<62: read(RangeRequest(key: Array("r".utf8), rangeEnd: Array("s".utf8)))
        case 62..<70:
            var request = RangeRequest(key: Array(key.utf8))
            request.serializable = true
            read(request)
        case 70..<86: write(.txn, Requests.txn(compareAndSet(key)))
        case 86..<92: write(.txn, Requests.txn(pair()))
        case 92..<97: write(.deleteRange, Requests.delete(key))
        default: write(.deleteRange, Requests.delete("r1", end: "r3"))
        }
        if random.one(in: 30) { move() }
    }

    private func newValue(_ key: String) -> String {
        lastValue += 1
        return "\(key)-\(number)-\(lastValue)"
    }

    private func compareAndSet(_ key: String) -> TxnRequest {
        let bytes = Array(key.utf8)
        let comparison: Compare
        if let value = seen[key] {
            comparison = Compare(key: bytes, target: .value, operand: .value(Array(value.utf8)))
        } else {
            comparison = Compare(key: bytes, target: .modRevision, operand: .modRevision(0))
        }
        let put = PutRequest(key: bytes, value: Array(newValue(key).utf8))
        return TxnRequest(compare: [comparison], success: [.put(put)], failure: [.range(RangeRequest(key: bytes))])
    }

    /// Two keys that change together.
    private func pair() -> TxnRequest {
        let value = newValue("t")
        return TxnRequest(
            success: ["r0", "r1"].map { .put(PutRequest(key: Array($0.utf8), value: Array(value.utf8))) })
    }

    // MARK: Calls

    private func write(_ kind: RaftRequestView.Kind, _ request: [UInt8]) {
        let floor = world.newestRevision
        call { process, reply in
            process.propose(kind, request, takesSpace: true, reply: reply)
        } completion: { [self] outcome in
            guard case .success(let bytes) = outcome else { return moveSometimes() }
            guard let answer = Answer(bytes) else { return world.recorder.violate("an answer does not decode") }
            world.recorder.check(
                answer.revision >= floor,
                "c\(number) wrote at revision \(answer.revision), but \(floor) was known before it began")
            world.note(revision: answer.revision)
        }
    }

    private func read(_ request: RangeRequest) {
        let floor = world.newestRevision
        call { process, reply in
            process.range(request, reply: reply)
        } completion: { [self] outcome in
            guard case .success(let bytes) = outcome else { return moveSometimes() }
            guard let response = try? Etcdserverpb_RangeResponse(serializedBytes: bytes) else {
                return world.recorder.violate("an answer does not decode")
            }
            check(request, response, floor: floor)
        }
    }

    private func check(_ request: RangeRequest, _ response: Etcdserverpb_RangeResponse, floor: Int64) {
        let revision = response.header.revision
        let kind = request.serializable ? "serializable" : "linearizable"
        world.recorder.note(.readAnswered, -number, UInt64(bitPattern: revision))
        if !request.serializable {
            world.recorder.check(
                revision >= floor, "c\(number) read at revision \(revision), but \(floor) was known before it began")
            world.note(revision: revision)
        }
        let model = world.observer.model
        world.recorder.check(revision <= model.revision, "c\(number) read at revision \(revision), which is not there")
        let first = KeyValueModel.text(request.key)
        var expected: [String: String] = [:]
        if request.rangeEnd.isEmpty {
            expected[first] = model.value(of: first, at: revision)
        } else {
            let end = KeyValueModel.text(request.rangeEnd)
            expected = model.contents(at: revision).filter { $0.key >= first && $0.key < end }
        }
        var found: [String: String] = [:]
        for pair in response.kvs {
            found[String(decoding: pair.key, as: UTF8.self)] = String(decoding: pair.value, as: UTF8.self)
        }
        world.recorder.check(
            found == expected,
            "c\(number): \(kind) read of \(first) at revision \(revision) gave \(found), not \(expected)")
        if request.rangeEnd.isEmpty { seen[first] = found[first] }
    }

    private func moveSometimes() {
        if random.one(in: 2) { move() }
    }
}
