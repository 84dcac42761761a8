/// What happened in a run: a digest of everything, the last happenings, and the first thing that must not be.
final class Recorder {
    /// What can happen.
    enum Kind: UInt8, CaseIterable {
        case started, stopped, powerLost, paused, resumed, diskFailed, startFailed
        case sent, delivered, dropped, connectionReset
        case logWritten, logSynchronized, backendCommitted, snapshotSaved, snapshotSent, snapshotInstalled
        case becameLeader, lostLeader, committed, applied, answered, readAnswered, failed
        case invoked, completed, timedOut, watchOpened, watchEvents, watchCanceled, watchProgress
        case leaseGranted, leaseRenewed, leaseGone
        case fault, healed, memberAdded, memberRemoved, memberPromoted
        case defragmentationStep, defragmented, databaseChecked
    }

    /// One happening; the numbers mean what the kind says.
    private struct Happening {
        var time: Int64
        var kind: Kind
        var member: Int
        var first: UInt64
        var second: UInt64
        var third: UInt64
        var text: String
    }

    /// How many happenings are kept to be shown after a violation.
    private static let kept = 400

    /// The time that happenings get, in microseconds.
    var time: Int64 = 0
    private(set) var digest: UInt64 = 0xcbf2_9ce4_8422_2325
    private(set) var counts = [Int](repeating: 0, count: 64)
    /// The first violation, in words.
    private(set) var violation: String?
    private var ring: [Happening] = []
    private var oldest = 0
    /// Gets each happening as a line.
    private let trace: ((String) -> Void)?

    init(trace: ((String) -> Void)?) {
        self.trace = trace
    }

    /// Notes that something happened to a member, or to a client when `member` is negative.
    func note(
        _ kind: Kind, _ member: Int, _ first: UInt64 = 0, _ second: UInt64 = 0, _ third: UInt64 = 0,
        _ text: @autoclosure () -> String = ""
    ) {
        counts[Int(kind.rawValue)] += 1
        mix(UInt64(bitPattern: time))
        mix(UInt64(kind.rawValue) << 32 | UInt64(UInt32(truncatingIfNeeded: member)))
        mix(first)
        mix(second)
        mix(third)
        let happening = Happening(
            time: time, kind: kind, member: member, first: first, second: second, third: third,
            text: trace == nil ? "" : text())
        if let trace { trace(Self.line(happening)) }
        if ring.count < Self.kept {
            ring.append(happening)
        } else {
            ring[oldest] = happening
            oldest = (oldest + 1) % Self.kept
        }
    }

    /// How often something of this kind happened.
    func count(_ kind: Kind) -> Int { counts[Int(kind.rawValue)] }

    /// How often each kind of thing happened, by its name.
    var countsByName: [String: Int] {
        Dictionary(uniqueKeysWithValues: Kind.allCases.map { ("\($0)", count($0)) }).filter { $0.value > 0 }
    }

    /// Notes that something happened that must not; the run ends.
    func violate(_ text: @autoclosure () -> String) {
        guard violation == nil else { return }
        let text = text()
        violation = "at \(Self.text(time)): \(text)"
        trace?("VIOLATION \(text)")
    }

    /// Demands that something holds.
    func check(_ condition: Bool, _ text: @autoclosure () -> String) {
        if !condition { violate(text()) }
    }

    /// The last happenings, oldest first.
    func last(_ count: Int) -> [String] {
        let ordered = ring[oldest...] + ring[..<oldest]
        return ordered.suffix(count).map(Self.line)
    }

    func mix(_ number: UInt64) {
        digest = (digest ^ number) &* 0x0000_0100_0000_01b3
        digest ^= digest >> 29
    }

    private static func line(_ happening: Happening) -> String {
        let who = happening.member < 0 ? "c\(-happening.member)" : "m\(happening.member)"
        let numbers = "\(happening.first) \(happening.second) \(happening.third)"
        let text = happening.text.isEmpty ? "" : "  \(happening.text)"
        return "\(Self.text(happening.time)) \(who) \(happening.kind) \(numbers)\(text)"
    }

    /// A time as seconds with its microseconds.
    static func text(_ time: Int64) -> String {
        let fraction = String(time % 1_000_000)
        return "\(time / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
    }
}
