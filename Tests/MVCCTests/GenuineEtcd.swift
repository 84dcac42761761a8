import Foundation
import Testing

/// Debian's etcd 3.4.23, started for one test on its own ports and directory.
final class GenuineEtcd {
    static let server = "/usr/bin/etcd"
    static let client = "/usr/bin/etcdctl"

    static var isInstalled: Bool {
        [server, client].allSatisfy { FileManager.default.isExecutableFile(atPath: $0) }
    }

    let directory: String
    private let port: Int
    private var process = Process()

    /// The database file.
    var databasePath: String { "\(directory)/member/snap/db" }

    init(port: Int) throws {
        self.port = port
        directory = NSTemporaryDirectory() + "mvcc-etcd-\(port)-\(ProcessInfo.processInfo.processIdentifier)"
        try start()
    }

    /// Starts the server and returns when it says that it serves clients.
    func start() throws {
        let client = "http://127.0.0.1:\(port)"
        let peer = "http://127.0.0.1:\(port + 1)"
        process = Process()
        process.executableURL = URL(fileURLWithPath: Self.server)
        process.arguments = [
            "--data-dir", directory, "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=\(peer)",
            "--logger", "zap",
        ]
        let log = Pipe()
        process.standardError = log
        try process.run()
        var text = Data()
        while text.range(of: Data("serving client traffic insecurely".utf8)) == nil {
            let more = log.fileHandleForReading.availableData
            try #require(!more.isEmpty, "etcd ended: \(String(decoding: text, as: UTF8.self))")
            text.append(more)
        }
        // What it logs from now on must not fill the pipe.
        log.fileHandleForReading.readabilityHandler = { _ = $0.availableData }
    }

    /// Asks the server to end, and waits until it has.
    func stop() {
        process.terminate()
        process.waitUntilExit()
    }

    func remove() {
        if process.isRunning { stop() }
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Runs etcdctl and returns what it prints.
    @discardableResult
    func control(_ arguments: String..., input: String = "") throws -> String {
        let ctl = Process()
        ctl.executableURL = URL(fileURLWithPath: Self.client)
        ctl.arguments = ["--endpoints", "127.0.0.1:\(port)"] + arguments
        ctl.environment = ["ETCDCTL_API": "3"]
        let output = Pipe()
        let standardInput = Pipe()
        ctl.standardOutput = output
        ctl.standardError = FileHandle.nullDevice
        ctl.standardInput = standardInput
        try ctl.run()
        standardInput.fileHandleForWriting.write(Data(input.utf8))
        try standardInput.fileHandleForWriting.close()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        ctl.waitUntilExit()
        try #require(ctl.terminationStatus == 0, "etcdctl \(arguments) failed: \(text)")
        return text
    }

    /// The hash and compacted revision that `HashKV` answers.
    func hashKV(_ revision: Int64) throws -> (hash: UInt32, compactRevision: Int64, revision: Int64) {
        struct Answer: Decodable {
            struct Header: Decodable { var revision: Int64 }
            struct Hash: Decodable {
                var header: Header
                var hash: UInt32
                var compact_revision: Int64
            }
            var HashKV: Hash
        }
        let text = try control("endpoint", "hashkv", "--rev=\(revision)", "-w", "json")
        let answer = try #require(try JSONDecoder().decode([Answer].self, from: Data(text.utf8)).first).HashKV
        return (answer.hash, answer.compact_revision, answer.header.revision)
    }

    /// What `Maintenance.Hash` answers, asked through the JSON gateway.
    func backendHash() throws -> UInt32 {
        struct Answer: Decodable { var hash: UInt32 }
        let curl = Process()
        curl.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        curl.arguments = ["-s", "-X", "POST", "http://127.0.0.1:\(port)/v3/maintenance/hash", "-d", "{}"]
        let output = Pipe()
        curl.standardOutput = output
        try curl.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        curl.waitUntilExit()
        return try JSONDecoder().decode(Answer.self, from: data).hash
    }
}
