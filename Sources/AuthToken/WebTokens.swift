import Auth
import FoundationEssentials
import Synchronization

/// The tokens of etcd's provider `jwt` (RFC 7519): who logged in, at which auth revision, and until when, signed, so that
/// each member can tell by itself. They cannot be taken back.
///
/// Any thread may use it. Time is given with each call, in seconds since 1970.
public final class WebTokens: Sendable {
    /// Tokens whose signatures were found good, kept so that each is checked once.
    private static let rememberedLimit = 10_000
    /// A longer text is no token of etcd's.
    private static let textLimit = 16 << 10

    /// The keys at one moment.
    public struct Keys: Sendable {
        var verifying: [VerificationKey]
        var signing: SigningKey?

        /// The keys in the contents of the two files. When both are given, what the private one signs must be found good
        /// by one of the public ones.
        public init(method: SignatureMethod, publicKeys: [UInt8]?, privateKey: [UInt8]?) throws {
            signing = try privateKey.map { try SigningKey($0, for: method) }
            verifying = []
            if let publicKeys, !method.isSymmetric {
                verifying = try VerificationKey.all(in: String(decoding: publicKeys, as: UTF8.self), for: method)
                guard !verifying.isEmpty else { throw KeyError(description: "auth: missing key data") }
            }
            if let own = signing?.verificationKey {
                if verifying.isEmpty {
                    verifying = [own]
                } else if !verifying.contains(where: { $0.identity == own.identity }) {
                    throw KeyError(description: "auth: public and private keys don't match")
                }
            }
            guard !verifying.isEmpty else { throw KeyError(description: "auth: missing key data") }
        }
    }

    /// What a token says, as it is written.
    private struct Body: Encodable {
        var exp: Int64
        var revision: UInt64
        var username: String
    }

    /// Keys with the tokens that they found good, which go with them: a token that is just being checked is remembered by
    /// none but the keys that check it.
    private final class Checker: Sendable {
        let keys: Keys
        private let remembered = Mutex<[String: Claims]>([:])

        init(_ keys: Keys) { self.keys = keys }

        func known(_ token: String) -> Claims? { remembered.withLock { $0[token] } }

        func remember(_ token: String, _ claims: Claims) {
            remembered.withLock { remembered in
                if remembered.count >= WebTokens.rememberedLimit { remembered.removeAll() }
                remembered[token] = claims
            }
        }
    }

    private let method: SignatureMethod
    /// In seconds.
    private let ttl: Int64
    private let checker: Mutex<Checker>

    /// Tokens signed by `method`, valid for `ttl` milliseconds.
    public init(method: SignatureMethod, ttl: Int64, keys: Keys) {
        self.method = method
        self.ttl = max(1, ttl / 1_000)
        checker = Mutex(Checker(keys))
    }

    /// Goes over to other keys; tokens that were found good by the earlier ones are checked again.
    public func replaceKeys(_ keys: Keys) {
        checker.withLock { $0 = Checker(keys) }
    }

    /// Whether there is a key to sign with.
    public var canSign: Bool { checker.withLock { $0.keys.signing != nil } }

    /// A token for `caller` from `now` on.
    public func token(for caller: Caller, now: Int64) throws -> String {
        guard let key = checker.withLock({ $0.keys.signing }) else {
            throw KeyError(description: "auth: token signing attempted with verify-only key")
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let body = Body(exp: now + ttl, revision: caller.revision, username: caller.user)
        let head = Base64URL.encode(Array("{\"alg\":\"\(method.rawValue)\",\"typ\":\"JWT\"}".utf8))
        let message = head + "." + Base64URL.encode([UInt8](try encoder.encode(body)))
        return message + "." + Base64URL.encode(try key.sign(Array(message.utf8), method))
    }

    /// Whom `token` names; nil when it is not valid at `now`.
    public func caller(of token: String, now: Int64) -> Caller? {
        guard token.utf8.count <= Self.textLimit else { return nil }
        let checker = checker.withLock { $0 }
        let known = checker.known(token)
        guard let claims = known ?? verify(token, checker.keys), claims.count(at: now) else { return nil }
        if known == nil { checker.remember(token, claims) }
        return Caller(user: claims.user, revision: claims.revision)
    }

    private func verify(_ token: String, _ keys: Keys) -> Claims? {
        let parts = token.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let head = Base64URL.decode(parts[0]), let body = Base64URL.decode(parts[1]),
            let signature = Base64URL.decode(parts[2])
        else { return nil }
        // The method is this member's, whatever the token says.
        guard let header = JSONMembers(head), header.text("alg") == method.rawValue else { return nil }
        let message = Array(token.utf8.prefix(parts[0].count + 1 + parts[1].count))
        guard keys.verifying.contains(where: { $0.verifies(signature, of: message, method) }) else { return nil }
        return JSONMembers(body).flatMap { Claims($0) }
    }
}

/// Base 64 as tokens use it (RFC 4648, section 5): two other characters, and no padding.
enum Base64URL {
    static func encode(_ bytes: [UInt8]) -> String {
        var text = Data(bytes).base64EncodedString()
        while text.hasSuffix("=") { text.removeLast() }
        return String(
            decoding: text.utf8.map { byte -> UInt8 in
                switch byte {
                case UInt8(ascii: "+"): UInt8(ascii: "-")
                case UInt8(ascii: "/"): UInt8(ascii: "_")
                default: byte
                }
            }, as: UTF8.self)
    }

    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        var standard: [UInt8] = []
        standard.reserveCapacity(text.count + 3)
        for byte in text {
            switch byte {
            case UInt8(ascii: "-"): standard.append(UInt8(ascii: "+"))
            case UInt8(ascii: "_"): standard.append(UInt8(ascii: "/"))
            case UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="): return nil
            default: standard.append(byte)
            }
        }
        while standard.count % 4 != 0 { standard.append(UInt8(ascii: "=")) }
        return Data(base64Encoded: Data(standard)).map { [UInt8]($0) }
    }
}
