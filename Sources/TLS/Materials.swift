import NIOCore
import NIOSSL
import SwiftASN1
import X509

/// What the files of some settings hold, read and checked: enough for any number of connections.
struct Materials: Sendable {
    let context: NIOSSLContext
    /// Checks the other side's certificate; nil when none is asked for.
    let verifier: ChainVerifier?
    let revocations: RevocationList?

    enum Role: Sendable {
        /// Listens, and speaks the protocols in this order of preference.
        case listener(protocols: [String])
        case dialler(protocols: [String])
    }

    /// Reads the files that `settings` name.
    init(_ settings: TLSSettings, role: Role) throws(TLSError) {
        try settings.check()
        let roots = settings.trustedCAFile.isEmpty ? nil : try Self.authorities(settings.trustedCAFile)
        switch role {
        case .listener(let protocols):
            guard !settings.isEmpty else { throw .halfPair(certificate: "", key: "") }
            let pair = try LoadedPair(settings.identity)
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: pair.chain, privateKey: pair.key)
            if settings.verifiesClients {
                verifier = ChainVerifier(roots: roots, purpose: .client)
                configuration.certificateVerification = .noHostnameVerification
                // Clients learn from the names which of their certificates to show. The check itself is the verifier's.
                configuration.trustRoots = .certificates(try Self.library(roots ?? [], settings.trustedCAFile))
                configuration.sendCANameList = true
            } else {
                verifier = nil
                configuration.certificateVerification = .none
            }
            // Nothing shows this one here, but a mistake in it is to be found now.
            if !settings.dialling.isEmpty { _ = try LoadedPair(settings.dialling) }
            revocations = try Self.revocations(settings.revocationListFile)
            context = try Self.context(configuration, settings, protocols, pair: settings.identity)
        case .dialler(let protocols):
            var configuration = TLSConfiguration.makeClientConfiguration()
            let files = settings.dialling.isEmpty ? settings.identity : settings.dialling
            if !files.isEmpty {
                let pair = try LoadedPair(files)
                configuration.certificateChain = pair.chain
                configuration.privateKey = pair.key
            }
            verifier = settings.skipsVerification ? nil : ChainVerifier(roots: roots, purpose: .server)
            configuration.certificateVerification = settings.skipsVerification ? .none : .noHostnameVerification
            // The verifier has the roots; the library would read the system's for nothing.
            configuration.trustRoots = .certificates([])
            revocations = nil
            context = try Self.context(configuration, settings, protocols, pair: files)
        }
    }

    private static func context(
        _ base: TLSConfiguration, _ settings: TLSSettings, _ protocols: [String], pair: TLSSettings.Pair
    ) throws(TLSError) -> NIOSSLContext {
        var configuration = base
        configuration.minimumTLSVersion = settings.minimumVersion.library
        configuration.maximumTLSVersion = settings.maximumVersion?.library
        configuration.applicationProtocols = protocols
        configuration.shutdownTimeout = shutdownTimeout
        configuration.curves = [.x25519_MLKEM768, .x25519, .secp256r1, .secp384r1, .secp521r1]
        configuration.verifySignatureAlgorithms = [
            .ecdsaSecp256R1Sha256, .rsaPssRsaeSha256, .rsaPkcs1Sha256, .ecdsaSecp384R1Sha384, .rsaPssRsaeSha384,
            .rsaPkcs1Sha384, .ecdsaSecp521R1Sha512, .rsaPssRsaeSha512, .rsaPkcs1Sha512, .ed25519,
        ]
        try choose(settings, &configuration)
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch NIOSSLError.failedToLoadPrivateKey {
            throw .mismatch(certificate: pair.certificateFile, key: pair.keyFile)
        } catch {
            // The library compares the pair with other errors, too; both parts were readable before.
            if "\(error)".contains("KEY_VALUES_MISMATCH") || "\(error)".contains("KEY_TYPE_MISMATCH") {
                throw .mismatch(certificate: pair.certificateFile, key: pair.keyFile)
            }
            throw .library("\(error)")
        }
    }

    private static func choose(_ settings: TLSSettings, _ configuration: inout TLSConfiguration) throws(TLSError) {
        if settings.cipherSuites.isEmpty { return }
        let suites = settings.cipherSuites.filter { CipherSuites.served.contains($0) }
        if !suites.isEmpty {
            configuration.cipherSuiteValues = suites.map { NIOTLSCipher($0) }
        } else if settings.cipherSuites.contains(where: { CipherSuites.ofTLS13.contains($0) }),
            settings.maximumVersion != .tls12
        {
            // Nothing is left for TLS 1.2.
            configuration.minimumTLSVersion = .tlsv13
        } else {
            throw .settings("none of the given TLS cipher suites is served")
        }
    }

    /// How long a connection that is closed waits for the other side's farewell.
    private static let shutdownTimeout = TimeAmount.milliseconds(500)

    /// The certificates in a file of trusted ones.
    static func authorities(_ path: String) throws(TLSError) -> [Certificate] {
        let bytes = try SmallFile.read(path)
        var certificates: [Certificate] = []
        for block in PEMBlocks(bytes).blocks where block.kind == "CERTIFICATE" {
            do {
                certificates.append(try Certificate(derEncoded: block.bytes))
            } catch {
                throw .malformedCertificate(path: path, reason: "\(error)")
            }
        }
        guard !certificates.isEmpty else { throw .noCertificate(path: path) }
        return certificates
    }

    private static func library(_ certificates: [Certificate], _ path: String) throws(TLSError) -> [NIOSSLCertificate] {
        do {
            return try certificates.map { certificate in
                var serializer = DER.Serializer()
                try serializer.serialize(certificate)
                return try NIOSSLCertificate(bytes: serializer.serializedBytes, format: .der)
            }
        } catch {
            throw .malformedCertificate(path: path, reason: "\(error)")
        }
    }

    private static func revocations(_ path: String) throws(TLSError) -> RevocationList? {
        if path.isEmpty { return nil }
        let bytes = try SmallFile.read(path)
        do throws(RevocationList.Malformed) {
            return try RevocationList(parsing: bytes)
        } catch {
            throw .malformedRevocationList(path: path, reason: error.description)
        }
    }
}

/// A certificate with those that lead to its authority, and its key.
private struct LoadedPair {
    let chain: [NIOSSLCertificateSource]
    let key: NIOSSLPrivateKeySource

    init(_ files: TLSSettings.Pair) throws(TLSError) {
        let certificates = try SmallFile.read(files.certificateFile)
        let keys = try SmallFile.read(files.keyFile)
        guard Self.contains(certificates, "-----BEGIN CERTIFICATE-----") else {
            throw .noCertificate(path: files.certificateFile)
        }
        guard Self.contains(keys, "-----BEGIN ") else { throw .noKey(path: files.keyFile) }
        if Self.contains(keys, "ENCRYPTED") { throw .encryptedKey(path: files.keyFile) }
        guard Self.contains(keys, "PRIVATE KEY-----") else { throw .noKey(path: files.keyFile) }
        do {
            chain = try NIOSSLCertificate.fromPEMBytes(certificates).map { .certificate($0) }
        } catch {
            throw .malformedCertificate(path: files.certificateFile, reason: "\(error)")
        }
        do {
            key = .privateKey(try NIOSSLPrivateKey(bytes: keys, format: .pem))
        } catch {
            throw .malformedKey(path: files.keyFile)
        }
    }

    private static func contains(_ bytes: [UInt8], _ text: String) -> Bool {
        String(decoding: bytes, as: UTF8.self).contains(text)
    }
}
