import Foundation

/// The genuine etcd of the machine, for tests that compare with it: one member on ports that were free, with a data
/// directory of its own that goes with the value.
///
/// What it and etcdctl say goes to files, and the end of it into the error when something fails.
public final class GenuineEtcd {
    public static let isInstalled = ["etcd", "etcdctl"].allSatisfy {
        FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)")
    }

    /// A command that failed, with what it said and what the member said last.
    public struct Failure: Error, CustomStringConvertible {
        public var description: String
    }

    /// How long etcdctl waits for the member and for an answer, and we for the member's listeners: for machines that are
    /// busy with something else.
    private static let patience = 60
    /// Ports below those that systems give to whoever asks for any.
    private static let ports = UInt16(24000)...24999
    /// How often other ports are tried when somebody was faster.
    private static let attempts = 10
    /// Bytes of its output that a failure shows.
    private static let shownOutput = 8_000

    /// A folder for the test: the data directory lies in it, and other files may.
    public let folder: String
    /// Where clients reach it, and other members; other ports after each start.
    public private(set) var clientURL = ""
    public private(set) var peerURL = ""
    private let arguments: (_ peerURL: String) -> [String]
    private var process: Process?
    private var logPath: String { "\(folder)/etcd.log" }

    public var dataDirectory: String { "\(folder)/data" }
    /// The backend's file.
    public var databasePath: String { "\(dataDirectory)/member/snap/db" }
    public var logDirectory: String { "\(dataDirectory)/member/wal" }

    /// A member that is not started yet.
    ///
    /// - Parameter arguments: what the member is told of its cluster and besides, knowing its peer URL.
    public init(arguments: @escaping (_ peerURL: String) -> [String]) throws {
        self.arguments = arguments
        // In memory where the machine has such a place.
        let parent = FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : "/tmp"
        folder = "\(parent)/genuine-etcd-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    /// A lone member that is not started yet, told `arguments` besides.
    public convenience init(alone arguments: String...) throws {
        // The peer address is part of a member's identity: it stays when the member comes back on another port.
        let address = "http://127.0.0.1:2380"
        try self.init { _ in
            [
                "--initial-advertise-peer-urls", address, "--initial-cluster", "default=\(address)",
                "--heartbeat-interval", "20", "--election-timeout", "200",
            ] + arguments
        }
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(atPath: folder)
    }

    // MARK: The member

    /// Starts the member, and returns when its ports are its own. etcdctl waits until it serves.
    public func start() throws {
        for _ in 0..<Self.attempts {
            let ports = try Self.freePorts(2)
            (clientURL, peerURL) = ("http://127.0.0.1:\(ports[0])", "http://127.0.0.1:\(ports[1])")
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/etcd")
            process.arguments =
                [
                    "--data-dir", dataDirectory, "--listen-client-urls", clientURL,
                    "--advertise-client-urls", clientURL, "--listen-peer-urls", peerURL,
                ] + arguments(peerURL)
            let log = try Self.file(logPath)
            (process.standardOutput, process.standardError) = (log, log)
            process.standardInput = FileHandle.nullDevice
            try process.run()
            self.process = process
            if try hasPorts(process) { return }
        }
        throw Failure(description: "no port stayed free")
    }

    /// Waits until `process` listens; false when somebody else has one of the ports.
    private func hasPorts(_ process: Process) throws -> Bool {
        let end = Date() + TimeInterval(Self.patience)
        while true {
            let isRunning = process.isRunning
            let said = Self.text(logPath)
            if said.contains("listening for peers on") { return true }
            if !isRunning {
                if said.contains("address already in use") { return false }
                throw Failure(description: "etcd ended with \(process.terminationStatus):\n\(lastOutput)")
            }
            guard Date() < end else { throw Failure(description: "etcd does not listen:\n\(lastOutput)") }
            usleep(10_000)
        }
    }

    /// Ends the member in good order. What it has stored stays.
    public func stop() {
        guard let process, process.isRunning else { return }
        process.terminate()
        process.waitUntilExit()
    }

    /// What `body` returns, with the member running meanwhile.
    public func running<Result>(_ body: () throws -> Result) throws -> Result {
        try start()
        defer { stop() }
        return try body()
    }

    // MARK: Its client

    /// What etcdctl prints for `arguments`; it waits for the member to be ready.
    @discardableResult
    public func control(_ arguments: String..., input: [UInt8] = []) throws -> String {
        try control(arguments, input: input)
    }

    /// As above.
    @discardableResult
    public func control(_ arguments: [String], input: [UInt8] = []) throws -> String {
        let (output, complaints, given) = ("\(folder)/output", "\(folder)/complaints", "\(folder)/input")
        try Data(input).write(to: URL(fileURLWithPath: given))
        let control = Process()
        control.executableURL = URL(fileURLWithPath: "/usr/bin/etcdctl")
        control.arguments =
            [
                "--endpoints", clientURL, "--dial-timeout", "\(Self.patience)s",
                "--command-timeout", "\(Self.patience)s",
            ] + arguments
        control.environment = ["ETCDCTL_API": "3"]
        // Files and not pipes: none fills up, and no other test's process can inherit the end of one.
        control.standardOutput = try Self.file(output)
        control.standardError = try Self.file(complaints)
        control.standardInput = FileHandle(forReadingAtPath: given)
        try control.run()
        control.waitUntilExit()
        guard control.terminationStatus == 0 else {
            throw Failure(
                description: "etcdctl \(arguments.joined(separator: " ")) ended with \(control.terminationStatus):\n"
                    + "\(Self.text(output).suffix(Self.shownOutput))\n\(Self.text(complaints))\nThe member:\n\(lastOutput)"
            )
        }
        return Self.text(output)
    }

    private var lastOutput: String { String(Self.text(logPath).suffix(Self.shownOutput)) }

    // MARK: Files and ports

    private static func file(_ path: String) throws -> FileHandle {
        guard FileManager.default.createFile(atPath: path, contents: nil),
            let file = FileHandle(forWritingAtPath: path)
        else { throw Failure(description: "\(path) cannot be written") }
        return file
    }

    private static func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    /// Ports that nobody listens on now.
    private static func freePorts(_ count: Int) throws -> [UInt16] {
        var sockets: [Int32] = []
        var found: [UInt16] = []
        defer { for socket in sockets { close(socket) } }
        for candidate in ports.shuffled() where found.count < count {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            sockets.append(descriptor)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = candidate.bigEndian
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            let result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            if result == 0 { found.append(candidate) }
        }
        guard found.count == count else { throw Failure(description: "no free port of \(ports)") }
        return found
    }
}
