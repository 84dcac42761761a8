import Auth
import Crypto
import CryptoExtras
import Foundation
import Testing
import X509

@testable import AuthToken

/// Tokens that are signed: whom they name, until when, and what is no token. Keys of every method are tried against
/// genuine etcd in Tests/EndToEnd/test_auth_jwt.py.
@Suite struct WebTokensTests {
    private let secret = Array("a secret of this test".utf8)

    private func tokens(ttl: Int64 = 60_000, secret: [UInt8]? = nil, _ method: SignatureMethod = .hs256) throws
        -> WebTokens
    {
        let keys = try WebTokens.Keys(method: method, publicKeys: nil, privateKey: secret ?? self.secret)
        return WebTokens(method: method, ttl: ttl, keys: keys)
    }

    @Test func aTokenNamesItsCallerUntilItEnds() throws {
        let tokens = try tokens()
        let caller = Caller(user: "bob", revision: 7)
        let token = try tokens.token(for: caller, now: 1_000)
        for _ in 0..<2 {
            #expect(tokens.caller(of: token, now: 1_059) == caller)
            #expect(tokens.caller(of: token, now: 1_060) == nil)
        }
    }

    @Test func whatIsNoToken() throws {
        let tokens = try tokens()
        let token = try tokens.token(for: Caller(user: "bob", revision: 7), now: 1_000)
        let parts = token.split(separator: ".").map(String.init)
        let none = Base64URL.encode(Array(#"{"alg":"none"}"#.utf8))
        let other = Base64URL.encode(Array(#"{"alg":"HS384"}"#.utf8))
        for text in [
            "", "a", "a.b.c", "\(parts[0]).\(parts[1])", "\(parts[0]).\(parts[1]).", token + "A", "." + token,
            "\(none).\(parts[1]).", "\(other).\(parts[1]).\(parts[2])", "\(parts[0]).e30.\(parts[2])",
            String(repeating: "a", count: 20_000),
        ] {
            #expect(tokens.caller(of: text, now: 1_001) == nil, "\(text.prefix(80))")
        }
        #expect(try self.tokens(secret: [1, 2, 3]).caller(of: token, now: 1_001) == nil)
    }

    /// Claims that another program signed with the same secret.
    @Test(
        arguments: [
            (#"{"username":"bob","revision":7}"#, "bob"), (#"{"username":"bob","revision":7.0,"exp":2000}"#, "bob"),
            (#"{"username":"bob","revision":7,"exp":1000}"#, nil),
            (#"{"username":"bob","revision":7,"nbf":2000}"#, nil),
            (#"{"username":"bob"}"#, nil), (#"{"revision":7}"#, nil), (#"{"username":7,"revision":7}"#, nil),
            (#"{"username":"bob","revision":"7"}"#, nil), ("[]", nil), ("nothing", nil),
            // Of two claims of one name the last counts, however it is written and whatever is inside others.
            (#"{"username":"root","revision":7,"username":"bob"}"#, "bob"),
            (#" { "user\u006eame" : "root", "revision":7 , "username":"b\u006fb" } "#, "bob"),
            (#"{"x":{"username":"root"},"username":"bob","y":["\"},{",{"username":"root"}],"revision":7}"#, "bob"),
            (#"{"username":"bob","revision":7,"username":5}"#, nil), (#"{"username":"bob","revision":7},"#, nil),
            ("\u{feff}{\"username\":\"bob\",\"revision\":7}", nil),
            // 0 is no time, and null is none either; a revision is cut to a whole number.
            (#"{"username":"bob","revision":7.5,"exp":0,"nbf":0}"#, "bob"),
            (#"{"username":"bob","revision":7,"exp":null}"#, nil),
            (#"{"username":"bob","revision":7,"exp":"2000"}"#, nil),
            (#"{"username":"bob","revision":7,"nbf":null}"#, nil), (#"{"username":"bob","revision":-1}"#, nil),
            (#"{"username":"bob","revision":1e30}"#, nil), (#"{"username":"bob","revision":null}"#, nil), ("{}", nil),
        ] as [(String, String?)])
    func claims(_ body: String, _ user: String?) throws {
        let message =
            Base64URL.encode(Array(#"{"typ":"JWT","alg":"HS256"}"#.utf8)) + "." + Base64URL.encode(Array(body.utf8))
        let code = HMAC<SHA256>.authenticationCode(for: Array(message.utf8), using: SymmetricKey(data: secret))
        let token = message + "." + Base64URL.encode(Array(code))
        #expect(try tokens().caller(of: token, now: 1_000)?.user == user)
    }

    @Test func otherKeysEndOldTokens() throws {
        let tokens = try tokens()
        let token = try tokens.token(for: Caller(user: "bob", revision: 7), now: 1_000)
        #expect(tokens.caller(of: token, now: 1_001) != nil)
        tokens.replaceKeys(try WebTokens.Keys(method: .hs256, publicKeys: nil, privateKey: [9, 9, 9]))
        #expect(tokens.caller(of: token, now: 1_001) == nil)
    }

    /// A public key may come in a certificate; keys of RSA from 1024 bits on are taken, as in etcd.
    @Test func keysInCertificates() throws {
        func certificate(_ key: Certificate.PrivateKey) throws -> String {
            let name = try DistinguishedName { CommonName("signer") }
            return try Certificate(
                version: .v3, serialNumber: .init(), publicKey: key.publicKey, notValidBefore: Date(),
                notValidAfter: Date(timeIntervalSinceNow: 60), issuer: name, subject: name, extensions: .init(),
                issuerPrivateKey: key
            ).serializeAsPEM().pemString
        }
        let (p256, p384, p521) = (P256.Signing.PrivateKey(), P384.Signing.PrivateKey(), P521.Signing.PrivateKey())
        let edwards = Curve25519.Signing.PrivateKey()
        let (rsa, weak) = (
            try _RSA.Signing.PrivateKey(keySize: .bits2048),
            try _RSA.Signing.PrivateKey(unsafeKeySize: .init(bitCount: 1024))
        )
        let rows: [(SignatureMethod, String, String)] = [
            (.es256, p256.pemRepresentation, try certificate(.init(p256))),
            (.es384, p384.pemRepresentation, try certificate(.init(p384))),
            (.es512, p521.pemRepresentation, try certificate(.init(p521))),
            (.edDSA, try Certificate.PrivateKey(edwards).serializeAsPEM().pemString, try certificate(.init(edwards))),
            (.rs256, rsa.pemRepresentation, try certificate(.init(rsa))),
            (.ps384, rsa.pemRepresentation, try certificate(.init(rsa))),
            (.rs512, weak.pemRepresentation, weak.publicKey.pemRepresentation),
        ]
        for (method, privateKey, publicKey) in rows {
            let signing = try WebTokens.Keys(method: method, publicKeys: nil, privateKey: Array(privateKey.utf8))
            let both = try WebTokens.Keys(
                method: method, publicKeys: Array(publicKey.utf8), privateKey: Array(privateKey.utf8))
            let verifying = try WebTokens.Keys(method: method, publicKeys: Array(publicKey.utf8), privateKey: nil)
            let caller = Caller(user: "bob", revision: 7)
            let token = try WebTokens(method: method, ttl: 60_000, keys: signing).token(for: caller, now: 1_000)
            for keys in [both, verifying] {
                let tokens = WebTokens(method: method, ttl: 60_000, keys: keys)
                #expect(tokens.caller(of: token, now: 1_000) == caller, "\(method)")
            }
        }
        let error = #expect(throws: KeyError.self) {
            try WebTokens.Keys(method: .es384, publicKeys: Array(rows[0].2.utf8), privateKey: nil)
        }
        #expect(error?.description.hasPrefix("\"CERTIFICATE\" is no public key for ES384: ") == true)
    }

    @Test func keysThatOnlyVerify() throws {
        let key = Curve25519.Signing.PrivateKey()
        let spki: [UInt8] =
            [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00] + key.publicKey.rawRepresentation
        let pem = Self.pem("PUBLIC KEY", spki)
        let keys = try WebTokens.Keys(method: .edDSA, publicKeys: Array((pem + pem).utf8), privateKey: nil)
        let tokens = WebTokens(method: .edDSA, ttl: 1_000, keys: keys)
        #expect(!tokens.canSign)
        #expect(throws: KeyError.self) { try tokens.token(for: .nobody, now: 0) }
        let other = Self.pem(
            "PRIVATE KEY",
            [
                0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
            ] + Curve25519.Signing.PrivateKey().rawRepresentation)
        #expect(throws: KeyError.self, "the private key is that of none of the public ones") {
            try WebTokens.Keys(method: .edDSA, publicKeys: Array(pem.utf8), privateKey: Array(other.utf8))
        }
        #expect(throws: KeyError.self) { try WebTokens.Keys(method: .edDSA, publicKeys: [], privateKey: nil) }
        #expect(throws: KeyError.self) { try WebTokens.Keys(method: .hs256, publicKeys: nil, privateKey: []) }
    }

    private static func pem(_ label: String, _ bytes: [UInt8]) -> String {
        var text = Base64URL.encode(bytes).replacing("-", with: "+").replacing("_", with: "/")
        while text.utf8.count % 4 != 0 { text += "=" }
        return "-----BEGIN \(label)-----\n\(text)\n-----END \(label)-----\n"
    }
}

@Suite struct TokenOptionsTests {
    @Test func kinds() throws {
        #expect(try TokenOptions(parsing: "simple").kind == .simple)
        #expect(try TokenOptions(parsing: "").kind == .none)
        let options = try TokenOptions(parsing: "jwt,sign-method=RS256,pub-key=p,priv-key=k,ttl=1h30m,color=red")
        #expect(options.unknown == ["color"])
        let jwt = try #require(options.jwt)
        #expect(jwt.method == .rs256)
        #expect(jwt.publicKeyPath == "p" && jwt.privateKeyPath == "k")
        #expect(jwt.ttl == 5_400_000)
        #expect(try TokenOptions(parsing: "jwt,sign-method=HS256,priv-key=k").jwt?.ttl == 300_000)
    }

    @Test(arguments: [
        "cookie", "jwt", "jwt,sign-method=none", "jwt,sign-method=RS256", "jwt,sign-method=HS256,pub-key=p",
        "jwt,sign-method=RS256,priv-key=k,ttl=soon", "jwt,sign-method", "jwt,sign-method=RS256,sign-method=RS256",
    ])
    func mistakes(_ text: String) {
        #expect(throws: TokenOptions.Invalid.self) { try TokenOptions(parsing: text) }
    }
}
