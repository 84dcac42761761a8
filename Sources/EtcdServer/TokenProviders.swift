import AuthToken
import Configuration
import FoundationEssentials
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Makes what the flags say of tokens, and keeps it up: keys are read anew when their files change, and simple tokens that
/// have ended are dropped.
final class TokenProviders: Sendable {
    /// How often files are looked at and tokens dropped, as etcd drops them.
    private static let interval = TimeAmount.seconds(1)

    let provider: Authority.Provider
    private let options: TokenOptions
    private let contents: Mutex<KeyFiles>
    private let logger: Logger

    private struct KeyFiles: Equatable, Sendable {
        var publicKeys: [UInt8]?
        var privateKey: [UInt8]?

        init(_ options: TokenOptions.JWTOptions?) throws {
            publicKeys = try options?.publicKeyPath.map { try Self.read($0) }
            privateKey = try options?.privateKeyPath.map { try Self.read($0) }
        }

        private static func read(_ path: String) throws -> [UInt8] {
            do {
                return [UInt8](try Data(contentsOf: URL(filePath: path)))
            } catch {
                throw TokenOptions.Invalid("auth: the key file \(path) cannot be read: \(error)")
            }
        }
    }

    init(_ settings: AuthSettings, logger: Logger) throws {
        self.logger = logger
        let options = try TokenOptions(parsing: settings.token)
        self.options = options
        if !options.unknown.isEmpty {
            logger.warning("unknown JWT options", metadata: ["keys": .string(options.unknown.joined(separator: ","))])
        }
        let files = try KeyFiles(options.jwt)
        contents = Mutex(files)
        switch options.kind {
        case .none: provider = .none
        case .simple:
            logger.warning("simple token is not cryptographically signed")
            let ttl = settings.tokenTTLSeconds * 1_000
            provider = .simple(SimpleTokens(ttl: ttl > 0 ? ttl : SimpleTokens.defaultTTL))
        case .jwt(let jwt):
            provider = .web(WebTokens(method: jwt.method, ttl: jwt.ttl, keys: try Self.keys(jwt, files)))
        }
    }

    private static func keys(_ options: TokenOptions.JWTOptions, _ files: KeyFiles) throws -> WebTokens.Keys {
        do {
            return try WebTokens.Keys(
                method: options.method, publicKeys: files.publicKeys, privateKey: files.privateKey)
        } catch {
            throw TokenOptions.Invalid("the keys for --auth-token cannot be used: \(error)")
        }
    }

    /// Begins to look after the tokens, on `pool` at the beat of `eventLoop`.
    func start(on eventLoop: any EventLoop, pool: PasswordPool) {
        eventLoop.scheduleRepeatedTask(initialDelay: Self.interval, delay: Self.interval) { [self] _ in
            switch provider {
            case .none: break
            case .simple(let tokens): tokens.purge(now: Clock.milliseconds)
            case .web(let tokens): pool.perform { [self] in reload(tokens) }
            }
        }
    }

    /// Files that cannot be used leave the keys as they are: whoever exchanges them may not be done yet.
    private func reload(_ tokens: WebTokens) {
        guard let jwt = options.jwt, let files = try? KeyFiles(jwt), contents.withLock({ $0 != files }) else { return }
        do {
            tokens.replaceKeys(try Self.keys(jwt, files))
            logger.info("the keys of auth tokens were read anew")
        } catch {
            logger.warning("the keys of auth tokens have changed", metadata: ["error": .string("\(error)")])
        }
        contents.withLock { $0 = files }
    }
}
