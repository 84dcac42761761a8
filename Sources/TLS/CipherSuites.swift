/// The cipher suites that settings can name.
public enum CipherSuites {
    /// Those of TLS 1.2 that the library has, by their numbers with IANA.
    static let served: Set<UInt16> = [
        0x2F, 0x35, 0x9C, 0x9D, 0xC009, 0xC00A, 0xC013, 0xC014, 0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9,
    ]
    /// Those of TLS 1.3, which cannot be switched off one by one.
    static let ofTLS13: Set<UInt16> = [0x1301, 0x1302, 0x1303]

    /// Whether a suite can be used at all. The others are of RC4, of triple DES, or of CBC with SHA-256.
    public static func isServed(_ suite: UInt16) -> Bool { served.contains(suite) || ofTLS13.contains(suite) }
}
