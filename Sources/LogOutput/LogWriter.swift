import Configuration
import Glibc
import Logging
import Synchronization

/// Writes lines to their destinations on a thread of its own, so that nobody who has something to say waits for a
/// terminal, a pipe or a disk.
///
/// What waits is bounded; lines that come when it is full are dropped, as are those that a destination refuses, and how
/// many is told as soon as lines can be written again. A line that says why the process ends is written before ``flush(milliseconds:)`` returns.
public final class LogWriter: @unchecked Sendable {
    /// The bytes that may wait to be written: some tens of thousands of lines.
    public static let standardLimit = 8 * 1024 * 1024
    /// How long the end of the process waits for a destination that does not take lines.
    public static let patienceMilliseconds: Int64 = 1000

    private struct Line {
        var text: String
        var level: Logger.Level
    }

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    /// Signalled when a line comes.
    private let arrived = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    /// Signalled when all lines that had come are written.
    private let drained = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var waiting: [Line] = []
    private var waitingBytes = 0
    private var dropped = 0
    private var isWriting = false
    private let limit: Int
    private let destinations: [any LogDestination]
    private let encoding: LogEncoding

    /// A writer whose thread runs as long as the process.
    public init(
        _ destinations: [any LogDestination], format: LoggingSettings.Format = .json, limit: Int = standardLimit
    ) {
        self.destinations = destinations
        self.limit = limit
        encoding = LogEncoding(format: format)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(arrived, &attributes)
        pthread_cond_init(drained, &attributes)
        pthread_condattr_destroy(&attributes)
        var handle = pthread_t()
        let result = pthread_create(
            &handle, nil,
            { argument in
                guard let argument else { return nil }
                nameThread("etcd-lines")
                Unmanaged<LogWriter>.fromOpaque(argument).takeRetainedValue().run()
            }, Unmanaged.passRetained(self).toOpaque())
        precondition(result == 0, "the system gives no thread for the log")
        pthread_detach(handle)
    }

    /// The destinations that `settings` ask for; says which of them cannot be had.
    public static func start(_ settings: LoggingSettings) throws(LogFailure) -> LogWriter {
        var destinations: [any LogDestination] = []
        for output in settings.outputs {
            switch output {
            case .standardError: destinations.append(DescriptorDestination(STDERR_FILENO))
            case .standardOutput: destinations.append(DescriptorDestination(STDOUT_FILENO))
            case .journal: destinations.append(try JournalDestination())
            case .file(let path): destinations.append(try FileDestination(path: path, rotation: settings.rotation))
            }
        }
        CrashGrace.install()
        return LogWriter(destinations, format: settings.format)
    }

    /// Puts a line, with its end, behind the others. Never waits.
    func write(_ text: String, level: Logger.Level) {
        pthread_mutex_lock(mutex)
        // The last words of a process are few.
        if waitingBytes + text.utf8.count > limit && level != .critical {
            dropped += 1
            pthread_mutex_unlock(mutex)
            return
        }
        waitingBytes += text.utf8.count
        waiting.append(Line(text: text, level: level))
        pthread_mutex_unlock(mutex)
        pthread_cond_signal(arrived)
    }

    /// Waits until everything that was put here is written, or so many milliseconds have passed.
    public func flush(milliseconds: Int64 = patienceMilliseconds) {
        var deadline = timespec()
        clock_gettime(CLOCK_MONOTONIC, &deadline)
        let nanoseconds = deadline.tv_nsec + Int(milliseconds % 1000) * 1_000_000
        deadline.tv_sec += Int(milliseconds / 1000) + nanoseconds / 1_000_000_000
        deadline.tv_nsec = nanoseconds % 1_000_000_000
        pthread_mutex_lock(mutex)
        while !waiting.isEmpty || isWriting {
            if pthread_cond_timedwait(drained, mutex, &deadline) == ETIMEDOUT { break }
        }
        pthread_mutex_unlock(mutex)
    }

    private func run() -> Never {
        var taken: [Line] = []
        var lost = destinations.map { _ in 0 }
        while true {
            taken.removeAll(keepingCapacity: true)
            pthread_mutex_lock(mutex)
            isWriting = false
            while waiting.isEmpty {
                pthread_cond_broadcast(drained)
                pthread_cond_wait(arrived, mutex)
            }
            swap(&taken, &waiting)
            isWriting = true
            for index in lost.indices { lost[index] += dropped }
            dropped = 0
            pthread_mutex_unlock(mutex)
            for line in taken {
                for (index, destination) in destinations.enumerated() {
                    if !destination.write(line.text, level: line.level) { lost[index] += 1 }
                }
                pthread_mutex_lock(mutex)
                waitingBytes -= line.text.utf8.count
                pthread_mutex_unlock(mutex)
            }
            for (index, destination) in destinations.enumerated() where lost[index] > 0 {
                if destination.write(noteOfDropped(lost[index]), level: .warning) { lost[index] = 0 }
            }
        }
    }

    private func noteOfDropped(_ count: Int) -> String {
        encoding.line(
            level: .warning, time: LogTime.now(), caller: "LogOutput/LogWriter.swift:1",
            message: "dropped log lines since their destination did not take them",
            fields: ["count": .stringConvertible(count)])
    }
}

/// Names the calling thread for tools that list threads.
private func nameThread(_ name: String) {
    guard let file = fopen("/proc/thread-self/comm", "w") else { return }
    fputs(name, file)
    fclose(file)
}

/// A destination of log lines that cannot be had.
public struct LogFailure: Error, CustomStringConvertible {
    public var description: String
}
