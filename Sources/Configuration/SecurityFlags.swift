import Membership

/// Flags of TLS, and of which web pages may talk to the member.
extension MemberConfiguration {
    private static let client = "client-transport-security"
    private static let peer = "peer-transport-security"

    static let securityFlags: [FlagDefinition] = [
        .text("cert-file", "Certificate that clients are shown.").inFile(client, "cert-file"),
        .text("key-file", "Key of that certificate.").inFile(client, "key-file"),
        .text("client-cert-file", "Certificate of this member as a client of itself; cert-file when empty.")
            .inFile(client, "client-cert-file"),
        .text("client-key-file", "Key of that certificate.").inFile(client, "client-key-file"),
        .toggle("client-cert-auth", false, "Clients must show a certificate.").inFile(client, "client-cert-auth"),
        .text("client-crl-file", "Certificates of clients that are revoked.").inFile(client, "crl-file"),
        .list("client-cert-allowed-hostname", inFile: .either, "Names, one of which a client's certificate must have.")
            .inFile(client, "allowed-hostname"),
        .list("client-cert-allowed-cn", inFile: .either, "Common names, one of which a client's certificate must have.")
            .inFile(client, "allowed-cn").onlyInFile(),
        .toggle("client-skip-client-san-verification", false, "Do not check the address of clients that connect.")
            .inFile(client, "skip-client-san-verification").onlyInFile()
            .withoutEffect("the addresses of clients are never compared with their certificates"),
        .text("trusted-ca-file", "Authorities by which clients' certificates are verified.")
            .inFile(client, "trusted-ca-file"),
        .toggle("auto-tls", false, "Serve clients by TLS with a certificate made at the start.")
            .inFile(client, "auto-tls"),
        .text("peer-cert-file", "Certificate that members show each other.").inFile(peer, "cert-file"),
        .text("peer-key-file", "Key of that certificate.").inFile(peer, "key-file"),
        .toggle("peer-client-cert-auth", false, "Members that connect must show a certificate.")
            .inFile(peer, "client-cert-auth"),
        .text("peer-trusted-ca-file", "Authorities by which members' certificates are verified.")
            .inFile(peer, "trusted-ca-file"),
        .list("peer-cert-allowed-cn", inFile: .either, "Common names, one of which a member's certificate must have.")
            .inFile(peer, "allowed-cn"),
        .list("peer-cert-allowed-hostname", inFile: .either, "Names, one of which a member's certificate must have.")
            .inFile(peer, "allowed-hostname"),
        .toggle("peer-auto-tls", false, "Members talk by TLS with certificates made at the start.")
            .inFile(peer, "auto-tls"),
        .text("peer-client-cert-file", "Certificate to connect to members with; peer-cert-file when empty.")
            .inFile(peer, "client-cert-file"),
        .text("peer-client-key-file", "Key of that certificate.").inFile(peer, "client-key-file"),
        .text("peer-crl-file", "Certificates of members that are revoked.").inFile(peer, "crl-file"),
        .toggle("peer-skip-client-san-verification", false, "Do not check the address of members that connect.")
            .formerly("experimental-peer-skip-client-san-verification").inFile(peer, "skip-client-san-verification"),
        .unsigned("self-signed-cert-validity", 1, upTo: 1000, "Years for which certificates made at the start hold."),
        .list("cipher-suites", "TLS cipher suites that may be used; all good ones when empty."),
        .text("tls-min-version", "TLS1.2", "Lowest version of TLS: TLS1.2 or TLS1.3."),
        .text("tls-max-version", "Highest version of TLS: TLS1.2 or TLS1.3."),
        .list("cors", "*", inFile: .text, "Origins of web pages that may talk to the member; * and nothing are all."),
        .list("host-whitelist", "*", inFile: .text, "Host names that HTTP requests without TLS may ask for."),
    ]
}

/// TLS of one kind of listener: the files and what is asked of those that connect.
public struct TransportSecurity: Equatable, Sendable {
    public var certificateFile: String
    public var keyFile: String
    /// The certificate used where this member is the client; the other one when empty.
    public var clientCertificateFile: String
    public var clientKeyFile: String
    public var trustedCAFile: String
    public var revocationListFile: String
    public var requiresClientCertificate: Bool
    /// Common names of which a client's certificate must have one; any when empty.
    public var allowedCommonNames: [String]
    /// Names of which a client's certificate must have one; any when empty.
    public var allowedHostnames: [String]
    /// Whether the address of a client is not compared with its certificate.
    public var skipsClientSANVerification: Bool
    /// Whether a certificate is made at the start.
    public var isAutomatic: Bool

    /// Whether no certificate is given.
    public var isEmpty: Bool { certificateFile.isEmpty && keyFile.isEmpty }

    /// No TLS.
    public init() {
        (certificateFile, keyFile, clientCertificateFile, clientKeyFile) = ("", "", "", "")
        (trustedCAFile, revocationListFile) = ("", "")
        (allowedCommonNames, allowedHostnames) = ([], [])
        (requiresClientCertificate, skipsClientSANVerification, isAutomatic) = (false, false, false)
    }

    /// The TLS of clients.
    init(client settings: Settings) {
        self.init()
        certificateFile = settings.text("cert-file")
        keyFile = settings.text("key-file")
        clientCertificateFile = settings.text("client-cert-file")
        clientKeyFile = settings.text("client-key-file")
        trustedCAFile = settings.text("trusted-ca-file")
        revocationListFile = settings.text("client-crl-file")
        requiresClientCertificate = settings.isOn("client-cert-auth")
        allowedCommonNames = settings.list("client-cert-allowed-cn")
        allowedHostnames = settings.list("client-cert-allowed-hostname")
        isAutomatic = settings.isOn("auto-tls")
    }

    /// The TLS between members.
    init(peer settings: Settings) {
        self.init()
        certificateFile = settings.text("peer-cert-file")
        keyFile = settings.text("peer-key-file")
        clientCertificateFile = settings.text("peer-client-cert-file")
        clientKeyFile = settings.text("peer-client-key-file")
        trustedCAFile = settings.text("peer-trusted-ca-file")
        revocationListFile = settings.text("peer-crl-file")
        requiresClientCertificate = settings.isOn("peer-client-cert-auth")
        allowedCommonNames = settings.list("peer-cert-allowed-cn")
        allowedHostnames = settings.list("peer-cert-allowed-hostname")
        skipsClientSANVerification = settings.isOn("peer-skip-client-san-verification")
        isAutomatic = settings.isOn("peer-auto-tls")
    }
}

/// What all TLS connections of a member have in common.
public struct TLSPolicy: Equatable, Sendable {
    /// A version of TLS that may be asked for.
    public enum Version: String, Sendable, Comparable {
        case tls12 = "TLS1.2"
        case tls13 = "TLS1.3"

        public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    /// Names as Go's crypto/tls has them, in the order of preference; the library's choice when empty.
    public var cipherSuites: [String]
    public var minimumVersion: Version
    /// nil for the highest that there is.
    public var maximumVersion: Version?
    /// For how long certificates made at the start hold.
    public var selfSignedValidityYears: Int

    init(_ settings: Settings) {
        cipherSuites = settings.list("cipher-suites")
        for name in cipherSuites where CipherSuite(named: name) == nil {
            settings.note("unexpected TLS cipher suite \"\(name)\"")
        }
        minimumVersion = Self.version("tls-min-version", settings) ?? .tls12
        maximumVersion = Self.version("tls-max-version", settings)
        let years: Int = settings.number("self-signed-cert-validity")
        selfSignedValidityYears = max(1, years)
        if let maximumVersion, minimumVersion > maximumVersion {
            settings.note(
                "min version (\(minimumVersion.rawValue)) is greater than max version (\(maximumVersion.rawValue))")
        }
        if minimumVersion == .tls13 && !cipherSuites.isEmpty {
            settings.note("cipher suites cannot be configured when only TLS1.3 is enabled")
        }
    }

    private static func version(_ name: String, _ settings: Settings) -> Version? {
        let text = settings.text(name)
        if text.isEmpty { return nil }
        guard let version = Version(rawValue: text) else {
            settings.note("unexpected TLS version \"\(text)\"")
            return nil
        }
        return version
    }
}

/// Which HTTP requests of clients are answered.
public struct HTTPSettings: Equatable, Sendable {
    /// Origins that may ask; all when there is `*` or none.
    public var allowedOrigins: [String]
    /// Names that the `Host` of a request without TLS may have; all when there is `*` or none.
    public var allowedHosts: [String]
    /// Whether the JSON gateway is served.
    public var servesGateway: Bool
    /// Whether its errors look as since etcd 3.6.
    public var hasNewGatewayErrors: Bool
    /// Whether `/debug/pprof` is asked for.
    public var servesProfiles: Bool

    init(_ settings: Settings) {
        allowedOrigins = settings.list("cors")
        for origin in allowedOrigins where allowedOrigins != ["*"] {
            do throws(ServiceURL.Invalid) {
                _ = try ServiceURL(parsing: origin)
            } catch {
                guard let value = settings.value(of: "cors") else { break }
                settings.refuse(value, error.description)
                break
            }
        }
        allowedHosts = settings.list("host-whitelist")
        servesGateway = settings.isOn("enable-grpc-gateway")
        hasNewGatewayErrors = settings.choice("grpc-gateway-errors") == "v2"
        servesProfiles = settings.isOn("enable-pprof")
    }
}
