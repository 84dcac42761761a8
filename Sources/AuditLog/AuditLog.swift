import Glibc
import Synchronization

/// The audit log: what clients did, one line of JSON each, written by a thread of its own. It never makes a client wait:
/// what comes faster than the disk takes it is dropped, and the drops are counted.
///
/// Any thread.
public final class AuditLog: @unchecked Sendable {
    public struct Settings: Equatable, Sendable {
        public var path: String
        public var keys: AuditKeys
        /// One in so many calls that went well is told; those that failed are told all.
        public var sample: Int
        /// The size in bytes at which a file is full.
        public var fileBytes: Int
        /// Full files that are kept.
        public var files: Int

        public init(path: String, keys: AuditKeys, sample: Int, fileBytes: Int, files: Int) {
            self.path = path
            self.keys = keys
            self.sample = max(1, sample)
            self.fileBytes = fileBytes
            self.files = files
        }
    }

    /// What the log has to say of itself.
    public enum Notice: Sendable {
        /// So many events were written.
        case written(Int)
        /// So many events were dropped since the last notice.
        case dropped(Int)
        case failed(String)
    }

    /// Events that wait may take this much memory.
    private static let waitingLimit = 16 << 20
    /// A larger event is made into its line at once, which is short, so that neither does it hold its request's bytes while
    /// it waits, nor is one ever too large to be told.
    private static let sizeLimit = 64 << 10
    /// The most that one write to the file holds, about.
    private static let batchBytes = 256 << 10

    private enum Waiting {
        case event(AuditEvent)
        case line([UInt8])

        var size: Int {
            switch self {
            case .event(let event): event.size
            case .line(let bytes): bytes.count
            }
        }
    }

    private struct State {
        var events: [Waiting] = []
        var bytes = 0
        var dropped = 0
        var isStopping = false
    }

    private let settings: Settings
    private let file: AuditFile
    private let state = Mutex(State())
    /// Signals that there are events, one post for each change from none.
    private let wake: UnsafeMutablePointer<sem_t>
    private let seen = Atomic<UInt64>(0)
    private let notice: @Sendable (Notice) -> Void

    /// Opens the file of `settings`; ``run()`` is then called on a thread of its own.
    /// - Parameter notice: called on that thread.
    public init(_ settings: Settings, notice: @escaping @Sendable (Notice) -> Void) throws {
        self.settings = settings
        self.notice = notice
        file = try AuditFile(path: settings.path, sizeLimit: settings.fileBytes, kept: settings.files)
        wake = .allocate(capacity: 1)
        sem_init(wake, 0, 0)
    }

    deinit {
        sem_destroy(wake)
        wake.deallocate()
    }

    /// Notes an event, unless it is sampled away or there is no room for it.
    public func note(_ event: AuditEvent) {
        if settings.sample > 1 && !event.isFailure {
            guard seen.wrappingAdd(1, ordering: .relaxed).oldValue % UInt64(settings.sample) == 0 else { return }
        }
        let waiting: Waiting =
            event.size > Self.sizeLimit
            ? .line(AuditLine.bytes(of: event, keys: settings.keys)) : .event(event)
        let shallWake = state.withLock { state in
            guard state.bytes + waiting.size <= Self.waitingLimit, !state.isStopping else {
                state.dropped += 1
                return false
            }
            state.bytes += waiting.size
            state.events.append(waiting)
            return state.events.count == 1
        }
        if shallWake { sem_post(wake) }
    }

    /// Writes what waits and ends ``run()``.
    public func stop() {
        state.withLock { $0.isStopping = true }
        sem_post(wake)
    }

    /// Writes events until ``stop()`` is called.
    public func run() {
        while true {
            while sem_wait(wake) != 0 && errno == EINTR {}
            let (events, drops, isStopping) = state.withLock { state in
                defer {
                    state.events = []
                    state.bytes = 0
                    state.dropped = 0
                }
                return (state.events, state.dropped, state.isStopping)
            }
            write(events, drops)
            if isStopping { return }
        }
    }

    private func write(_ events: [Waiting], _ drops: Int) {
        var lines: [UInt8] = []
        var count = 0
        var lost = drops
        for (index, event) in events.enumerated() {
            switch event {
            case .event(let event): lines += AuditLine.bytes(of: event, keys: settings.keys)
            case .line(let line): lines += line
            }
            count += 1
            guard lines.count >= Self.batchBytes || index == events.count - 1 else { continue }
            do throws(AuditFile.Failure) {
                try file.write(lines)
                notice(.written(count))
            } catch {
                lost += count
                notice(.failed(error.description))
            }
            lines.removeAll(keepingCapacity: true)
            count = 0
        }
        if lost > 0 { notice(.dropped(lost)) }
    }
}
