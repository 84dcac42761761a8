/// What is wrong with a certificate, a key, a list of revoked certificates, or the settings that name them.
public enum TLSError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file cannot be read; the reason is the system's.
    case unreadable(path: String, reason: String)
    /// The file is larger than ``TLSLimit/fileBytes``.
    case tooLarge(path: String)
    /// The file has no certificate in PEM.
    case noCertificate(path: String)
    /// The file has something that is marked as a certificate and is none.
    case malformedCertificate(path: String, reason: String)
    /// The file has no private key in PEM.
    case noKey(path: String)
    /// The private key is protected by a password, for which there is no way to ask.
    case encryptedKey(path: String)
    /// The file has something that is marked as a private key and is none.
    case malformedKey(path: String)
    /// The private key belongs to another certificate.
    case mismatch(certificate: String, key: String)
    /// A certificate was named without its key, or the other way round.
    case halfPair(certificate: String, key: String)
    /// A list of revoked certificates that is none.
    case malformedRevocationList(path: String, reason: String)
    /// Settings that contradict each other.
    case settings(String)
    /// The library that speaks TLS refused.
    case library(String)

    public var description: String {
        switch self {
        case .unreadable(let path, let reason): "open \(path): \(reason)"
        case .tooLarge(let path): "\(path) is larger than \(TLSLimit.fileBytes) bytes"
        case .noCertificate(let path): "tls: failed to find any PEM data in certificate input (\(path))"
        case .malformedCertificate(let path, let reason): "\(path): malformed certificate: \(reason)"
        case .noKey(let path): "tls: failed to find any PEM data in key input (\(path))"
        case .encryptedKey(let path):
            "tls: the private key in \(path) is protected by a password; store it without one (openssl pkey)"
        case .malformedKey(let path): "tls: failed to parse private key (\(path))"
        case .mismatch(let certificate, let key):
            "tls: private key does not match public key (certificate \(certificate), key \(key))"
        case .halfPair(let certificate, let key):
            "KeyFile and CertFile must both be present[key: \(key), cert: \(certificate)]"
        case .malformedRevocationList(let path, let reason): "\(path): malformed certificate revocation list: \(reason)"
        case .settings(let reason), .library(let reason): reason
        }
    }
}

/// What TLS may cost.
public enum TLSLimit {
    /// A file of certificates, a key or a list of revoked certificates: a list of a million serials has about 40 MB.
    public static let fileBytes = 64 << 20
    /// Certificates that the other side may present: its own and four that lead to a trusted one. Among more of the
    /// same name, the search for a way through them would take long.
    public static let presentedCertificates = 5
    /// Connections of one listener that have not finished their handshake. When there are more the oldest is closed, so
    /// that those who do nothing cannot keep others out.
    public static let pendingHandshakes = 8192
}
