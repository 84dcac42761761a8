import Configuration
import Glibc
import Logging

/// A log file, which may be rotated by its size as etcd's lumberjack does: the old file is renamed to
/// `name-2026-11-21T09-32-49.014.log`, and old ones are removed or compressed.
final class FileDestination: LogDestination {
    private let path: String
    private let rotation: LogRotation?
    private var descriptor: Int32
    private var size: Int
    /// Whether the file ends in the middle of a line, as a full disk leaves it.
    private var isTorn = false

    /// Opens the file, at whose end lines are added.
    init(path: String, rotation: LogRotation?) throws(LogFailure) {
        self.path = path
        self.rotation = rotation
        descriptor = Self.open(path)
        guard descriptor >= 0 else {
            throw LogFailure(description: "open \(path): \(String(cString: strerror(errno)).lowercased())")
        }
        size = Self.size(descriptor)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private static func open(_ path: String) -> Int32 {
        Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
    }

    private static func size(_ descriptor: Int32) -> Int {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? Int(status.st_size) : 0
    }

    func write(_ line: String, level: Logger.Level) -> Bool {
        let line = isTorn ? "\n" + line : line
        let count = line.utf8.count
        if let rotation, size > 0, size + count > rotation.maximumMegabytes << 20 { rotate(rotation) }
        // A file that could not be had again is tried with each line.
        if descriptor < 0 { descriptor = Self.open(path) }
        guard descriptor >= 0 else { return false }
        let written = writeWhole(line, to: descriptor)
        size += written
        if written > 0 { isTorn = written < count }
        return written == count
    }

    private func rotate(_ rotation: LogRotation) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let names = RotatedNames(path: path)
        let old = names.path(at: LogTime(now, isLocal: rotation.usesLocalTime))
        // Whoever cannot rename goes on with the file that there is.
        guard rename(path, old) == 0 else { return }
        close(descriptor)
        descriptor = Self.open(path)
        size = 0
        isTorn = false
        LogCleaning.begin(names, rotation, at: now)
    }
}

/// The names that files get when they are rotated.
struct RotatedNames: Sendable {
    let directory: String
    /// What stands before the time, with its dash.
    let prefix: String
    /// What stands behind it, with its dot.
    let suffix: String

    init(path: String) {
        let slash = path.lastIndex(of: "/")
        directory = slash.map { String(path[..<$0]) } ?? "."
        let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
        if let dot = name.lastIndex(of: "."), dot != name.startIndex {
            prefix = name[..<dot] + "-"
            suffix = String(name[dot...])
        } else {
            prefix = name + "-"
            suffix = ""
        }
    }

    func path(at time: LogTime) -> String { "\(directory)/\(prefix)\(time.fileText)\(suffix)" }

    /// The time in the name of a rotated file, compressed or not; nil for any other file.
    func time(in name: String) -> (text: String, isCompressed: Bool)? {
        let isCompressed = name.hasSuffix(suffix + ".gz")
        let end = isCompressed ? suffix + ".gz" : suffix
        guard name.hasPrefix(prefix), name.hasSuffix(end), name.count > prefix.count + end.count else { return nil }
        let text = String(name.dropFirst(prefix.count).dropLast(end.count))
        let pattern = "0000-00-00T00-00-00.000"
        let isTime =
            text.count == pattern.count
            && zip(text, pattern).allSatisfy { $1 == "0" ? $0.isASCII && $0.isNumber : $0 == $1 }
        return isTime ? (text, isCompressed) : nil
    }

    /// The rotated files, the newest first.
    func all() -> [String] {
        guard let stream = opendir(directory.isEmpty ? "/" : directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if time(in: name) != nil { names.append(name) }
        }
        return names.sorted { (time(in: $0)?.text ?? "") > (time(in: $1)?.text ?? "") }
    }
}
