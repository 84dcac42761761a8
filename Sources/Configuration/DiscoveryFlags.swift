/// Flags by which a new cluster's members find each other.
extension MemberConfiguration {
    static let discoveryFlags: [FlagDefinition] = [
        .text("discovery", "URL of the v2 discovery service to bootstrap by."),
        .choice(
            "discovery-fallback", ["exit", "proxy"], "exit",
            "What follows when discovery fails: 'exit'; 'proxy' is not served."),
        .text("discovery-proxy", "HTTP proxy for requests to the v2 discovery service."),
        .text("discovery-srv", "DNS domain whose SRV records name the members to bootstrap with."),
        .text("discovery-srv-name", "Suffix of the service's name in those records."),
        .list("discovery-endpoints", "gRPC endpoints of the v3 discovery service.")
            .inClientSection("endpoints"),
        .text("discovery-token", "Token of the cluster to bootstrap, by v3 discovery.")
            .inFile("discovery-config", "token"),
        .duration("discovery-dial-timeout", "2s", "Time to connect to the v3 discovery service.")
            .inClientSection("dial-timeout"),
        .duration("discovery-request-timeout", "5s", "Time for a request to the v3 discovery service.")
            .inClientSection("request-timeout"),
        .duration("discovery-keepalive-time", "2s", "Silence after which its connection is probed.")
            .inClientSection("keepalive-time"),
        .duration("discovery-keepalive-timeout", "6s", "Time for the answer to such a probe.")
            .inClientSection("keepalive-timeout"),
        .toggle("discovery-insecure-transport", true, "Connect to it without TLS.")
            .inClientSection("secure", "insecure-transport"),
        .toggle("discovery-insecure-skip-tls-verify", false, "Take any certificate of the discovery service.")
            .inClientSection("secure", "insecure-skip-tls-verify"),
        .text("discovery-cert", "Client certificate for the v3 discovery service.")
            .inClientSection("secure", "cert"),
        .text("discovery-key", "Key of that certificate.").inClientSection("secure", "key"),
        .text("discovery-cacert", "Certificates to verify the v3 discovery service by.")
            .inClientSection("secure", "cacert"),
        .text("discovery-server-name", "Name to look for in the certificate of the v3 discovery service.")
            .inClientSection("secure", "server-name").onlyInFile(),
        .text("discovery-jwt", "JSON Web Token for the v3 discovery service, in place of user and password.").secret()
            .inClientSection("auth", "token").onlyInFile(),
        .signed("discovery-max-request-bytes", 0, "Largest request to the v3 discovery service.")
            .inClientSection("max-request-bytes").onlyInFile()
            .withoutEffect("what is asked of a discovery service is small"),
        .signed("discovery-max-recv-bytes", 0, "Largest answer of the v3 discovery service.")
            .inClientSection("max-recv-bytes").onlyInFile()
            .withoutEffect("what a discovery service answers is small"),
        .text("discovery-user", "User of the v3 discovery service, as name[:password].").secret()
            .inClientSection("auth", "username"),
        .text("discovery-password", "Password of that user.").secret()
            .inClientSection("auth", "password"),
    ]
}

extension FlagDefinition {
    /// etcd has the settings of its client in a section of their own; they may also stand beside the token.
    fileprivate func inClientSection(_ path: String...) -> Self {
        inFile(["discovery-config", "client"] + path).inFileAlso(["discovery-config"] + path)
    }
}

/// How the members of a new cluster find each other, when the initial cluster does not say it.
public struct DiscoverySettings: Equatable, Sendable {
    /// The v2 discovery URL with the cluster's token; empty for none.
    public var url: String
    /// The HTTP proxy on the way to it; empty for none.
    public var proxy: String
    /// The domain with the SRV records; empty for none.
    public var srvDomain: String
    /// The suffix of the SRV service's name, without its dash; empty for none.
    public var srvName: String
    /// The v3 discovery service; nil for none.
    public var service: DiscoveryService?

    /// Whether any of the three is asked for.
    public var isUsed: Bool { !url.isEmpty || !srvDomain.isEmpty || service != nil }

    init(_ settings: Settings) {
        url = settings.text("discovery")
        proxy = settings.text("discovery-proxy")
        srvDomain = settings.text("discovery-srv")
        srvName = settings.text("discovery-srv-name")
        let found = DiscoveryService(settings)
        service = found.endpoints.isEmpty ? nil : found
        if settings.choice("discovery-fallback") == "proxy" {
            settings.note("v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"")
        }
        if found.token.isEmpty != found.endpoints.isEmpty {
            settings.note("both --discovery-token and --discovery-endpoints must be set")
        }
        if found.endpoints.contains(where: { Substring($0).trimmed.isEmpty }) {
            settings.note("--discovery-endpoints must not contain empty endpoints")
        }
        let isV3 =
            !found.endpoints.isEmpty || !found.token.isEmpty || !found.certificateFile.isEmpty
            || !found.keyFile.isEmpty || !found.trustedCAFile.isEmpty || !found.user.isEmpty
            || !found.password.isEmpty
        if isV3 && !proxy.isEmpty {
            settings.note(
                "both v2 discovery settings (discovery, discovery-proxy) and v3 discovery settings (discovery-token, "
                    + "discovery-endpoints, discovery-cert, discovery-key, discovery-cacert, discovery-user, "
                    + "discovery-password) are set")
        }
    }
}

/// The v3 discovery service: an etcd cluster that keeps the lists of others' members.
public struct DiscoveryService: Equatable, Sendable {
    public var endpoints: [String]
    public var token: String
    public var dialTimeoutMilliseconds: Int64
    public var requestTimeoutMilliseconds: Int64
    public var keepaliveMilliseconds: Int64
    public var keepaliveTimeoutMilliseconds: Int64
    /// Whether it is reached without TLS.
    public var isInsecure: Bool
    /// Whether its certificate is taken unseen.
    public var skipsVerification: Bool
    public var certificateFile: String
    public var keyFile: String
    public var trustedCAFile: String
    /// The name that its certificate must be for; empty for the endpoint's.
    public var serverName: String
    /// A token in place of a user, never to be shown; empty for none.
    public var jsonWebToken: String
    /// The user's name; empty for none.
    public var user: String
    /// Never to be shown.
    public var password: String

    init(_ settings: Settings) {
        endpoints = settings.list("discovery-endpoints")
        token = settings.text("discovery-token")
        dialTimeoutMilliseconds = settings.milliseconds("discovery-dial-timeout")
        requestTimeoutMilliseconds = settings.milliseconds("discovery-request-timeout")
        keepaliveMilliseconds = settings.milliseconds("discovery-keepalive-time")
        keepaliveTimeoutMilliseconds = settings.milliseconds("discovery-keepalive-timeout")
        isInsecure = settings.isOn("discovery-insecure-transport")
        skipsVerification = settings.isOn("discovery-insecure-skip-tls-verify")
        certificateFile = settings.text("discovery-cert")
        keyFile = settings.text("discovery-key")
        trustedCAFile = settings.text("discovery-cacert")
        serverName = settings.text("discovery-server-name")
        jsonWebToken = settings.text("discovery-jwt")
        let given = settings.text("discovery-user")
        let separate = settings.text("discovery-password")
        // The name may carry the password behind a colon, as etcdctl's --user does.
        if separate.isEmpty, let colon = given.firstIndex(of: ":") {
            user = String(given[..<colon])
            password = String(given[given.index(after: colon)...])
        } else {
            user = given
            password = separate
        }
    }
}
