import NIOSSL

/// What a listener or a dialler is told about TLS: etcd's settings of one kind of connection.
public struct TLSSettings: Sendable, Equatable {
    /// A certificate with its private key, as files in PEM.
    public struct Pair: Sendable, Equatable {
        public var certificateFile: String
        public var keyFile: String

        /// The files of one pair.
        public init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }

        var isEmpty: Bool { certificateFile.isEmpty && keyFile.isEmpty }
    }

    /// A version of the protocol.
    public enum Version: Sendable {
        case tls12, tls13

        var library: TLSVersion { self == .tls12 ? .tlsv12 : .tlsv13 }
    }

    /// What a listener shows, and a dialler too unless it has ``dialling``.
    public var identity: Pair
    /// What a dialler shows when it is another certificate.
    public var dialling: Pair
    /// Certificates that others' certificates must lead to; the system's when empty. A listener that has the file
    /// demands certificates.
    public var trustedCAFile = ""
    /// Certificates that a listener refuses: a list in DER, or lists in PEM.
    public var revocationListFile = ""
    /// Whether a listener demands a certificate.
    public var demandsCertificate = false
    /// Common names of which the other side's certificate must have one; empty allows all.
    public var allowedCommonNames: [String] = []
    /// Host names or addresses of which the other side's certificate must be for one; empty allows all.
    public var allowedHostnames: [String] = []
    /// Whether a listener compares the addresses and names in a certificate with where the connection comes from.
    public var checksAddress = false
    /// Cipher suites of TLS 1.2, by their numbers; empty leaves it to the library. Those of TLS 1.3 are always on.
    public var cipherSuites: [UInt16] = []
    public var minimumVersion = Version.tls12
    /// The highest version; nil is the highest that there is.
    public var maximumVersion: Version?
    /// Whether a dialler takes any certificate.
    public var skipsVerification = false
    /// The name that a dialler looks for in the certificate when it is not the host's.
    public var serverName = ""

    /// Settings with one certificate, or with none for a dialler.
    public init(identity: Pair = Pair(certificateFile: "", keyFile: ""), dialling: Pair? = nil) {
        self.identity = identity
        self.dialling = dialling ?? Pair(certificateFile: "", keyFile: "")
    }

    /// Whether there is neither a certificate nor a key, so that nothing can be listened on.
    public var isEmpty: Bool { identity.isEmpty }

    /// Whether a listener asks for certificates. A file of trusted certificates alone means that, too.
    var verifiesClients: Bool { demandsCertificate || !trustedCAFile.isEmpty }

    /// Throws what can be said without reading files.
    func check() throws(TLSError) {
        guard identity.certificateFile.isEmpty == identity.keyFile.isEmpty else {
            throw .halfPair(certificate: identity.certificateFile, key: identity.keyFile)
        }
        guard dialling.certificateFile.isEmpty == dialling.keyFile.isEmpty else {
            throw .settings(
                "ClientKeyFile and ClientCertFile must both be present or both absent: key: \(dialling.keyFile), "
                    + "cert: \(dialling.certificateFile)]")
        }
        guard allowedCommonNames.isEmpty || allowedHostnames.isEmpty else {
            throw .settings(
                "AllowedCN and AllowedHostname are mutually exclusive (cn=\(allowedCommonNames), "
                    + "hostname=\(allowedHostnames))")
        }
    }
}
