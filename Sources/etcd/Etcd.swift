import Configuration
import EtcdServer
import Glibc
import LogOutput
import Logging

/// The server's command: `etcd [flags]`.
@main
struct Etcd {
    static func main() {
        // Before any other thread exists: each inherits the mask from here.
        let signals = TerminationSignals()
        let configuration = self.configuration()
        let writer = startLog(configuration.logging)
        let logging = configuration.logging
        let logger = Logger.member(
            writer: writer, format: logging.format, sampling: logging.isSampled ? LogSampling() : nil)
        say(configuration.notes, to: logger)
        // The main thread waits for signals, so nothing of the member may run on it.
        Task.detached {
            let member: EtcdMember
            do {
                member = try await EtcdMember.start(
                    configuration, logger: logger, removed: { signals.interrupt() })
            } catch {
                fail("\(error)", configuration.logging, logger, writer)
            }
            signals.arm()
            ServiceManager.tell("READY=1", logger)
            let signal = await signals.next()
            if let signal {
                logger.info("received signal; shutting down", metadata: ["signal": .string(signal.name)])
            }
            ServiceManager.tell("STOPPING=1", logger)
            await member.stop()
            logger.info("closed etcd server", metadata: ["name": .string(configuration.name)])
            writer.flush()
            signal?.end()
            exit(0)
        }
        signals.deliver()
    }

    private static func startLog(_ settings: LoggingSettings) -> LogWriter {
        LogLevel.set(settings.level.severity)
        do throws(LogFailure) {
            return try LogWriter.start(settings)
        } catch {
            complain("\(error)\n")
            exit(1)
        }
    }

    /// Ends the process of a member that cannot start.
    private static func fail(
        _ message: String, _ settings: LoggingSettings, _ logger: Logger, _ writer: LogWriter
    ) -> Never {
        // Those who read the log alone must find it there.
        if !settings.outputs.contains(.standardError) {
            logger.critical("failed to start etcd", metadata: ["error": .string(message)])
        }
        // What was said before stands before the reason.
        writer.flush()
        complain(message + "\n")
        exit(1)
    }

    private static func configuration() -> MemberConfiguration {
        do throws(InvalidConfiguration) {
            let request = try MemberConfiguration.parse(
                arguments: Array(CommandLine.arguments.dropFirst()), environment: environment(),
                readFile: text(ofFile:))
            switch request {
            case .run(let configuration): return configuration
            case .showVersion:
                print("etcd Version: \(EtcdVersion.server)")
                print("Git SHA: \(BuildInformation.revision)")
                print("Swift Version: \(BuildInformation.compiler)")
                print("OS/Arch: \(BuildInformation.platform)")
                exit(0)
            case .showHelp:
                complain(MemberConfiguration.usage)
                print(MemberConfiguration.help, terminator: "")
                exit(0)
            }
        } catch {
            for mistake in error.mistakes {
                complain(
                    mistake.isUsage
                        ? "\(mistake.text)\n" : "error verifying flags, \(mistake.text). See 'etcd --help'.\n")
            }
            if error.isUsage { complain(MemberConfiguration.usage) }
            exit(error.exitCode)
        }
    }

    private static func say(_ notes: [ConfigurationNote], to logger: Logger) {
        for note in notes {
            switch note {
            case .fileLoaded(let path):
                let text =
                    "loaded server configuration, other configuration command line flags and environment variables "
                    + "will be ignored if provided"
                logger.info("\(text)", metadata: ["path": .string(path)])
            case .usedVariable(let name):
                logger.info("recognized and used environment variable", metadata: ["variable-name": .string(name)])
            case .unknownVariable(let name):
                logger.warning("unrecognized environment variable", metadata: ["environment-variable": .string(name)])
            case .warning(let text): logger.warning("\(text)")
            }
        }
    }

    /// The text of a configuration file.
    private static func text(ofFile path: String) -> Result<String, InvalidConfiguration> {
        func failure() -> Result<String, InvalidConfiguration> {
            .failure(InvalidConfiguration("open \(path): \(String(cString: strerror(errno)).lowercased())"))
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return failure() }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 * 1024)
        while bytes.count <= MemberConfiguration.longestFile {
            let count = read(descriptor, &piece, piece.count)
            if count < 0 { return failure() }
            if count == 0 { break }
            bytes += piece[..<count]
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            return .failure(InvalidConfiguration("\(path): the file is not UTF-8 text"))
        }
        return .success(text)
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

    private static func complain(_ text: String) {
        var text = text
        text.withUTF8 { bytes in _ = write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }
}
