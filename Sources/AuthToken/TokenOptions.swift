import Configuration

/// What the flag `--auth-token` asks for: a kind of token and its options, as `jwt,sign-method=RS256,priv-key=…`.
public struct TokenOptions: Equatable, Sendable {
    /// The kinds of tokens.
    public enum Kind: Equatable, Sendable {
        /// Nobody can log in by password.
        case none
        case simple
        case jwt(JWTOptions)
    }

    /// How JSON Web Tokens are signed and checked.
    public struct JWTOptions: Equatable, Sendable {
        public var method: SignatureMethod
        /// The file with the keys to check signatures with, in PEM; there may be several in it.
        public var publicKeyPath: String?
        /// The file with the key to sign with: PEM, or the bytes of the secret for HS methods.
        public var privateKeyPath: String?
        /// How long a token is valid, in milliseconds.
        public var ttl: Int64

        /// etcd's life of a token.
        public static let defaultTTL: Int64 = 300_000
    }

    public var kind: Kind
    /// Options that mean nothing here, to be warned of.
    public var unknown: [String] = []

    /// Why the text means nothing.
    public struct Invalid: Error, CustomStringConvertible {
        public var description: String

        /// An error that says `description`.
        public init(_ description: String) {
            self.description = description
        }
    }

    /// The options of JSON Web Tokens, when those are asked for.
    public var jwt: JWTOptions? {
        if case .jwt(let options) = kind { options } else { nil }
    }

    /// Reads the flag's value.
    public init(parsing text: String) throws(Invalid) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        var options: [String: String] = [:]
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
            guard pair.count == 2 else {
                throw Invalid("auth: invalid auth options: \"\(part)\" is not of the form key=value")
            }
            guard options.updateValue(pair[1], forKey: pair[0]) == nil else {
                throw Invalid("auth: invalid auth options: \(pair[0]) is given twice")
            }
        }
        switch parts[0] {
        case "": kind = .none
        case "simple": kind = .simple
        case "jwt":
            let known = ["sign-method", "pub-key", "priv-key", "ttl"]
            unknown = options.keys.filter { !known.contains($0) }.sorted()
            kind = .jwt(try Self.jwt(options))
        default:
            throw Invalid("auth: invalid auth options: \"\(parts[0])\" is neither simple nor jwt")
        }
    }

    private static func jwt(_ options: [String: String]) throws(Invalid) -> JWTOptions {
        guard let method = SignatureMethod(rawValue: options["sign-method"] ?? "") else {
            let names = SignatureMethod.allCases.map(\.rawValue).joined(separator: ", ")
            throw Invalid("auth: invalid auth signature method: sign-method is none of \(names)")
        }
        var result = JWTOptions(method: method, ttl: JWTOptions.defaultTTL)
        result.publicKeyPath = options["pub-key"].flatMap { $0.isEmpty ? nil : $0 }
        result.privateKeyPath = options["priv-key"].flatMap { $0.isEmpty ? nil : $0 }
        if let text = options["ttl"], !text.isEmpty {
            guard let nanoseconds = GoDuration.nanoseconds(text), nanoseconds > 0 else {
                throw Invalid("auth: invalid auth options: ttl=\(text) is no time")
            }
            result.ttl = nanoseconds / 1_000_000
        }
        let hasKey = result.privateKeyPath != nil || (!method.isSymmetric && result.publicKeyPath != nil)
        guard hasKey else {
            throw Invalid("auth: missing key data")
        }
        return result
    }
}

/// The ways to sign a JSON Web Token (RFC 7518, section 3; RFC 8037).
public enum SignatureMethod: String, CaseIterable, Sendable {
    case rs256 = "RS256"
    case rs384 = "RS384"
    case rs512 = "RS512"
    case ps256 = "PS256"
    case ps384 = "PS384"
    case ps512 = "PS512"
    case es256 = "ES256"
    case es384 = "ES384"
    case es512 = "ES512"
    case hs256 = "HS256"
    case hs384 = "HS384"
    case hs512 = "HS512"
    case edDSA = "EdDSA"

    /// Whether one secret both signs and checks.
    public var isSymmetric: Bool { self == .hs256 || self == .hs384 || self == .hs512 }
}
