import Configuration
import EtcdServer
import Glibc
import Logging

/// The server's command: `etcd [flags]`.
@main
struct Etcd {
    static func main() {
        // Before any other thread exists: each inherits the mask from here.
        let signals = TerminationSignals()
        let configuration = self.configuration()
        let logger = Logger.member(level: level(configuration.logLevel))
        // The main thread waits for signals, so nothing of the member may run on it.
        Task.detached {
            let member: EtcdMember
            do {
                member = try await EtcdMember.start(
                    configuration, logger: logger, removed: { signals.interrupt() })
            } catch {
                fail("\(error)")
            }
            if let signal = await signals.next() {
                logger.info("received signal; shutting down", metadata: ["signal": .string(signal)])
            }
            await member.stop()
            logger.info("closed etcd server", metadata: ["name": .string(configuration.name)])
            exit(0)
        }
        signals.deliver()
    }

    private static func configuration() -> MemberConfiguration {
        do throws(InvalidConfiguration) {
            let request = try MemberConfiguration.parse(
                arguments: Array(CommandLine.arguments.dropFirst()), environment: environment())
            switch request {
            case .run(let configuration): return configuration
            case .showVersion:
                print("etcd Version: \(EtcdVersion.server)")
                print("Git SHA: \(BuildInformation.revision)")
                print("Swift Version: \(BuildInformation.compiler)")
                print("OS/Arch: \(BuildInformation.platform)")
                exit(0)
            case .showHelp:
                print(MemberConfiguration.help, terminator: "")
                exit(0)
            }
        } catch {
            fail(error.description)
        }
    }

    /// The environment's variables that may be flags.
    private static func environment() -> [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let parts = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2, parts[0].hasPrefix("ETCD_") { variables[String(parts[0])] = String(parts[1]) }
            entry += 1
        }
        return variables
    }

    private static func level(_ level: MemberConfiguration.LogLevel) -> Logger.Level {
        switch level {
        case .debug: .debug
        case .info: .info
        case .warn: .warning
        case .error: .error
        case .panic, .fatal: .critical
        }
    }

    private static func fail(_ message: String) -> Never {
        var line = message + "\n"
        line.withUTF8 { bytes in _ = write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
        exit(1)
    }
}
