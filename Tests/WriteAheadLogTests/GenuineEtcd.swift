import Foundation

/// The genuine etcd of the machine, run in a data directory of its own.
final class GenuineEtcd {
    static let isInstalled = ["etcd", "etcdctl"].allSatisfy {
        FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)")
    }

    /// A new folder, in memory where the machine has such a place; removed with the value.
    final class Folder {
        let path: String

        init() throws {
            let parent = FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : "/tmp"
            path = "\(parent)/wal-tests-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    private let process = Process()
    private let endpoint: String

    /// Starts a member on `dataDirectory`.
    init(dataDirectory: String, arguments: [String] = []) throws {
        let ports = try freePorts(2)
        endpoint = "http://127.0.0.1:\(ports[0])"
        process.executableURL = URL(fileURLWithPath: "/usr/bin/etcd")
        process.arguments =
            [
                "--data-dir", dataDirectory, "--listen-client-urls", endpoint, "--advertise-client-urls", endpoint,
                "--listen-peer-urls", "http://127.0.0.1:\(ports[1])",
                // The peer address is part of the member's identity: it stays when the data moves to another port.
                "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
                "--initial-cluster", "default=http://127.0.0.1:2380",
                "--heartbeat-interval", "20", "--election-timeout", "200",
            ] + arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    deinit { stop() }

    /// Ends the member in good order.
    func stop() {
        guard process.isRunning else { return }
        process.terminate()
        process.waitUntilExit()
    }

    /// Runs etcdctl, which waits for the member to be ready, and returns its output.
    @discardableResult
    func control(_ arguments: [String], input: [UInt8] = []) throws -> String {
        let control = Process()
        control.executableURL = URL(fileURLWithPath: "/usr/bin/etcdctl")
        control.arguments =
            ["--endpoints", endpoint, "--dial-timeout", "30s", "--command-timeout", "30s"] + arguments
        control.environment = ["ETCDCTL_API": "3"]
        let output = Pipe()
        let stdin = Pipe()
        control.standardOutput = output
        control.standardInput = stdin
        control.standardError = FileHandle.nullDevice
        try control.run()
        try stdin.fileHandleForWriting.write(contentsOf: Data(input))
        try stdin.fileHandleForWriting.close()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        control.waitUntilExit()
        guard control.terminationStatus == 0 else { throw Failure(arguments: arguments, output: text) }
        return text
    }

    struct Failure: Error {
        var arguments: [String]
        var output: String
    }
}

/// Ports that nobody listens on now.
private func freePorts(_ count: Int) throws -> [UInt16] {
    var sockets: [Int32] = []
    var ports: [UInt16] = []
    defer { for socket in sockets { close(socket) } }
    for candidate in (UInt16(24500)...24999).shuffled() where ports.count < count {
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
        if result == 0 { ports.append(candidate) }
    }
    guard ports.count == count else { throw GenuineEtcd.Failure(arguments: ["bind"], output: "no free port") }
    return ports
}
