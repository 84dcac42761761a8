import EtcdAPI
import Linearizability

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
        case 0..<35:
            let value = newValue(key)
            write(.put, Requests.put(key, value), .access(.put(key: key, value: value)))
        case 35..<55: read(RangeRequest(key: Array(key.utf8)))
        case 55..<62: read(RangeRequest(key: Array("r".utf8), rangeEnd: Array("s".utf8)))
        case 62..<70:
            var request = RangeRequest(key: Array(key.utf8))
            request.serializable = true
            read(request)
        case 70..<86: compareAndSet(key)
        case 86..<92: setPair()
        case 92..<97: write(.deleteRange, Requests.delete(key), .access(.delete(key: key)))
        // A range of one key, so that the count of deletions says what happened to it.
        default: write(.deleteRange, Requests.delete("r3", end: "r4"), .access(.delete(key: "r3")))
        }
        if random.one(in: 30) { move() }
    }

    private func newValue(_ key: String) -> String {
        lastValue += 1
        return "\(key)-\(number)-\(lastValue)"
    }

    private func compareAndSet(_ key: String) {
        let new = newValue(key)
        let bytes = Array(key.utf8)
        let comparison: Compare
        if let value = seen[key] {
            comparison = Compare(key: bytes, target: .value, operand: .value(Array(value.utf8)))
        } else {
            comparison = Compare(key: bytes, target: .modRevision, operand: .modRevision(0))
        }
        let put = PutRequest(key: bytes, value: Array(new.utf8))
        let request = TxnRequest(
            compare: [comparison], success: [.put(put)], failure: [.range(RangeRequest(key: bytes))])
        write(.txn, Requests.txn(request), .compareAndSet(key: key, expected: seen[key], new: new))
    }

    /// Two keys that change together.
    private func setPair() {
        let value = newValue("t")
        let keys = ["r0", "r1"]
        let request = TxnRequest(
            success: keys.map { .put(PutRequest(key: Array($0.utf8), value: Array(value.utf8))) })
        let both = Transaction(then: keys.map { .put(key: $0, value: value) })
        write(.txn, Requests.txn(request), .transaction(both))
    }

    // MARK: Calls

    private func write(_ kind: RaftRequestView.Kind, _ request: [UInt8], _ action: HistoryAction) {
        let floor = world.newestRevision
        let place = record(action)
        call { process, reply in
            process.propose(kind, request, takesSpace: true, reply: reply)
        } completion: { [self] outcome in
            guard case .success(let bytes) = outcome else {
                if case .failure(.refusedConnection) = outcome { world.history.operations[place].outcome = .failed }
                return moveSometimes()
            }
            guard let answer = Answer(bytes) else { return world.recorder.violate("an answer does not decode") }
            note(answer, for: action, at: place)
            world.recorder.check(
                answer.revision >= floor,
                "c\(number) wrote at revision \(answer.revision), but \(floor) was known before it began")
            world.note(revision: answer.revision)
        }
    }

    private func read(_ request: RangeRequest) {
        let floor = world.newestRevision
        let invoked = world.simulator.now
        call { process, reply in
            process.range(request, reply: reply)
        } completion: { [self] outcome in
            guard case .success(let bytes) = outcome else { return moveSometimes() }
            guard let response = try? Etcdserverpb_RangeResponse(serializedBytes: bytes) else {
                return world.recorder.violate("an answer does not decode")
            }
            check(request, response, floor: floor)
            if request.rangeEnd.isEmpty { record(request, response, invoked: invoked) }
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

    // MARK: The history for the linearizability checker

    /// Notes that something is asked, as something of which nobody knows yet whether it was done.
    private func record(_ action: HistoryAction) -> Int {
        world.history.operations.append(
            HistoryOperation(
                client: "c\(number)", invoked: world.simulator.now, returned: nil, action: action, outcome: .unknown))
        return world.history.operations.count - 1
    }

    private func note(_ answer: Answer, for action: HistoryAction, at place: Int) {
        var completion = Completion(revision: answer.revision)
        switch action {
        case .access(.put): completion.results = [.put]
        case .access(.delete): completion.results = [.deleted(Int(answer.number))]
        case .compareAndSet:
            completion.succeeded = answer.number == 1
            completion.results = completion.succeeded ? [.put] : []
        case .transaction(let transaction):
            completion.results = transaction.then.map { _ in .put }
        default: return
        }
        world.history.operations[place].returned = world.simulator.now
        world.history.operations[place].outcome = .completed(completion)
    }

    private func record(_ request: RangeRequest, _ response: Etcdserverpb_RangeResponse, invoked: Int64) {
        let key = KeyValueModel.text(request.key)
        let pair = response.kvs.first
        let value = pair.map { String(decoding: $0.value, as: UTF8.self) }
        let result = AccessResult.value(value, modRevision: pair?.modRevision)
        world.history.operations.append(
            HistoryOperation(
                client: "c\(number)", invoked: invoked, returned: world.simulator.now,
                action: request.serializable ? .serializableGet(key: key) : .access(.get(key: key)),
                outcome: .completed(Completion(results: [result], revision: response.header.revision))))
    }

    private func moveSometimes() {
        if random.one(in: 2) { move() }
    }
}
