import Crypto
import Foundation
import NIOCore
import Synchronization
import Testing

@testable import TLS

@Suite struct MaterialTests {
    private let folder: TestFolder
    private let authority: TestAuthority

    init() throws {
        folder = try TestFolder()
        authority = try TestAuthority()
    }

    private func failure(_ settings: TLSSettings) -> TLSError? {
        do throws(TLSError) {
            _ = try Materials(settings, role: .listener(protocols: []))
            return nil
        } catch {
            return error
        }
    }

    @Test func eachMistakeIsNamed() throws {
        let pair = try folder.write(authority.issue(), "good")
        let other = try folder.write(authority.issue(), "other")
        #expect(failure(TLSSettings(identity: pair)) == nil)
        func with(certificate: String? = nil, key: String? = nil) -> TLSError? {
            failure(
                TLSSettings(
                    identity: .init(certificateFile: certificate ?? pair.certificateFile, keyFile: key ?? pair.keyFile))
            )
        }
        let missing = folder.path + "/missing"
        #expect(with(certificate: missing) == .unreadable(path: missing, reason: "no such file or directory"))
        #expect(with(key: missing) == .unreadable(path: missing, reason: "no such file or directory"))
        #expect(with(key: "") == .halfPair(certificate: pair.certificateFile, key: ""))
        #expect(with(key: other.keyFile) == .mismatch(certificate: pair.certificateFile, key: other.keyFile))
        #expect(with(certificate: pair.keyFile) == .noCertificate(path: pair.keyFile))
        #expect(with(key: pair.certificateFile) == .noKey(path: pair.certificateFile))
        let text = try folder.write("text", "nothing of use\n")
        #expect(with(certificate: text) == .noCertificate(path: text))
        #expect(with(key: text) == .noKey(path: text))
        let broken = try folder.write("broken", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        #expect(with(key: broken) == .malformedKey(path: broken))
        let locked = try folder.write(
            "locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
        #expect(with(key: locked) == .encryptedKey(path: locked))
        #expect(with(key: locked)?.description.contains("protected by a password") == true)
    }

    @Test func mistakesInTheOtherFilesAreNamed() throws {
        var settings = TLSSettings(identity: try folder.write(authority.issue(), "good"))
        settings.trustedCAFile = try folder.write("text", "nothing of use\n")
        #expect(failure(settings) == .noCertificate(path: settings.trustedCAFile))
        settings.trustedCAFile = ""
        settings.revocationListFile = try folder.write("crl", "nothing of use\n")
        guard case .malformedRevocationList(settings.revocationListFile, _) = failure(settings) else {
            Issue.record("a list of revoked certificates that is none was taken")
            return
        }
        settings.revocationListFile = ""
        settings.allowedCommonNames = ["a"]
        settings.allowedHostnames = ["b"]
        #expect(failure(settings)?.description.contains("AllowedCN and AllowedHostname are mutually exclusive") == true)
    }

    @Test(
        arguments: [
            ([0xC02B], nil, true), ([0x1301], nil, true), ([0x1301], .tls12, false), ([0x0005], nil, false),
            ([0x0005, 0xC02B], nil, true),
        ] as [([UInt16], TLSSettings.Version?, Bool)])
    func someCipherSuiteMustBeLeft(suites: [UInt16], maximum: TLSSettings.Version?, isTaken: Bool) throws {
        var settings = TLSSettings(identity: try folder.write(authority.issue(), "good"))
        settings.cipherSuites = suites
        settings.maximumVersion = maximum
        #expect((failure(settings) == nil) == isTaken)
    }

    @Test func changedFilesAreReadAgainAndBadOnesAreNot() throws {
        let first = try authority.issue("first")
        var settings = TLSSettings(identity: try folder.write(first, "server"))
        settings.revocationListFile = try folder.write("crl", Self.revocations([1]))
        let complaints = Mutex<[String]>([])
        let source = try MaterialSource(settings, role: .listener(protocols: [])) { text in
            complaints.withLock { $0.append(text) }
        }
        #expect(source.current().revocations?.contains([1]) == true)
        try folder.write("crl", Self.revocations([2]))
        #expect(source.current().revocations?.contains([1]) == false)
        #expect(source.current().revocations?.contains([2]) == true)
        // Half of an exchange: the certificate is there, its key is not yet.
        let second = try authority.issue("second")
        try folder.write("server.crt", second.pem)
        let before = ObjectIdentifier(source.current().context)
        #expect(complaints.withLock { $0.count } == 1)
        #expect(complaints.withLock { $0.first?.contains("private key does not match public key") } == true)
        #expect(ObjectIdentifier(source.current().context) == before)
        #expect(complaints.withLock { $0.count } == 1)
        try folder.write("server.key", second.key.pemRepresentation + "\n")
        #expect(ObjectIdentifier(source.current().context) != before)
        // What is gone stays in use.
        try FileManager.default.removeItem(atPath: settings.revocationListFile)
        #expect(source.current().revocations?.contains([2]) == true)
        #expect(complaints.withLock { $0.last?.contains("no such file or directory") } == true)
    }

    /// That there was no file descriptor left, for example, is no reason to wait for the next certificate.
    @Test func filesThatCouldNotBeReadAreTriedAgainThoughTheyLookTheSame() throws {
        let settings = TLSSettings(identity: try folder.write(authority.issue("first"), "server"))
        let isFailing = Atomic(false)
        let complaints = Mutex<[String]>([])
        let source = try MaterialSource(
            settings, role: .listener(protocols: []),
            load: { (settings, role) throws(TLSError) in
                if isFailing.load(ordering: .relaxed) { throw .unreadable(path: "server", reason: "too many files") }
                return try Materials(settings, role: role)
            }, complain: { text in complaints.withLock { $0.append(text) } })
        let first = ObjectIdentifier(source.current().context)
        _ = try folder.write(authority.issue("second"), "server")
        isFailing.store(true, ordering: .relaxed)
        let now = NIODeadline.now()
        #expect(ObjectIdentifier(source.current(at: now).context) == first)
        // By now the files are settled: nothing about them will change any more.
        while let stamp = FileStamp(settings.identity.keyFile), !stamp.isSettled { usleep(10_000) }
        #expect(ObjectIdentifier(source.current(at: now).context) == first)
        isFailing.store(false, ordering: .relaxed)
        #expect(ObjectIdentifier(source.current(at: now + .seconds(2)).context) != first)
        #expect(complaints.withLock { $0 } == ["open server: too many files"])
    }

    private static func revocations(_ serials: [UInt8]) throws -> String {
        let der = try RevocationListMaker(serials: serials.map { [$0] }).der()
        return "-----BEGIN X509 CRL-----\n\(Data(der).base64EncodedString())\n-----END X509 CRL-----\n"
    }

    @Test func aSelfSignedPairIsMadeOnceAndKept() throws {
        var made: [String] = []
        let directory = folder.path + "/data/fixtures/client"
        let pair = try SelfSignedCertificate.pair(in: directory, hosts: ["127.0.0.1", "localhost"], years: 2) {
            made.append($0)
        }
        #expect(made == [directory + "/cert.pem", directory + "/key.pem"])
        #expect(failure(TLSSettings(identity: pair)) == nil)
        let certificate = try #require(try Materials.authorities(pair.certificateFile).first)
        let names = CertificateNames(certificate)
        #expect(names.isFor("127.0.0.1") && names.isFor("localhost") && !names.isFor("127.0.0.2"))
        let days = certificate.notValidAfter.timeIntervalSince(certificate.notValidBefore) / 86400
        #expect(days == 730)
        let mode = try FileManager.default.attributesOfItem(atPath: pair.keyFile)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        let again = try SelfSignedCertificate.pair(in: directory, hosts: ["other"], years: 2) { made.append($0) }
        #expect(again == pair)
        #expect(made.count == 2)
        #expect(throws: TLSError.self) { try SelfSignedCertificate.pair(in: directory, hosts: [], years: 0) }
    }
}
