/// What etcd promises of revisions, apart from values: each change has one of its own, they grow in real time, and a read
/// at a revision sees the last change up to it. Serializable reads are held to the last promise too.
///
/// This needs no search: a pass over the operations in time and one over the changes of each key.
public struct RevisionViolation: Sendable, CustomStringConvertible {
    public var reason: String
    /// The operations that contradict each other.
    public var operations: [HistoryOperation]

    public var description: String {
        ([reason] + operations.map { "    \($0.text)" }).joined(separator: "\n")
    }
}

struct RevisionCheck {
    /// More are not collected: one is a failure, a hundred show its pattern.
    static let violationLimit = 100

    /// What a key was changed to by an operation.
    private struct Change {
        var revision: Int64
        /// Nil: deleted.
        var value: String?
        var operation: HistoryOperation
    }

    private var violations: [Violation] = []
    /// The changes of each key, by revision.
    private var changes: [String: [Change]] = [:]
    private var writers: [Int64: HistoryOperation] = [:]
    /// Operations whose outcome is unknown, by the values that they put.
    private var unknown: [String: [HistoryOperation]] = [:]
    /// Keys that an operation whose outcome is unknown may have deleted.
    private var unknownDeletes: Set<String> = []

    static func violations(in history: History) -> [Violation] {
        var check = RevisionCheck()
        check.collect(history)
        check.checkTimes(history)
        for operation in history.operations { check.checkReads(operation) }
        return check.violations
    }

    private mutating func report(_ reason: String, _ operations: HistoryOperation...) {
        guard violations.count < Self.violationLimit else { return }
        violations.append(.revision(RevisionViolation(reason: reason, operations: operations)))
    }

    private mutating func collect(_ history: History) {
        for operation in history.operations {
            switch operation.outcome {
            case .failed: break
            case .unknown:
                for access in operation.action.accesses(succeeded: true) + operation.action.accesses(succeeded: false) {
                    switch access {
                    case .put(_, let value): unknown[value, default: []].append(operation)
                    case .delete(let key): unknownDeletes.insert(key)
                    case .get: break
                    }
                }
            case .completed(let completion):
                guard let revision = completion.revision, operation.changes(succeeded: completion.succeeded) else {
                    break
                }
                if let other = writers[revision] {
                    report("two changes have revision \(revision)", other, operation)
                }
                writers[revision] = operation
                // The last access to a key is the one that stays.
                var last: [String: String?] = [:]
                for (access, result) in zip(
                    operation.action.accesses(succeeded: completion.succeeded), completion.results)
                {
                    if case .put(let key, let value) = access { last[key] = .some(value) }
                    if case .delete(let key) = access, case .deleted(let count) = result, count > 0 {
                        last[key] = .some(nil)
                    }
                }
                for (key, value) in last {
                    changes[key, default: []].append(Change(revision: revision, value: value, operation: operation))
                }
            }
        }
        for key in changes.keys { changes[key]?.sort { $0.revision < $1.revision } }
    }

    /// An answer that was over before a call was made may not have a later revision than the call's answer.
    private mutating func checkTimes(_ history: History) {
        let answered = history.operations.filter { $0.isLinearizable && $0.revision != nil && $0.returned != nil }
        let byCall = answered.sorted { $0.invoked < $1.invoked }
        let byAnswer = answered.sorted { $0.returned ?? 0 < $1.returned ?? 0 }
        var next = 0
        var newest: HistoryOperation?
        for operation in byCall {
            while next < byAnswer.count, byAnswer[next].returned ?? 0 < operation.invoked {
                if byAnswer[next].revision ?? 0 > newest?.revision ?? -1 { newest = byAnswer[next] }
                next += 1
            }
            guard let before = newest, let old = before.revision, let revision = operation.revision else { continue }
            if revision < old {
                report("revision \(revision) was answered after revision \(old)", before, operation)
            } else if revision == old, operation.isChange {
                report(
                    "a change has revision \(revision), which was answered before it was asked for", before, operation)
            }
        }
    }

    private mutating func checkReads(_ operation: HistoryOperation) {
        guard case .completed(let completion) = operation.outcome, let revision = completion.revision else { return }
        // Within a transaction that changes something, reads see what came before them in it: the search checks these.
        guard !operation.isChange else { return }
        for (access, result) in zip(operation.action.accesses(succeeded: completion.succeeded), completion.results) {
            guard case .value(let value, let modRevision) = result else { continue }
            let last = lastChange(of: access.key, at: revision)
            checkRead(operation, key: access.key, value: value, modRevision: modRevision, at: revision, last)
        }
    }

    private mutating func checkRead(
        _ operation: HistoryOperation, key: String, value: String?, modRevision: Int64?, at revision: Int64,
        _ last: Change?
    ) {
        if let modRevision, modRevision > revision {
            report("a read at revision \(revision) has a key of revision \(modRevision)", operation)
        } else if let last, let modRevision, modRevision < last.revision {
            report(
                "a read at revision \(revision) misses a change of revision \(last.revision)", last.operation, operation
            )
        } else if let last, last.revision == modRevision ?? last.revision {
            // Without the key's revision the value may be of an operation whose outcome is unknown.
            let isOther = value != last.value && (modRevision != nil || !mayBeUnknown(key, value))
            if isOther {
                report(
                    "a read has another value than the change of revision \(last.revision)", last.operation, operation)
            }
        } else if let value, !mayBeUnknown(key, value) {
            report("a read at revision \(revision) has a value of \(key) that nobody put by then", operation)
        }
        if let value, let returned = operation.returned, let last, last.value == value,
            last.operation.invoked > returned
        {
            report("a read has a value that was put only later", operation, last.operation)
        }
    }

    /// Whether an operation with unknown outcome may have made the key this value, or (nil) deleted it.
    private func mayBeUnknown(_ key: String, _ value: String?) -> Bool {
        guard let value else { return unknownDeletes.contains(key) }
        return unknown[value]?.contains { $0.action.transaction.keys.contains(key) } ?? false
    }

    private func lastChange(of key: String, at revision: Int64) -> Change? {
        guard let changes = changes[key] else { return nil }
        var low = 0
        var high = changes.count
        while low < high {
            let middle = (low + high) / 2
            if changes[middle].revision <= revision { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? nil : changes[low - 1]
    }
}

extension HistoryOperation {
    /// The revision that the answer named.
    var revision: Int64? {
        guard case .completed(let completion) = outcome else { return nil }
        return completion.revision
    }

    /// Whether the answer says that it changed something.
    var isChange: Bool {
        guard case .completed(let completion) = outcome else { return false }
        return changes(succeeded: completion.succeeded)
    }
}
