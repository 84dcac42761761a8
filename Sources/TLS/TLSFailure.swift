import NIOCore
import NIOSSL

/// What went wrong in a handshake, in few words.
enum TLSFailure {
    /// The library's reasons that Go's users know under other words.
    private static let known: [(String, String)] = [
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "tls: client didn't provide a certificate"),
        ("NO_SHARED_CIPHER", "tls: no cipher suite supported by both client and server"),
        ("UNSUPPORTED_PROTOCOL", "tls: client offered only unsupported versions"),
        ("HTTP_REQUEST", "tls: first record does not look like a TLS handshake"),
        ("HTTPS_PROXY_REQUEST", "tls: first record does not look like a TLS handshake"),
        ("WRONG_VERSION_NUMBER", "tls: first record does not look like a TLS handshake"),
        ("CERTIFICATE_UNKNOWN", "remote error: tls: unknown certificate"),
        ("BAD_CERTIFICATE", "remote error: tls: bad certificate"),
        ("UNKNOWN_CA", "remote error: tls: unknown certificate authority"),
        ("CERTIFICATE_EXPIRED", "remote error: tls: expired certificate"),
        ("CERTIFICATE_REQUIRED", "remote error: tls: certificate required"),
        ("ALERT_PROTOCOL_VERSION", "remote error: tls: protocol version not supported"),
        ("ALERT_HANDSHAKE_FAILURE", "remote error: tls: handshake failure"),
        ("CERTIFICATE_VERIFY_FAILED", "tls: failed to verify certificate"),
        ("eofDuringHandshake", "EOF"), ("EOF during handshake", "EOF"),
    ]

    static func text(_ error: any Error) -> String {
        let text = "\(error)"
        for (mark, words) in known where text.contains(mark) { return words }
        if let error = error as? IOError { return "\(error)" }
        return text
    }
}
