import Glibc
import Logging
import Testing

@testable import Configuration
@testable import LogOutput

@Suite struct LogEncodingTests {
    private static var time: LogTime { LogTime(timespec(tv_sec: 1_795_253_569, tv_nsec: 14_306_999), isLocal: false) }

    private func line(_ format: LoggingSettings.Format, _ message: String, _ fields: Logger.Metadata = [:]) -> String {
        LogEncoding(format: format).line(
            level: .info, time: Self.time, caller: "etcd/Etcd.swift:70", message: message, fields: fields)
    }

    @Test func aLineIsAnObjectAsZapHasIt() {
        let fields: Logger.Metadata = [
            "b": .stringConvertible(7), "a": "x \"y\"", "c": ["1", "2"], "d": ["k": .stringConvertible(true)],
        ]
        #expect(
            line(.json, "hello", fields)
                == #"{"level":"info","ts":"2026-11-21T09:32:49.014306Z","caller":"etcd/Etcd.swift:70","msg":"hello","#
                + #""a":"x \"y\"","b":7,"c":["1","2"],"d":{"k":true}}"# + "\n")
    }

    @Test func theConsoleFormHasTabs() {
        #expect(
            line(.console, "hello", ["b": .stringConvertible(7), "a": "x"])
                == "2026-11-21T09:32:49.014306Z\tinfo\tetcd/Etcd.swift:70\thello\t{\"a\": \"x\", \"b\": 7}\n")
        #expect(line(.console, "hello") == "2026-11-21T09:32:49.014306Z\tinfo\tetcd/Etcd.swift:70\thello\n")
    }

    /// Whatever a client puts into a name, a line stays one line.
    @Test(arguments: [LoggingSettings.Format.json, .console])
    func nothingEndsALineEarly(format: LoggingSettings.Format) {
        let text = line(format, "a\nb\rc\u{1}\u{7F}", ["k\n": "v\n\t\u{0}"])
        #expect(text.filter { $0.isNewline }.count == 1)
        #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F || $0 == "\n" || $0 == "\t" })
    }

    @Test func namesOfRotatedFilesCarryTheTime() {
        #expect(Self.time.fileText == "2026-11-21T09-32-49.014")
    }
}

/// A destination that can be made to stand still.
private final class Holding: LogDestination, @unchecked Sendable {
    private let gate = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private(set) var lines: [String] = []

    init() { pthread_mutex_init(gate, nil) }
    func hold() { pthread_mutex_lock(gate) }
    func release() { pthread_mutex_unlock(gate) }

    func write(_ line: String, level: Logger.Level) -> Bool {
        pthread_mutex_lock(gate)
        lines.append(line)
        pthread_mutex_unlock(gate)
        return true
    }
}

/// A destination that is full for a while.
private final class Full: LogDestination, @unchecked Sendable {
    private var room: Int
    private(set) var lines: [String] = []

    /// Takes lines again after it has refused so many.
    init(refusing room: Int) { self.room = room }

    func write(_ line: String, level: Logger.Level) -> Bool {
        guard room == 0 else {
            room -= 1
            return false
        }
        lines.append(line)
        return true
    }
}

@Suite struct LogWriterTests {
    @Test func linesComeInOrder() {
        let destination = Holding()
        let writer = LogWriter([destination])
        for number in 0..<1000 { writer.write("\(number)\n", level: .info) }
        writer.flush(milliseconds: 60_000)
        #expect(destination.lines == (0..<1000).map { "\($0)\n" })
    }

    /// Whoever has something to say does not wait; what does not fit is counted, but last words always fit.
    @Test func aDestinationThatStandsStillHoldsNobodyUp() {
        let destination = Holding()
        let writer = LogWriter([destination], limit: 100)
        destination.hold()
        for number in 0..<1000 { writer.write("line \(number)\n", level: .info) }
        writer.write("last words\n", level: .critical)
        writer.flush(milliseconds: 1)
        destination.release()
        writer.flush(milliseconds: 60_000)
        #expect(destination.lines.first == "line 0\n")
        #expect(destination.lines.contains("last words\n"))
        let kept = destination.lines.filter { $0.hasPrefix("line ") }.count
        let told = destination.lines.filter { $0.contains("dropped log lines") }
        #expect(kept < 100)
        let counts = told.compactMap { $0.split(separator: "\"count\":").last?.prefix { $0.isNumber } }.compactMap {
            Int($0)
        }
        #expect(counts.reduce(0, +) == 1000 - kept)
    }

    /// A full disk loses lines and not the knowledge of it; another destination has them all and hears nothing.
    @Test func linesThatADestinationRefusesAreCounted() {
        let (full, other) = (Full(refusing: 7), Holding())
        let writer = LogWriter([full, other])
        for number in 0..<20 {
            writer.write("line \(number)\n", level: .info)
            writer.flush(milliseconds: 60_000)
        }
        #expect(other.lines == (0..<20).map { "line \($0)\n" })
        let kept = full.lines.filter { $0.hasPrefix("line ") }.count
        let told = full.lines.filter { $0.contains("dropped log lines") }
        #expect(told.count == 1)
        #expect(told.first?.contains("\"count\":\(20 - kept)}") == true)
        #expect(kept < 20)
    }

    @Test func aLevelIsForTheWholeProcess() {
        let before = LogLevel.current
        defer { LogLevel.set(before) }
        let destination = Holding()
        let writer = LogWriter([destination])
        let logger = Logger.member(writer: writer, format: .json)
        #expect(LogLevel.set(named: "WARN"))
        logger.info("no")
        logger.warning("yes")
        #expect(LogLevel.set(named: "debug"))
        logger.debug("yes")
        for name in ["WARNING", "notice", "CRITICAL", "T", "DEBUG"] { #expect(LogLevel.set(named: name)) }
        #expect(!LogLevel.set(named: "loud"))
        #expect(LogLevel.name == "debug")
        writer.flush(milliseconds: 60_000)
        #expect(destination.lines.count == 2)
        #expect(destination.lines.allSatisfy { $0.contains("\"msg\":\"yes\"") })
    }
}

/// What is written of lines that come too often.
@Suite struct LogSamplingTests {
    @Test func theFirstHundredOfASecondAndThenEachHundredth() {
        let sampling = LogSampling()
        let taken = (1...350).filter { _ in sampling.takes(.warning, "rejected connection", at: 7) }
        #expect(taken == Array(1...100) + [200, 300])
        #expect(sampling.takes(.warning, "rejected connection", at: 8))
    }

    @Test func othersAndLastWordsAreNotConcerned() {
        let sampling = LogSampling()
        for _ in 0..<1000 { _ = sampling.takes(.warning, "rejected connection", at: 7) }
        #expect(sampling.takes(.error, "rejected connection", at: 7))
        #expect((0..<1000).allSatisfy { _ in sampling.takes(.critical, "the end", at: 7) })
    }
}

/// Files in a folder of their own.
@Suite final class FileDestinationTests {
    private let folder: String

    init() {
        var template = Array("/tmp/log-XXXXXX".utf8CString)
        folder = String(cString: mkdtemp(&template))
    }

    deinit {
        for name in names { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }

    private var names: [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    private func create(_ name: String, _ text: String = "x") {
        let descriptor = open("\(folder)/\(name)", O_WRONLY | O_CREAT, 0o600)
        #expect(writeWhole(text, to: descriptor) == text.utf8.count)
        close(descriptor)
    }

    private func size(_ name: String) -> Int {
        var status = stat()
        return stat("\(folder)/\(name)", &status) == 0 ? Int(status.st_size) : -1
    }

    @Test func linesAreAdded() throws {
        create("etcd.log", "before\n")
        let destination = try FileDestination(path: "\(folder)/etcd.log", rotation: nil)
        #expect(destination.write("after\n", level: .info))
        #expect(size("etcd.log") == 13)
    }

    @Test func aFileThatCannotBeHadIsNamed() {
        #expect {
            try FileDestination(path: "\(self.folder)/nowhere/etcd.log", rotation: nil)
        } throws: { "\($0)" == "open \(self.folder)/nowhere/etcd.log: no such file or directory" }
    }

    @Test func aFileIsRotatedBeforeItGrowsTooLarge() throws {
        var rotation = try LogRotation(parsing: "{\"maxsize\":1}")
        rotation.compresses = false
        let destination = try FileDestination(path: "\(folder)/etcd.log", rotation: rotation)
        let line = String(repeating: "a", count: 600_000) + "\n"
        #expect(destination.write(line, level: .info))
        #expect(names == ["etcd.log"])
        #expect(destination.write(line, level: .info))
        #expect(names.count == 2)
        #expect(size("etcd.log") == 600_001)
        let old = names.filter { $0 != "etcd.log" }
        #expect(old.allSatisfy { RotatedNames(path: "\(folder)/etcd.log").time(in: $0) != nil })
    }

    @Test func oldFilesAreRemovedAndCompressed() throws {
        let names = RotatedNames(path: "\(folder)/etcd.log")
        for day in 10...15 { create("etcd-2026-11-\(day)T00-00-00.000.log", String(repeating: "a", count: 10_000)) }
        create("etcd-2026-11-16T00-00-00.000.log.gz")
        create("other.log")
        create("etcd-notes.log")
        let now = timespec(tv_sec: 1_795_253_569, tv_nsec: 0)
        LogCleaning.clean(names, try LogRotation(parsing: "{\"maxbackups\":5}"), at: now)
        #expect(self.names.filter { $0.hasPrefix("etcd-2026") }.count == 5)
        LogCleaning.clean(names, try LogRotation(parsing: "{\"maxage\":8,\"compress\":true}"), at: now)
        #expect(
            self.names == [
                "etcd-2026-11-14T00-00-00.000.log.gz", "etcd-2026-11-15T00-00-00.000.log.gz",
                "etcd-2026-11-16T00-00-00.000.log.gz", "etcd-notes.log", "other.log",
            ])
        #expect((1..<1000).contains(size("etcd-2026-11-14T00-00-00.000.log.gz")))
    }

    @Test(
        arguments: [
            ("/a/etcd.log", "etcd-2026-11-21T09-32-49.014.log", true),
            ("/a/etcd.log", "etcd-2026-11-21T09-32-49.014.log.gz", true),
            ("/a/etcd", "etcd-2026-11-21T09-32-49.014", true),
            ("/a/etcd.log", "etcd.log", false), ("/a/etcd.log", "etcd-x.log", false),
            ("/a/etcd.log", "other-2026-11-21T09-32-49.014.log", false),
            ("/a/etcd.log", "etcd-2026-11-21T09-32-49x014.log", false),
        ])
    func onlyItsOwnOldFilesAreKnown(path: String, name: String, expected: Bool) {
        #expect((RotatedNames(path: path).time(in: name) != nil) == expected)
    }
}

/// Where the journal's socket would be, one of the test's own.
@Suite struct JournalTests {
    @Test func aLineIsADatagramWithItsPriority() throws {
        var template = Array("/tmp/journal-XXXXXX".utf8CString)
        let path = String(cString: mkdtemp(&template)) + "/socket"
        let server = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer {
            close(server)
            unlink(path)
            rmdir(String(path.dropLast("/socket".count)))
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(server, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(bound == 0)
        let journal = try JournalDestination(path: path)
        #expect(journal.write("{\"level\":\"warn\"}\n", level: .warning))
        var bytes = [UInt8](repeating: 0, count: 1000)
        let count = recv(server, &bytes, bytes.count, 0)
        #expect(
            String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
                == "PRIORITY=4\nSYSLOG_IDENTIFIER=etcd\nMESSAGE={\"level\":\"warn\"}\n")
    }

    @Test func aMissingJournalIsSaid() {
        #expect {
            try JournalDestination(path: "/nowhere/socket")
        } throws: { "\($0)" == "can't find journal (/nowhere/socket: no such file or directory)" }
    }
}
