import Glibc
import Logging
import Synchronization

/// Keeps a flood of lines that say the same from filling the disk, as etcd's zap does: of those with one message at one
/// level the first hundred of a second are written, and of the others each hundredth.
///
/// Clients can cause lines: each connection that is refused is one.
public final class LogSampling: Sendable {
    private static let first = 100
    private static let thereafter = 100
    /// Messages are told apart by their hashes, so the memory is bounded; two of one hash share their hundred.
    private static let cells = 1024

    private struct Cell {
        var second: Int64 = -1
        var count = 0
    }

    private let state = Mutex([Cell](repeating: Cell(), count: Logger.Level.allCases.count * cells))

    public init() {}

    /// Whether a line is to be written that comes now.
    func takes(_ level: Logger.Level, _ message: String) -> Bool {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return takes(level, message, at: Int64(now.tv_sec))
    }

    /// Whether a line is to be written that comes at `second` of a clock.
    func takes(_ level: Logger.Level, _ message: String, at second: Int64) -> Bool {
        // Last words are few.
        guard level != .critical, let row = Logger.Level.allCases.firstIndex(of: level) else { return true }
        let index = row * Self.cells + Int(UInt(bitPattern: message.hashValue) % UInt(Self.cells))
        return state.withLock { state in
            if state[index].second != second { state[index] = Cell(second: second) }
            state[index].count += 1
            let surplus = state[index].count - Self.first
            return surplus <= 0 || surplus % Self.thereafter == 0
        }
    }
}
