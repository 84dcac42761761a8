import Configuration
import Logging
import Member
import Membership
import NIOCore
import TLS

/// TLS for a member's listeners and for its connections to other members, as the flags describe it.
struct MemberTLS: Sendable {
    /// For clients on https and unixs URLs, those that only read metrics or speak only HTTP included; nil without a
    /// certificate.
    let clients: TLSListener?
    /// For other members.
    let peers: TLSListener?
    /// For connections to other members.
    let dialler: TLSDialler

    /// Reads the files that the flags name, and makes certificates where the flags ask for that.
    init(_ configuration: MemberConfiguration, logger: Logger) throws(StartError) {
        let policy = configuration.tlsPolicy
        do throws(TLSError) {
            var client = try Self.settings(configuration.clientTLS, policy, logger)
            var peer = try Self.settings(configuration.peerTLS, policy, logger)
            let fixtures = configuration.dataDirectory + "/fixtures"
            if configuration.clientTLS.isAutomatic {
                let urls = configuration.listenClientURLs + configuration.listenClientHTTPURLs
                try Self.makeCertificate(&client, "client", in: fixtures, for: urls, policy, logger)
            }
            if configuration.peerTLS.isAutomatic {
                let urls = configuration.listenPeerURLs
                let isMade = try Self.makeCertificate(&peer, "peer", in: fixtures, for: urls, policy, logger)
                // Nobody has signed the other members' certificates either.
                peer.skipsVerification = isMade
            }
            if peer.trustedCAFile.isEmpty {
                // Members that were found by a domain's records show certificates for the domain.
                peer.serverName = configuration.discovery.srvDomain
            }
            peer.checksAddress = !configuration.peerTLS.skipsClientSANVerification
            clients = try Self.listener(client, protocols: ["h2", "http/1.1"], "client", logger)
            peers = try Self.listener(peer, protocols: ["http/1.1"], "peer", logger)
            dialler = try TLSDialler(peer) { Self.complain("peer", $0, logger) }
        } catch {
            throw StartError(error.description)
        }
        let clientURLs = configuration.listenClientURLs + configuration.listenClientHTTPURLs
        Self.warn(clientURLs, configuration.clientTLS, "client", logger)
        Self.warn(configuration.listenPeerURLs, configuration.peerTLS, "peer", logger)
    }

    /// What a listener at `url` puts in front of its connections to clients; nil when the URL asks for nothing.
    func forClients(_ url: ServiceURL) throws(StartError) -> TLSListener? {
        guard Self.isSecure(url) else { return nil }
        guard let clients else {
            throw StartError(
                "TLS key/cert (--cert-file, --key-file) must be provided for client url \(url.text) with HTTPS scheme")
        }
        return clients
    }

    /// What a listener at `url` puts in front of other members' connections; nil when the URL asks for nothing.
    func forPeers(_ url: ServiceURL) throws(StartError) -> TLSListener? {
        guard Self.isSecure(url) else { return nil }
        guard let peers else {
            throw StartError("cannot listen on TLS for \(url.authority): KeyFile and CertFile are not presented")
        }
        return peers
    }

    private static func isSecure(_ url: ServiceURL) -> Bool { url.scheme == .https || url.scheme == .unixs }

    private static func settings(
        _ files: TransportSecurity, _ policy: TLSPolicy, _ logger: Logger
    ) throws(TLSError) -> TLSSettings {
        var settings = TLSSettings(
            identity: .init(certificateFile: files.certificateFile, keyFile: files.keyFile),
            dialling: .init(certificateFile: files.clientCertificateFile, keyFile: files.clientKeyFile))
        settings.trustedCAFile = files.trustedCAFile
        settings.revocationListFile = files.revocationListFile
        settings.demandsCertificate = files.requiresClientCertificate
        settings.allowedCommonNames = files.allowedCommonNames
        settings.allowedHostnames = files.allowedHostnames
        settings.minimumVersion = policy.minimumVersion == .tls12 ? .tls12 : .tls13
        settings.maximumVersion = policy.maximumVersion.map { $0 == .tls12 ? .tls12 : .tls13 }
        for name in policy.cipherSuites {
            guard let suite = CipherSuite(named: name) else {
                throw .settings("unexpected TLS cipher suite \"\(name)\"")
            }
            settings.cipherSuites.append(suite.number)
        }
        return settings
    }

    @discardableResult
    private static func makeCertificate(
        _ settings: inout TLSSettings, _ kind: String, in fixtures: String, for urls: [ServiceURL],
        _ policy: TLSPolicy, _ logger: Logger
    ) throws(TLSError) -> Bool {
        guard settings.isEmpty else {
            logger.warning("ignoring \(kind) auto TLS since certs given")
            return false
        }
        settings.identity = try SelfSignedCertificate.pair(
            in: "\(fixtures)/\(kind)", hosts: urls.map(\.host), years: policy.selfSignedValidityYears
        ) { path in
            logger.info("created a self-signed certificate's file", metadata: ["path": .string(path)])
        }
        return true
    }

    private static func listener(
        _ settings: TLSSettings, protocols: [String], _ kind: String, _ logger: Logger
    ) throws(TLSError) -> TLSListener? {
        if settings.isEmpty { return nil }
        logger.info(
            "starting with \(kind) TLS",
            metadata: [
                "tls-info": .string(
                    "cert = \(settings.identity.certificateFile), key = \(settings.identity.keyFile), "
                        + "client-cert=\(settings.dialling.certificateFile), "
                        + "client-key=\(settings.dialling.keyFile), trusted-ca = \(settings.trustedCAFile), "
                        + "client-cert-auth = \(settings.demandsCertificate), "
                        + "crl-file = \(settings.revocationListFile)"),
                "cipher-suites": .array(settings.cipherSuites.map { .string("0x" + String($0, radix: 16)) }),
            ])
        for suite in settings.cipherSuites where !CipherSuites.isServed(suite) {
            logger.warning(
                "a TLS cipher suite is not served any more",
                metadata: ["cipher-suite": .string("0x" + String(suite, radix: 16))])
        }
        return try TLSListener(settings, protocols: protocols) { complain(kind, $0, logger) }
    }

    private static func complain(_ kind: String, _ reason: String, _ logger: Logger) {
        logger.warning(
            "failed to read changed TLS files; those read before stay in use",
            metadata: ["listener": .string(kind), "error": .string(reason)])
    }

    private static func warn(_ urls: [ServiceURL], _ files: TransportSecurity, _ kind: String, _ logger: Logger) {
        let flag = kind == "peer" ? "--peer-client-cert-auth" : "--client-cert-auth"
        for url in urls where url.scheme == .http {
            if !files.isEmpty {
                logger.warning(
                    "scheme is HTTP while key and cert files are present; ignoring key and cert files",
                    metadata: ["\(kind)-url": .string(url.text)])
            }
            if files.requiresClientCertificate {
                logger.warning(
                    "scheme is HTTP while \(flag) is enabled; ignoring client cert auth for this URL",
                    metadata: ["\(kind)-url": .string(url.text)])
            }
        }
    }
}
