import Foundation
import Synchronization
import Testing

@testable import AuditLog

extension [UInt8] {
    var data: Data { Data(self) }
}

/// The file of the audit log: what gets there, what does not, and how it is kept small.
@Suite struct AuditLogTests {
    private let directory = FileManager.default.temporaryDirectory.appendingPathComponent("audit-\(UUID().uuidString)")

    private func event(_ code: String?, request: [UInt8] = []) -> AuditEvent {
        AuditEvent(
            .call, time: 0, method: "/etcdserverpb.KV/Put", request: request, peer: "p", user: nil, certificate: nil,
            code: code, microseconds: 0)
    }

    private func lines(_ path: String) -> [Substring] {
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        return text.split(separator: "\n")
    }

    private func settings(sample: Int = 1, fileBytes: Int = 1 << 20, files: Int = 2) throws -> AuditLog.Settings {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        return AuditLog.Settings(
            path: directory.appendingPathComponent("audit.log").path, keys: .plain, sample: sample,
            fileBytes: fileBytes, files: files)
    }

    /// Notes `events` and writes them all, on this thread.
    @discardableResult
    private func run(_ settings: AuditLog.Settings, _ events: [AuditEvent]) throws -> [String] {
        let notices = Mutex<[String]>([])
        let log = try AuditLog(settings) { notice in notices.withLock { $0.append("\(notice)") } }
        for event in events { log.note(event) }
        log.stop()
        log.run()
        return notices.withLock { $0 }
    }

    @Test func eventsAreWrittenInOrderForTheOwnerAlone() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        let settings = try settings()
        #expect(try run(settings, [event("OK"), event("Unknown")]) == ["written(2)"])
        #expect(lines(settings.path).map { $0.contains("Unknown") } == [false, true])
        let mode = try FileManager.default.attributesOfItem(atPath: settings.path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try run(settings, [event("Aborted")])
        #expect(lines(settings.path).count == 3, "a restart goes on where the file ends")
    }

    @Test func aSampleIsTakenOfWhatWentWellAndNeverOfFailures() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        let settings = try settings(sample: 10)
        try run(settings, Array(repeating: event("OK"), count: 100) + Array(repeating: event("Unknown"), count: 7))
        let told = lines(settings.path)
        #expect(told.count { $0.contains("\"OK\"") } == 10)
        #expect(told.count { $0.contains("Unknown") } == 7)
    }

    @Test func whatDoesNotFitInMemoryIsDroppedAndSaidSo() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        let settings = try settings()
        // With what an event itself takes, 64 kB.
        let large = event("OK", request: [UInt8](repeating: 0, count: (64 << 10) - 512))
        let notices = try run(settings, Array(repeating: large, count: 260))
        #expect(lines(settings.path).count == 256)
        #expect(notices == ["written(256)", "dropped(4)"])
    }

    @Test func noRequestIsTooLargeToBeTold() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        let settings = try settings()
        // A put of the key "key", with a value that is larger than all that may wait.
        let size = 20 << 20
        var put: [UInt8] = [0x0a, 3] + "key".utf8 + [0x12]
        put += [
            UInt8(size & 127 | 128), UInt8(size >> 7 & 127 | 128), UInt8(size >> 14 & 127 | 128), UInt8(size >> 21),
        ]
        put += [UInt8](repeating: 0x78, count: size)
        #expect(try run(settings, Array(repeating: event("OK", request: put), count: 3)) == ["written(3)"])
        #expect(lines(settings.path).allSatisfy { $0.contains("{\"op\":\"put\",\"key\":\"key\"}") && $0.count < 300 })
    }

    @Test func fullFilesMoveAsideAndTheOldestGoes() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        let settings = try settings(fileBytes: 250, files: 2)
        for number in 0..<8 { try run(settings, [event("Number\(number)")]) }
        func numbers(_ suffix: String) -> [Int] {
            lines(settings.path + suffix).compactMap { line in
                line.firstRange(of: "Number").flatMap { Int(String(line[$0.upperBound])) }
            }
        }
        let found = numbers(".2") + numbers(".1") + numbers("")
        #expect(found == Array(found[0]...7), "no line is lost between the files")
        #expect(found.count < 8)
        #expect(!FileManager.default.fileExists(atPath: settings.path + ".3"))
    }

    /// Somebody may remove the file, or stand in the way of its next name: what follows is written all the same.
    @Test func aFileThatCannotMoveAsideIsGoneOnWith() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = try settings().path
        let file = try AuditFile(path: path, sizeLimit: 10, kept: 1)
        try file.write(Array("first line\n".utf8))
        try FileManager.default.removeItem(atPath: path)
        try file.write(Array("second line\n".utf8))
        #expect(lines(path) == ["second line"])
        try FileManager.default.createDirectory(atPath: path + ".1/full", withIntermediateDirectories: true)
        try file.write(Array("third line\n".utf8))
        #expect(lines(path) == ["second line", "third line"])
        try FileManager.default.removeItem(atPath: path + ".1")
        try file.write(Array("fourth line\n".utf8))
        #expect(lines(path + ".1") == ["second line", "third line"])
        #expect(lines(path) == ["fourth line"])
    }

    @Test func aFileThatCannotBeOpenedIsSaidAtTheStart() throws {
        let settings = AuditLog.Settings(
            path: "/nowhere/audit.log", keys: .plain, sample: 1, fileBytes: 1, files: 1)
        #expect(throws: AuditFile.Failure.self) { try AuditLog(settings) { _ in } }
    }
}
