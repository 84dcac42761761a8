import Crypto
import Foundation
import Glibc
import SwiftASN1
import X509

/// A certificate that a member makes for itself, so that its connections are encrypted though nobody's identity is known:
/// what `--auto-tls` and `--peer-auto-tls` mean.
public enum SelfSignedCertificate {
    /// The pair in `directory`, as `cert.pem` and `key.pem`; made when it is not there yet.
    /// - Parameters:
    ///   - hosts: addresses and names that the certificate is for.
    ///   - years: how long it is valid; at least one.
    ///   - made: called with the paths of files that were made.
    public static func pair(
        in directory: String, hosts: [String], years: Int, made: (String) -> Void = { _ in }
    ) throws(TLSError) -> TLSSettings.Pair {
        guard years > 0 else {
            throw .settings("selfSignedCertValidity is invalid,it should be greater than 0")
        }
        let absolute = directory.hasPrefix("/") ? directory : workingDirectory() + "/" + directory
        let pair = TLSSettings.Pair(certificateFile: absolute + "/cert.pem", keyFile: absolute + "/key.pem")
        if access(pair.certificateFile, F_OK) == 0, access(pair.keyFile, F_OK) == 0 { return pair }
        let (certificate, key): (String, String)
        do {
            (certificate, key) = try make(hosts: hosts, years: years)
        } catch {
            throw .library("cannot generate a certificate: \(error)")
        }
        try makeDirectories(absolute)
        try write(certificate, to: pair.certificateFile, mode: 0o644)
        made(pair.certificateFile)
        try write(key, to: pair.keyFile, mode: 0o600)
        made(pair.keyFile)
        return pair
    }

    private static func make(hosts: [String], years: Int) throws -> (certificate: String, key: String) {
        let key = P256.Signing.PrivateKey()
        let subject = try DistinguishedName { OrganizationName("etcd") }
        // Whole seconds are what a certificate says; one that began a moment later would not be valid yet.
        let now = Date(timeIntervalSince1970: Date().timeIntervalSince1970.rounded(.down))
        let names = hosts.filter { !$0.isEmpty }.map { host -> GeneralName in
            if let address = HostAddress(host) {
                return .ipAddress(ASN1OctetString(contentBytes: address.bytes[...]))
            }
            return .dnsName(host)
        }
        let extensions = try Certificate.Extensions {
            Critical(KeyUsage(digitalSignature: true, keyEncipherment: true))
            try ExtendedKeyUsage([.serverAuth])
            Critical(BasicConstraints.notCertificateAuthority)
            if !names.isEmpty { SubjectAlternativeNames(names) }
        }
        let certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey),
            notValidBefore: now, notValidAfter: now.addingTimeInterval(Double(years) * secondsPerYear),
            issuer: subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256, extensions: extensions,
            issuerPrivateKey: .init(key))
        return (try certificate.serializeAsPEM().pemString + "\n", key.pemRepresentation + "\n")
    }

    private static let secondsPerYear = 365.0 * 24 * 60 * 60

    private static func workingDirectory() -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard getcwd(&buffer, buffer.count) != nil else { return "." }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func makeDirectories(_ path: String) throws(TLSError) {
        var built = ""
        for part in path.split(separator: "/") {
            built += "/" + part
            if mkdir(built, 0o700) != 0, errno != EEXIST {
                throw failure(built)
            }
        }
    }

    /// Writes the file whole or not at all: the next start takes for good what is there.
    private static func write(_ text: String, to path: String, mode: mode_t) throws(TLSError) {
        let unfinished = path + ".tmp"
        let descriptor = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw failure(path) }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        guard bytes.withUnsafeBytes({ Glibc.write(descriptor, $0.baseAddress, $0.count) }) == bytes.count,
            fsync(descriptor) == 0, rename(unfinished, path) == 0
        else { throw failure(path) }
    }

    private static func failure(_ path: String) -> TLSError {
        .unreadable(path: path, reason: String(cString: strerror(errno)).lowercased())
    }
}
