import Crypto
import Foundation
import SwiftASN1
import X509

@testable import TLS

/// Makes certificates for tests.
struct TestAuthority {
    let certificate: Certificate
    private let key: P256.Signing.PrivateKey

    /// - Parameter usage: what its key may do; nil when it does not say.
    init(
        _ name: String = "authority", parent: TestAuthority? = nil, isAuthority: Bool = true, usage: KeyUsage? = nil
    ) throws {
        key = P256.Signing.PrivateKey()
        let subject = try DistinguishedName { CommonName(name) }
        certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey),
            notValidBefore: Date(timeIntervalSinceNow: -86400), notValidAfter: Date(timeIntervalSinceNow: 86400),
            issuer: parent?.certificate.subject ?? subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(
                    isAuthority
                        ? BasicConstraints.isCertificateAuthority(maxPathLength: nil)
                        : BasicConstraints.notCertificateAuthority)
                if let usage { Critical(usage) }
            }, issuerPrivateKey: .init(parent?.key ?? key))
    }

    struct Issued {
        var certificate: Certificate
        var key: P256.Signing.PrivateKey

        var der: [UInt8] {
            get throws { try certificate.bytes }
        }
        var pem: String {
            get throws { try certificate.serializeAsPEM().pemString + "\n" }
        }
    }

    func issue(
        _ name: String = "someone", hosts: [String] = [],
        usages: [ExtendedKeyUsage.Usage] = [.clientAuth, .serverAuth],
        from: TimeInterval = -3600, to: TimeInterval = 3600, serial: Certificate.SerialNumber = .init(),
        subject: DistinguishedName? = nil, also more: [Certificate.Extension] = []
    ) throws -> Issued {
        let own = P256.Signing.PrivateKey()
        let names = hosts.map { host -> GeneralName in
            HostAddress(host).map { .ipAddress(ASN1OctetString(contentBytes: $0.bytes[...])) } ?? .dnsName(host)
        }
        let certificate = try Certificate(
            version: .v3, serialNumber: serial, publicKey: .init(own.publicKey),
            notValidBefore: Date(timeIntervalSinceNow: from), notValidAfter: Date(timeIntervalSinceNow: to),
            issuer: certificate.subject, subject: try subject ?? DistinguishedName { CommonName(name) },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                for extra in more { extra }
                Critical(BasicConstraints.notCertificateAuthority)
                if !usages.isEmpty { try ExtendedKeyUsage(usages) }
                if !names.isEmpty { SubjectAlternativeNames(names) }
            }, issuerPrivateKey: .init(key))
        return Issued(certificate: certificate, key: own)
    }
}

extension Certificate {
    var bytes: [UInt8] {
        get throws {
            var serializer = DER.Serializer()
            try serializer.serialize(self)
            return serializer.serializedBytes
        }
    }
}

/// A folder of files that is gone with the test.
final class TestFolder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "/tls-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        try text.write(toFile: path + "/" + name, atomically: true, encoding: .utf8)
        return path + "/" + name
    }

    func write(_ issued: TestAuthority.Issued, _ name: String) throws -> TLSSettings.Pair {
        TLSSettings.Pair(
            certificateFile: try write(name + ".crt", issued.pem),
            keyFile: try write(name + ".key", issued.key.pemRepresentation + "\n"))
    }
}
