import CryptoExtras
import Foundation
import SwiftASN1
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

    /// As in Go, an authority that says what its key is for must say this.
    @Test(arguments: [(nil, true), (true, true), (false, false)] as [(Bool?, Bool)], [true, false])
    func anAuthorityMustBeAllowedToSign(_ row: (maySign: Bool?, isTaken: Bool), asRoot: Bool) async throws {
        let usage = row.maySign.map { KeyUsage(digitalSignature: true, keyCertSign: $0) }
        let root = try TestAuthority("root", usage: asRoot ? usage : nil)
        let signer = asRoot ? root : try TestAuthority("middle", parent: root, usage: usage)
        let verifier = ChainVerifier(roots: [root.certificate], purpose: .client)
        let reason = await refusal(verifier, [try signer.issue().der, try signer.certificate.bytes])
        #expect((reason == nil) == row.isTaken)
    }

    /// Critical are extensions without which a certificate must not be understood: certificate policies, which nobody asks
    /// for; names of another kind alone; and something that nobody knows.
    @Test(
        arguments: [
            ([2, 5, 29, 32], [0x30, 0x06, 0x30, 0x04, 0x06, 0x02, 0x2a, 0x03], true),
            ([2, 5, 29, 31], [0x30, 0x00], true),
            ([2, 5, 29, 17], [0x30, 0x0a, 0xa0, 0x08, 0x06, 0x02, 0x2a, 0x03, 0xa0, 0x02, 0x05, 0x00], false),
            ([2, 5, 29, 17], [0x30, 0x03, 0x82, 0x01, 0x61], true),
            ([1, 2, 3, 4, 5], [0x05, 0x00], false),
        ] as [([UInt], [UInt8], Bool)])
    func criticalExtensionsMustBeKnown(oid: [UInt], value: [UInt8], isTaken: Bool) async throws {
        let authority = try TestAuthority()
        let verifier = ChainVerifier(roots: [authority.certificate], purpose: .client)
        for critical in [true, false] {
            let more = Certificate.Extension(
                oid: try ASN1ObjectIdentifier(elements: oid), critical: critical, value: value[...])
            let reason = await refusal(verifier, [try authority.issue(also: [more]).der])
            #expect((reason == nil) == (isTaken || !critical), "critical: \(critical)")
        }
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

    /// The common name in each form of text that Go reads. The last one counts; one that cannot be read is no name, and leaves
    /// none to those before it.
    @Test(
        arguments: [
            ([[0x0c, 3, 0x61, 0xc3, 0xa9]], "aé"), ([[0x13, 1, 0x61]], "a"), ([[0x16, 1, 0x61]], "a"),
            ([[0x14, 1, 0x61]], "a"), ([[0x14, 1, 0xe9]], ""), ([[0x12, 2, 0x20, 0x35]], " 5"),
            ([[0x12, 1, 0x61]], ""),
            ([[0x1e, 4, 0, 0x61, 0, 0xe9]], "aé"), ([[0x1e, 3, 0, 0x61, 0]], ""), ([[0x1e, 2, 0xd8, 0]], ""),
            ([[0x1a, 1, 0x61]], ""), ([[0x04, 1, 0x61]], ""), ([[0x1e, 0]], ""), ([], ""),
            ([[0x0c, 1, 0x61], [0x0c, 1, 0x62]], "b"), ([[0x0c, 1, 0x61], [0x1a, 1, 0x62]], ""),
        ] as [([[UInt8]], String)])
    func commonNames(_ values: [[UInt8]], _ name: String) throws {
        let subject = DistinguishedName(
            try values.map { value in
                RelativeDistinguishedName(
                    .init(type: .RDNAttributeType.commonName, value: try ASN1Any(derEncoded: value)))
            })
        #expect(CertificateNames(try TestAuthority().issue(subject: subject).certificate).commonName == name)
    }
}
