import Auth
import Testing

@testable import AuthToken

@Suite struct SimpleTokensTests {
    @Test func aTokenLastsFromUseToUse() {
        let tokens = SimpleTokens(ttl: 1_000)
        tokens.assign("abc.7", user: "bob", now: 0)
        #expect(tokens.user(of: "abc.7", now: 999) == "bob")
        #expect(tokens.user(of: "abc.7", now: 1_998) == "bob")
        #expect(tokens.user(of: "abc.7", now: 2_998) == nil)
        #expect(tokens.user(of: "abc.7", now: 2_998) == nil)
        #expect(tokens.user(of: "abc.8", now: 0) == nil)
    }

    @Test func aUsersTokensEndTogether() {
        let tokens = SimpleTokens(ttl: 1_000)
        for (token, user) in [("a.1", "bob"), ("b.2", "eve"), ("c.3", "bob")] {
            tokens.assign(token, user: user, now: 0)
        }
        tokens.invalidate(user: "bob")
        #expect(tokens.user(of: "a.1", now: 1) == nil)
        #expect(tokens.user(of: "b.2", now: 1) == "eve")
        tokens.invalidateAll()
        #expect(tokens.count == 0)
    }

    @Test func spellingsOfOneLetterAreTwoUsers() {
        let tokens = SimpleTokens(ttl: 1_000)
        tokens.assign("a.1", user: "\u{e9}", now: 0)
        tokens.invalidate(user: "e\u{301}")
        #expect(tokens.count == 1)
    }

    @Test func beyondTheLimitTheOldestGo() {
        let tokens = SimpleTokens(ttl: 1_000, limit: 8)
        for index in 0..<8 { tokens.assign("t.\(index)", user: "bob", now: Int64(index)) }
        tokens.assign("t.8", user: "bob", now: 8)
        #expect(tokens.count == 7)
        #expect(tokens.user(of: "t.0", now: 9) == nil)
        #expect(tokens.user(of: "t.8", now: 9) == "bob")
    }

    @Test func nobodysLoginsEndTheTokensOfOthers() {
        let tokens = SimpleTokens(ttl: 1_000, limit: 100)
        for index in 0..<3 { tokens.assign("root.\(index)", user: "root", now: 0) }
        for index in 0..<20 { tokens.assign("ann.\(index)", user: "ann", now: 1) }
        // All at one moment: how long they last tells none from another.
        for index in 0..<1_000 { tokens.assign("eve.\(index)", user: "eve", now: 2) }
        #expect(tokens.count <= 100)
        #expect((0..<3).allSatisfy { tokens.user(of: "root.\($0)", now: 3) == "root" })
        #expect((0..<20).allSatisfy { tokens.user(of: "ann.\($0)", now: 3) == "ann" })
        #expect(tokens.user(of: "eve.999", now: 3) == "eve")
    }

    @Test func purgeDropsWhatHasEnded() {
        let tokens = SimpleTokens(ttl: 1_000)
        tokens.assign("a.1", user: "bob", now: 0)
        tokens.assign("b.2", user: "bob", now: 500)
        tokens.purge(now: 1_200)
        #expect(tokens.count == 1)
    }

    @Test(
        arguments: [
            ("abcdefghijKLMNOP.7", 7), ("abcdefghijklmnop.", nil), ("abcdefghijklmnop", nil),
            ("abcdefghijklmnop.b.3", nil), ("abcdefghijklmnop.-1", nil), ("abcdefghijklmnop.+1", nil),
            ("abcdefghijklmnop.18446744073709551615", UInt64.max), ("abcdefghijklmnop.18446744073709551616", nil),
            (".5", nil), ("abc.7", nil), ("abcdefghijklmno1.7", nil), ("abcdefghijklmnopq.7", nil),
            ("abcdefghijklmno@.7", nil), ("abcdefghijklmno[.7", nil), ("abcdefghijklmno`.7", nil),
            ("abcdefghijklmno{.7", nil),
        ] as [(String, UInt64?)])
    func indexOfAToken(_ token: String, _ index: UInt64?) {
        #expect(SimpleTokens.index(of: token) == index)
    }

    @Test func prefixesAreSixteenLetters() {
        var generator = SystemRandomNumberGenerator()
        let prefix = SimpleTokens.prefix(using: &generator)
        #expect(prefix.utf8.count == 16)
        #expect(prefix.allSatisfy { $0.isLetter && $0.isASCII })
    }
}
