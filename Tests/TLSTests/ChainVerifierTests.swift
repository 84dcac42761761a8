import CryptoExtras
import Foundation
import Testing
import X509

@testable import TLS

@Suite struct ChainVerifierTests {
    private func refusal(_ verifier: ChainVerifier, _ presented: [[UInt8]]) async -> String? {
        do throws(ChainVerifier.Refusal) {
            try await verifier.verify(presented)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func aCertificateOfATrustedAuthorityIsTaken() async throws {
        let authority = try TestAuthority()
        let verifier = ChainVerifier(roots: [authority.certificate], purpose: .client)
        #expect(await refusal(verifier, [try authority.issue().der]) == nil)
    }

    @Test func anotherAuthorityOfTheSameNameIsNotTrusted() async throws {
        let verifier = ChainVerifier(roots: [try TestAuthority().certificate], purpose: .client)
        let reason = await refusal(verifier, [try TestAuthority().issue().der])
        #expect(reason == "tls: failed to verify certificate: x509: certificate signed by unknown authority")
    }

    @Test func anIntermediateAuthorityMustBeShownOrTrusted() async throws {
        let root = try TestAuthority("root")
        let middle = try TestAuthority("middle", parent: root)
        let issued = try middle.issue()
        let verifier = ChainVerifier(roots: [root.certificate], purpose: .client)
        #expect(await refusal(verifier, [try issued.der, try middle.certificate.bytes]) == nil)
        #expect(await refusal(verifier, [try issued.der]) != nil)
        // As in Go whatever is in the file is trusted, also what is signed by another.
        let trusting = ChainVerifier(roots: [middle.certificate], purpose: .client)
        #expect(await refusal(trusting, [try issued.der]) == nil)
    }

    @Test func oneThatIsNoAuthoritySignsNothing() async throws {
        let root = try TestAuthority("root")
        let impostor = try TestAuthority("impostor", parent: root, isAuthority: false)
        let verifier = ChainVerifier(roots: [root.certificate], purpose: .client)
        #expect(await refusal(verifier, [try impostor.issue().der, try impostor.certificate.bytes]) != nil)
    }

    @Test func aCertificateThatIsTrustedByItselfNeedsNoAuthority() async throws {
        let own = try TestAuthority("self", isAuthority: false)
        let verifier = ChainVerifier(roots: [own.certificate], purpose: .server)
        #expect(await refusal(verifier, [try own.certificate.bytes]) == nil)
    }

    @Test(arguments: [(-7200.0, -3600.0, "is after"), (3600.0, 7200.0, "is before")])
    func aCertificateIsGoodInItsTimeOnly(from: Double, to: Double, words: String) async throws {
        let authority = try TestAuthority()
        let verifier = ChainVerifier(roots: [authority.certificate], purpose: .client)
        let reason = await refusal(verifier, [try authority.issue(from: from, to: to).der])
        #expect(reason?.contains("x509: certificate has expired or is not yet valid") == true)
        #expect(reason?.contains(words) == true)
    }

    @Test(
        arguments: [
            ([.clientAuth], true, false), ([.serverAuth], false, true), ([.any], true, true), ([], true, true),
        ] as [([ExtendedKeyUsage.Usage], Bool, Bool)])
    func whatACertificateIsForIsKept(usages: [ExtendedKeyUsage.Usage], client: Bool, server: Bool) async throws {
        let authority = try TestAuthority()
        let issued = try authority.issue(usages: usages).der
        for (purpose, isTaken) in [(ChainVerifier.Purpose.client, client), (.server, server)] {
            let verifier = ChainVerifier(roots: [authority.certificate], purpose: purpose)
            let reason = await refusal(verifier, [issued])
            #expect((reason == nil) == isTaken)
            if !isTaken { #expect(reason == ChainVerifier.Refusal.wrongUsage.description) }
        }
    }

    @Test(arguments: [Certificate.SignatureAlgorithm.sha1WithRSAEncryption, .sha256WithRSAEncryption])
    func signaturesWithSHA1AreNone(algorithm: Certificate.SignatureAlgorithm) async throws {
        let key = Certificate.PrivateKey(try _RSA.Signing.PrivateKey(keySize: .bits2048))
        func certificate(_ name: String, by algorithm: Certificate.SignatureAlgorithm) throws -> Certificate {
            try Certificate(
                version: .v3, serialNumber: .init(), publicKey: key.publicKey,
                notValidBefore: Date(timeIntervalSinceNow: -60), notValidAfter: Date(timeIntervalSinceNow: 60),
                issuer: try DistinguishedName { CommonName("authority") },
                subject: try DistinguishedName { CommonName(name) }, signatureAlgorithm: algorithm,
                extensions: try Certificate.Extensions {
                    Critical(
                        name == "authority"
                            ? BasicConstraints.isCertificateAuthority(maxPathLength: nil)
                            : BasicConstraints.notCertificateAuthority)
                }, issuerPrivateKey: key)
        }
        // The trusted one's own signature does not matter.
        let root = try certificate("authority", by: .sha1WithRSAEncryption)
        let verifier = ChainVerifier(roots: [root], purpose: .client)
        let reason = await refusal(verifier, [try certificate("someone", by: algorithm).bytes])
        #expect((reason == nil) == (algorithm == .sha256WithRSAEncryption))
    }

    @Test func fewCertificatesMayBePresented() async throws {
        let authority = try TestAuthority()
        let verifier = ChainVerifier(roots: [authority.certificate], purpose: .client)
        let issued = try authority.issue().der
        let filler = try authority.certificate.bytes
        let most = [issued] + Array(repeating: filler, count: TLSLimit.presentedCertificates - 1)
        #expect(await refusal(verifier, most) == nil)
        #expect(await refusal(verifier, most + [filler]) == ChainVerifier.Refusal.tooMany.description)
        #expect(await refusal(verifier, []) == ChainVerifier.Refusal.noCertificate.description)
        #expect(await refusal(verifier, [[0x30, 0x00]]) != nil)
    }

    @Test(
        arguments: [
            (["127.0.0.1"], "127.0.0.1", true), (["127.0.0.1"], "127.0.0.2", false), (["::1"], "[::1]", true),
            (["127.0.0.1"], "::ffff:127.0.0.1", true), (["localhost"], "localhost", true),
            (["LocalHost."], "localhost", true),
            (["*.example.com"], "a.example.com", true), (["*.example.com"], "a.b.example.com", false),
            (["*.example.com"], "example.com", false), (["a.*.com"], "a.b.com", false),
            (["127.0.0.1"], "localhost", false),
            (["localhost"], "127.0.0.1", false), ([], "someone", false), (["localhost"], "", false),
        ] as [([String], String, Bool)])
    func aHostIsNamedByAlternativeNamesOnly(hosts: [String], host: String, isNamed: Bool) throws {
        let names = CertificateNames(try TestAuthority().issue("someone", hosts: hosts).certificate)
        #expect(names.isFor(host) == isNamed)
        #expect(names.commonName == "someone")
    }
}
