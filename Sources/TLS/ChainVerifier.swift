import Foundation
import SwiftASN1
import X509

/// Decides whether a certificate leads to one that is trusted.
struct ChainVerifier: Sendable {
    /// What the certificate is shown for.
    enum Purpose: Sendable {
        case client, server

        var usage: ExtendedKeyUsage.Usage { self == .client ? .clientAuth : .serverAuth }
    }

    /// Why a certificate is not taken, in Go's words.
    struct Refusal: Error, Equatable, CustomStringConvertible {
        var description: String

        static let noCertificate = Refusal(description: "tls: client didn't provide a certificate")
        static let unknownAuthority = Refusal(
            description: "tls: failed to verify certificate: x509: certificate signed by unknown authority")
        static let wrongUsage = Refusal(
            description: "tls: failed to verify certificate: x509: certificate specifies an incompatible key usage")
        static let tooMany = Refusal(description: "tls: too many certificates presented")
    }

    private let roots: [Certificate]
    /// nil for what the system trusts, which is read when it is first needed.
    private let store: CertificateStore?
    private let purpose: Purpose

    /// A verifier that trusts `roots`, or what the system trusts when that is nil.
    init(roots: [Certificate]?, purpose: Purpose) {
        self.roots = roots ?? []
        self.purpose = purpose
        store = roots.map { CertificateStore($0) }
    }

    /// Checks `presented`, the other side's own certificate first, and returns that one.
    @discardableResult
    func verify(_ presented: [[UInt8]]) async throws(Refusal) -> Certificate {
        guard presented.count <= TLSLimit.presentedCertificates else { throw .tooMany }
        let certificates: [Certificate]
        do {
            certificates = try presented.map { try Certificate(derEncoded: $0) }
        } catch {
            throw Refusal(description: "tls: failed to parse certificate: \(error)")
        }
        guard let leaf = certificates.first else { throw .noCertificate }
        try Self.checkValidity(leaf)
        // One that is trusted by itself need not be an authority.
        if roots.contains(leaf) {
            guard UsagePolicy.allows(purpose.usage, leaf) else { throw .wrongUsage }
            return leaf
        }
        var verifier = Verifier(rootCertificates: store ?? .systemTrustRoots) {
            RFC5280Policy()
            UsagePolicy(usage: purpose.usage)
        }
        let result = await verifier.validate(leaf: leaf, intermediates: CertificateStore(certificates.dropFirst()))
        switch result {
        case .validCertificate: return leaf
        case .couldNotValidate(let failures):
            if failures.contains(where: { $0.policyFailureReason.description == UsagePolicy.failure }) {
                throw .wrongUsage
            }
            throw .unknownAuthority
        }
    }

    /// Throws unless `certificate` is valid now.
    static func checkValidity(_ certificate: Certificate) throws(Refusal) {
        let now = Date()
        let reason: String
        if now < certificate.notValidBefore {
            reason = "is before \(timestamp(certificate.notValidBefore))"
        } else if now > certificate.notValidAfter {
            reason = "is after \(timestamp(certificate.notValidAfter))"
        } else {
            return
        }
        throw Refusal(
            description: "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: "
                + "current time \(timestamp(now)) \(reason)")
    }

    private static func timestamp(_ date: Date) -> String { date.formatted(.iso8601) }
}

/// What Go asks of a chain besides RFC 5280's rules for paths: each certificate that says what it is for must name the
/// purpose; an authority that says what its key may do must be allowed to sign certificates; and none but the trusted one,
/// whose signature nobody looks at, may be signed with SHA-1.
private struct UsagePolicy: VerifierPolicy {
    static let failure = "incompatible key usage"

    let usage: ExtendedKeyUsage.Usage
    /// Go knows policies and places of revocation lists, too, and makes nothing of them.
    let verifyingCriticalExtensions: [ASN1ObjectIdentifier] = [
        .X509ExtensionID.extendedKeyUsage, .X509ExtensionID.subjectAlternativeName, [2, 5, 29, 31], [2, 5, 29, 32],
    ]

    static func allows(_ usage: ExtendedKeyUsage.Usage, _ certificate: Certificate) -> Bool {
        do {
            guard let usages = try certificate.extensions.extendedKeyUsage else { return true }
            return usages.contains(usage) || usages.contains(.any)
        } catch {
            return false
        }
    }

    private static func maySign(_ certificate: Certificate) -> Bool {
        do {
            return try certificate.extensions.keyUsage?.keyCertSign ?? true
        } catch {
            return false
        }
    }

    /// Whether the alternative names can be told, where whoever cannot tell them must not go on.
    private static func hasKnownNames(_ certificate: Certificate) -> Bool {
        guard certificate.extensions[oid: .X509ExtensionID.subjectAlternativeName]?.critical == true else {
            return true
        }
        let names = (try? certificate.extensions.subjectAlternativeNames).map(Array.init) ?? []
        return names.contains {
            switch $0 {
            case .dnsName, .ipAddress, .rfc822Name, .uniformResourceIdentifier: true
            default: false
            }
        }
    }

    func chainMeetsPolicyRequirements(chain: UnverifiedCertificateChain) -> PolicyEvaluationResult {
        if chain.dropLast().contains(where: { $0.signatureAlgorithm == .sha1WithRSAEncryption }) {
            return .failsToMeetPolicy(reason: "insecure algorithm SHA1-RSA")
        }
        guard chain.dropFirst().allSatisfy(Self.maySign) else {
            return .failsToMeetPolicy(reason: "an authority that may not sign certificates")
        }
        guard chain.allSatisfy(Self.hasKnownNames) else {
            return .failsToMeetPolicy(reason: "unhandled critical extension")
        }
        return chain.allSatisfy { Self.allows(usage, $0) } ? .meetsPolicy : .failsToMeetPolicy(reason: Self.failure)
    }
}
