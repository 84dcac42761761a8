import Crypto
import CryptoExtras
import FoundationEssentials
import X509

/// Why a key cannot be used.
public struct KeyError: Error, CustomStringConvertible {
    public var description: String
}

/// A key that checks signatures of one method.
enum VerificationKey: Sendable {
    case rsa(_RSA.Signing.PublicKey)
    case p256(P256.Signing.PublicKey)
    case p384(P384.Signing.PublicKey)
    case p521(P521.Signing.PublicKey)
    case ed25519(Curve25519.Signing.PublicKey)
    case secret(SymmetricKey)

    /// The keys in the PEM blocks of `text`, each a public key or a certificate.
    static func all(in text: String, for method: SignatureMethod) throws -> [VerificationKey] {
        var keys: [VerificationKey] = []
        for block in PEMBlock.all(in: text) {
            do {
                keys.append(try VerificationKey(block, method))
            } catch {
                throw KeyError(description: "\"\(block.label)\" is no public key for \(method.rawValue): \(error)")
            }
        }
        return keys
    }

    private init(_ block: PEMBlock, _ method: SignatureMethod) throws {
        var spki = block.bytes
        if block.label == "CERTIFICATE" {
            spki = try Certificate(derEncoded: block.bytes).publicKey.serializeAsPEM().derBytes
        }
        switch method {
        case .rs256, .rs384, .rs512, .ps256, .ps384, .ps512:
            self = .rsa(try _RSA.Signing.PublicKey(unsafeDERRepresentation: spki))
        case .es256: self = .p256(try P256.Signing.PublicKey(derRepresentation: spki))
        case .es384: self = .p384(try P384.Signing.PublicKey(derRepresentation: spki))
        case .es512: self = .p521(try P521.Signing.PublicKey(derRepresentation: spki))
        case .edDSA:
            guard let raw = EdDSAKeyForm.publicKey(in: spki) else { throw KeyError(description: "no Ed25519 key") }
            self = .ed25519(try Curve25519.Signing.PublicKey(rawRepresentation: raw))
        case .hs256, .hs384, .hs512: throw KeyError(description: "an HS method has no public key")
        }
    }

    /// Whether `signature` is one of `message` by the method.
    func verifies(_ signature: [UInt8], of message: [UInt8], _ method: SignatureMethod) -> Bool {
        switch self {
        case .rsa(let key):
            let padding = method.usesPSS ? _RSA.Signing.Padding.PSS : .insecurePKCS1v1_5
            let signature = _RSA.Signing.RSASignature(rawRepresentation: signature)
            switch method.digestBits {
            case 256: return key.isValidSignature(signature, for: SHA256.hash(data: message), padding: padding)
            case 384: return key.isValidSignature(signature, for: SHA384.hash(data: message), padding: padding)
            default: return key.isValidSignature(signature, for: SHA512.hash(data: message), padding: padding)
            }
        case .p256(let key):
            return (try? P256.Signing.ECDSASignature(rawRepresentation: signature)).map {
                key.isValidSignature($0, for: SHA256.hash(data: message))
            } ?? false
        case .p384(let key):
            return (try? P384.Signing.ECDSASignature(rawRepresentation: signature)).map {
                key.isValidSignature($0, for: SHA384.hash(data: message))
            } ?? false
        case .p521(let key):
            return (try? P521.Signing.ECDSASignature(rawRepresentation: signature)).map {
                key.isValidSignature($0, for: SHA512.hash(data: message))
            } ?? false
        case .ed25519(let key): return key.isValidSignature(signature, for: message)
        case .secret(let key):
            switch method.digestBits {
            case 256:
                return HMAC<SHA256>.isValidAuthenticationCode(signature, authenticating: message, using: key)
            case 384:
                return HMAC<SHA384>.isValidAuthenticationCode(signature, authenticating: message, using: key)
            default: return HMAC<SHA512>.isValidAuthenticationCode(signature, authenticating: message, using: key)
            }
        }
    }

    /// The key's own bytes, by which two are compared.
    var identity: [UInt8] {
        switch self {
        case .rsa(let key): [UInt8](key.derRepresentation)
        case .p256(let key): [UInt8](key.rawRepresentation)
        case .p384(let key): [UInt8](key.rawRepresentation)
        case .p521(let key): [UInt8](key.rawRepresentation)
        case .ed25519(let key): [UInt8](key.rawRepresentation)
        case .secret(let key): key.withUnsafeBytes { [UInt8]($0) }
        }
    }
}

/// A key that signs.
enum SigningKey: Sendable {
    case rsa(_RSA.Signing.PrivateKey)
    case p256(P256.Signing.PrivateKey)
    case p384(P384.Signing.PrivateKey)
    case p521(P521.Signing.PrivateKey)
    case ed25519(Curve25519.Signing.PrivateKey)
    case secret(SymmetricKey)

    /// The key in `bytes`, the contents of a file.
    init(_ bytes: [UInt8], for method: SignatureMethod) throws {
        if method.isSymmetric {
            guard !bytes.isEmpty else { throw KeyError(description: "the secret is empty") }
            self = .secret(SymmetricKey(data: bytes))
            return
        }
        let text = String(decoding: bytes, as: UTF8.self)
        // A file of an elliptic curve may begin with the curve's parameters.
        guard let block = PEMBlock.all(in: text).first(where: { $0.label.hasSuffix("PRIVATE KEY") }) else {
            throw KeyError(description: "no private key in PEM")
        }
        do {
            try self.init(block, method)
        } catch {
            throw KeyError(description: "\"\(block.label)\" is no private key for \(method.rawValue): \(error)")
        }
    }

    private init(_ block: PEMBlock, _ method: SignatureMethod) throws {
        switch method {
        case .rs256, .rs384, .rs512, .ps256, .ps384, .ps512:
            // From 1024 bits on, as in Go.
            self = .rsa(try _RSA.Signing.PrivateKey(unsafeDERRepresentation: block.bytes))
        case .es256: self = .p256(try P256.Signing.PrivateKey(pemRepresentation: block.text))
        case .es384: self = .p384(try P384.Signing.PrivateKey(pemRepresentation: block.text))
        case .es512: self = .p521(try P521.Signing.PrivateKey(pemRepresentation: block.text))
        default:
            guard let seed = EdDSAKeyForm.seed(in: block.bytes) else { throw KeyError(description: "no Ed25519 key") }
            self = .ed25519(try Curve25519.Signing.PrivateKey(rawRepresentation: seed))
        }
    }

    /// The key that checks what this one signs.
    var verificationKey: VerificationKey {
        switch self {
        case .rsa(let key): .rsa(key.publicKey)
        case .p256(let key): .p256(key.publicKey)
        case .p384(let key): .p384(key.publicKey)
        case .p521(let key): .p521(key.publicKey)
        case .ed25519(let key): .ed25519(key.publicKey)
        case .secret(let key): .secret(key)
        }
    }

    /// The signature of `message` by the method.
    func sign(_ message: [UInt8], _ method: SignatureMethod) throws -> [UInt8] {
        switch self {
        case .rsa(let key):
            let padding = method.usesPSS ? _RSA.Signing.Padding.PSS : .insecurePKCS1v1_5
            let signature =
                switch method.digestBits {
                case 256: try key.signature(for: SHA256.hash(data: message), padding: padding)
                case 384: try key.signature(for: SHA384.hash(data: message), padding: padding)
                default: try key.signature(for: SHA512.hash(data: message), padding: padding)
                }
            return [UInt8](signature.rawRepresentation)
        case .p256(let key): return [UInt8](try key.signature(for: SHA256.hash(data: message)).rawRepresentation)
        case .p384(let key): return [UInt8](try key.signature(for: SHA384.hash(data: message)).rawRepresentation)
        case .p521(let key): return [UInt8](try key.signature(for: SHA512.hash(data: message)).rawRepresentation)
        case .ed25519(let key): return [UInt8](try key.signature(for: message))
        case .secret(let key):
            switch method.digestBits {
            case 256: return Array(HMAC<SHA256>.authenticationCode(for: message, using: key))
            case 384: return Array(HMAC<SHA384>.authenticationCode(for: message, using: key))
            default: return Array(HMAC<SHA512>.authenticationCode(for: message, using: key))
            }
        }
    }
}

extension SignatureMethod {
    fileprivate var usesPSS: Bool { self == .ps256 || self == .ps384 || self == .ps512 }

    /// The bits of the digest that is signed.
    fileprivate var digestBits: Int {
        switch self {
        case .rs256, .ps256, .es256, .hs256: 256
        case .rs384, .ps384, .es384, .hs384: 384
        default: 512
        }
    }
}

/// A block of a PEM file (RFC 7468).
struct PEMBlock {
    var label: String
    var bytes: [UInt8]
    var text: String

    /// The blocks of `text` in order; what is between them is passed over.
    static func all(in text: String) -> [PEMBlock] {
        var blocks: [PEMBlock] = []
        var label: String?
        var body: [String] = []
        for line in text.split(whereSeparator: \.isNewline) {
            if line.hasPrefix("-----BEGIN "), line.hasSuffix("-----") {
                label = String(line.dropFirst(11).dropLast(5))
                body = []
            } else if let name = label, line == "-----END \(name)-----" {
                if let data = Data(base64Encoded: body.joined()) {
                    let lines = ["-----BEGIN \(name)-----"] + body + ["-----END \(name)-----"]
                    let text = lines.joined(separator: "\n")
                    blocks.append(PEMBlock(label: name, bytes: [UInt8](data), text: text))
                }
                label = nil
            } else if label != nil {
                body.append(line.filter { !$0.isWhitespace })
            }
        }
        return blocks
    }
}

/// Ed25519 keys in the one DER form that they have (RFC 8410).
private enum EdDSAKeyForm {
    private static let publicPrefix: [UInt8] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00]
    private static let privatePrefix: [UInt8] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ]

    static func publicKey(in bytes: [UInt8]) -> [UInt8]? {
        bytes.count == publicPrefix.count + 32 && bytes.starts(with: publicPrefix) ? Array(bytes.suffix(32)) : nil
    }

    static func seed(in bytes: [UInt8]) -> [UInt8]? {
        bytes.count == privatePrefix.count + 32 && bytes.starts(with: privatePrefix) ? Array(bytes.suffix(32)) : nil
    }
}
