import Testing

@testable import Password

/// Hashes that Go's bcrypt wrote (etcd's library), and what a password may be.
@Suite struct BcryptTests {
    /// Well-known test vectors of bcrypt, under the letter that Go writes.
    @Test(arguments: [
        ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkY8jIucDrjc8deX1s."),
        ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
        ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
        ("abcdefghijklmnopqrstuvwxyz", "$2a$06$.rCVZVOThsIa97pEDOxvGuRRgzG64bvtJ0938xuqzv18d3ZpQhstC"),
        ("~!@#$%^&*()      ~!@#$%^&*()PNBFRD", "$2a$06$fPIsBO8qRqkjj273rfaOI.HtSV9jLDpTbZn782DC6/t7qT67P6FfO"),
    ])
    func knownHashes(_ password: String, _ hash: String) {
        let hash = Array(hash.utf8)
        #expect(Bcrypt.verify(password.utf8, against: hash) == (hash.count == 60))
        #expect(!Bcrypt.verify((password + "x").utf8, against: hash))
    }

    @Test func hashesAreThoseOfGo() throws {
        // The salt and the hash of the vector for "a".
        let salt: [UInt8] = [
            0xa3, 0x61, 0x2d, 0x8c, 0x9a, 0x37, 0xda, 0xc2, 0xf9, 0x9d, 0x94, 0xda, 0x03, 0xbd, 0x45, 0x21,
        ]
        let hash = try Bcrypt.hash(Array("a".utf8), cost: 6, salt: salt)
        #expect(String(decoding: hash, as: UTF8.self) == "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe")
    }

    @Test func whatIsHashedIsVerified() throws {
        for password in ["", "secret", "päßwörd", String(repeating: "x", count: 72)] {
            let hash = try Bcrypt.hash(Array(password.utf8), cost: 4, salt: (0..<16).map { UInt8($0 * 15) })
            #expect(hash.count == 60)
            #expect(Bcrypt.verify(password.utf8, against: hash))
            #expect(!Bcrypt.verify((password + "!").utf8, against: hash) || password.utf8.count == 72)
        }
    }

    @Test func passwordsThatCannotBeHashed() {
        let salt = [UInt8](repeating: 1, count: 16)
        #expect(throws: Bcrypt.Failure.tooLong) {
            try Bcrypt.hash([UInt8](repeating: 65, count: 73), cost: 4, salt: salt)
        }
        #expect(throws: Bcrypt.Failure.containsZero) { try Bcrypt.hash([65, 0, 66], cost: 4, salt: salt) }
        #expect(throws: Never.self) { try Bcrypt.hashCut([UInt8](repeating: 65, count: 73), cost: 4, salt: salt) }
    }

    @Test(arguments: ["", "x", "$2a$10$", "$1$salt$hash", "*0", String(repeating: "$", count: 60)])
    func whatIsNoHashIsNobodysPassword(_ text: String) {
        #expect(!Bcrypt.verify("x".utf8, against: Array(text.utf8)))
    }
}
