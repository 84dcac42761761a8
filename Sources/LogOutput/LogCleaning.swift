import CZlib
import Configuration
import Glibc
import Synchronization

/// What becomes of log files that were rotated: too many and too old ones are removed, the others compressed. It runs
/// beside the writer, since compressing a hundred megabytes takes seconds.
enum LogCleaning {
    private static let isRunning = Atomic(false)
    private static let secondsPerDay = 86_400

    /// Begins the work; while an earlier round runs, the next rotation does what is left.
    static func begin(_ names: RotatedNames, _ rotation: LogRotation, at now: timespec) {
        guard rotation.maximumBackups > 0 || rotation.maximumAgeDays > 0 || rotation.compresses else { return }
        guard !isRunning.exchange(true, ordering: .acquiring) else { return }
        let work = CleaningWork(names: names, rotation: rotation, seconds: now.tv_sec)
        let argument = Unmanaged.passRetained(work).toOpaque()
        var handle = pthread_t()
        if pthread_create(&handle, nil, runCleaning, argument) == 0 {
            pthread_detach(handle)
        } else {
            runCleaningHere(argument)
        }
    }

    fileprivate static func finish() { isRunning.store(false, ordering: .releasing) }

    /// Does the work at once.
    static func clean(_ names: RotatedNames, _ rotation: LogRotation, at now: timespec) {
        var kept = names.all()
        if rotation.maximumBackups > 0 {
            for name in kept.dropFirst(rotation.maximumBackups) { remove(name, names) }
            kept = Array(kept.prefix(rotation.maximumBackups))
        }
        if rotation.maximumAgeDays > 0 {
            var limit = now
            limit.tv_sec -= rotation.maximumAgeDays * secondsPerDay
            let oldest = LogTime(limit, isLocal: rotation.usesLocalTime).fileText
            for name in kept where (names.time(in: name)?.text ?? "") < oldest { remove(name, names) }
            kept = kept.filter { (names.time(in: $0)?.text ?? "") >= oldest }
        }
        guard rotation.compresses else { return }
        for name in kept where names.time(in: name)?.isCompressed == false {
            let path = "\(names.directory)/\(name)"
            if compress(path, to: path + ".gz") { unlink(path) } else { unlink(path + ".gz") }
        }
    }

    private static func remove(_ name: String, _ names: RotatedNames) {
        unlink("\(names.directory)/\(name)")
    }

    /// Compresses a file with gzip; false when that fails.
    private static func compress(_ source: String, to target: String) -> Bool {
        let input = open(source, O_RDONLY | O_CLOEXEC)
        guard input >= 0 else { return false }
        defer { close(input) }
        guard let output = gzopen(target, "wb") else { return false }
        var piece = [UInt8](repeating: 0, count: 256 * 1024)
        while true {
            let count = read(input, &piece, piece.count)
            if count == 0 { return gzclose(output) == Z_OK }
            guard count > 0, gzwrite(output, piece, UInt32(count)) == Int32(count) else {
                gzclose(output)
                return false
            }
        }
    }
}

/// What the thread that cleans is given.
private final class CleaningWork: Sendable {
    let names: RotatedNames
    let rotation: LogRotation
    let seconds: Int

    init(names: RotatedNames, rotation: LogRotation, seconds: Int) {
        self.names = names
        self.rotation = rotation
        self.seconds = seconds
    }
}

/// The body of the thread that cleans.
private func runCleaning(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let argument { runCleaningHere(argument) }
    return nil
}

private func runCleaningHere(_ argument: UnsafeMutableRawPointer) {
    let work = Unmanaged<CleaningWork>.fromOpaque(argument).takeRetainedValue()
    LogCleaning.clean(work.names, work.rotation, at: timespec(tv_sec: work.seconds, tv_nsec: 0))
    LogCleaning.finish()
}
