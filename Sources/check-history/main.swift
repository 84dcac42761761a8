import Disk
import Glibc
import Linearizability

/// Exit codes.
let linearizable: Int32 = 0
let notLinearizable: Int32 = 1
let unknown: Int32 = 2

struct Arguments {
    var path: String?
    var failures: String?
    var limit = Search<Register>.defaultLimit
    var ignoresRevisions = false

    /// Nil when they cannot be understood.
    init?(_ words: [String]) {
        var words = words[...]
        while let word = words.popFirst() {
            switch word {
            case "--limit":
                guard let value = words.popFirst().flatMap({ Int($0) }), value > 0 else { return nil }
                limit = value
            case "--failures":
                guard let value = words.popFirst() else { return nil }
                failures = value
            case "--ignore-revisions": ignoresRevisions = true
            default:
                if path != nil || word.hasPrefix("-") { return nil }
                path = word
            }
        }
        if path == nil { return nil }
    }
}

func checkHistory() -> Int32 {
    guard let arguments = Arguments(Array(CommandLine.arguments.dropFirst())), let path = arguments.path else {
        printError(
            """
            usage: check-history FILE [--limit CONFIGURATIONS] [--ignore-revisions] [--failures FILE]
            exits with 0: linearizable, 1: not linearizable, 2: unreadable, or undecided within the limit
              --limit CONFIGURATIONS  how much the search of one set of keys looks at (\(Search<Register>.defaultLimit))
              --ignore-revisions      check values only
              --failures FILE         where the smallest failing part of the history is written
            """)
        return unknown
    }
    do {
        let history = try History(bytes: read(path))
        let check = HistoryCheck(history, limit: arguments.limit, ignoringRevisions: arguments.ignoresRevisions)
        print("\(path): \(history.operations.count) operations, \(check.partitionCount) sets of keys")
        for violation in check.violations { print(violation) }
        for keys in check.undecided {
            print("undecided for the operations on \(keys.sorted().joined(separator: ", ")): the limit was reached")
        }
        if let failures = arguments.failures, let smallest = smallest(check.violations) {
            try write(smallest.history.text, to: failures)
            print("written to \(failures): a part that fails, of \(smallest.history.operations.count) operations")
        }
        if !check.violations.isEmpty {
            print("not linearizable: \(check.violations.count) violations")
            return notLinearizable
        }
        print(check.undecided.isEmpty ? "linearizable" : "undecided")
        return check.undecided.isEmpty ? linearizable : unknown
    } catch {
        printError("check-history: \(path): \(error)")
        return unknown
    }
}

func smallest(_ violations: [Violation]) -> Violation? {
    violations.min { $0.history.operations.count < $1.history.operations.count }
}

func read(_ path: String) throws -> [UInt8] {
    let file = try POSIXDisk().open(path, .read)
    defer { file.close() }
    return try file.read(at: 0, count: try file.size())
}

func write(_ text: String, to path: String) throws {
    let file = try POSIXDisk().open(path, .create)
    defer { file.close() }
    try file.truncate(to: 0)
    try file.write(Array(text.utf8), at: 0)
}

func printError(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}

exit(checkHistory())
