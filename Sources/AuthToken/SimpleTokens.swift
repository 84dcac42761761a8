import Auth
import Synchronization

/// The tokens of etcd's provider `simple`: random text that a log entry makes valid on all members at once, each of which
/// forgets it when it was not used for a while.
///
/// A token is 16 random letters, a dot, and the index of the entry of the login. Any thread may look one up. Time is given
/// with each call, in milliseconds of one clock.
public final class SimpleTokens: TokenKeeper {
    /// etcd's `--auth-token-ttl`: 300 seconds without use.
    public static let defaultTTL: Int64 = 300_000
    /// Beyond this many tokens some are dropped: about 40 MB.
    public static let defaultLimit = 200_000
    /// The random letters of a token.
    static let prefixLength = 16

    private struct Entry {
        var user: String
        var end: Int64
    }

    private let ttl: Int64
    private let limit: Int
    private let tokens = Mutex<[String: Entry]>([:])

    /// Tokens that last for `ttl` milliseconds after each use, at most `limit` of them.
    public init(ttl: Int64 = SimpleTokens.defaultTTL, limit: Int = SimpleTokens.defaultLimit) {
        self.ttl = ttl
        self.limit = limit
    }

    /// How many tokens there are, those included that nobody has noticed to have ended.
    public var count: Int { tokens.withLock { $0.count } }

    /// The random part of a new token.
    public static func prefix(using generator: inout some RandomNumberGenerator) -> String {
        let letters = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        let chosen = (0..<prefixLength).map { _ in letters[Int.random(in: 0..<letters.count, using: &generator)] }
        return String(decoding: chosen, as: UTF8.self)
    }

    /// The index in the text of a token; nil when it is none.
    public static func index(of token: String) -> UInt64? {
        let parts = token.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].count == prefixLength, parts[0].allSatisfy(isLetter), !parts[1].isEmpty,
            parts[1].allSatisfy({ (0x30...0x39).contains($0) })
        else { return nil }
        return UInt64(String(decoding: parts[1], as: UTF8.self))
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte | 0x20) }

    /// The user that `token` stands for, and it lasts anew.
    public func user(of token: String, now: Int64) -> String? {
        tokens.withLock { tokens in
            guard let entry = tokens[token] else { return nil }
            guard now < entry.end else {
                tokens[token] = nil
                return nil
            }
            tokens[token]?.end = now + ttl
            return entry.user
        }
    }

    public func assign(_ token: String, user: String, now: Int64) {
        tokens.withLock { tokens in
            if tokens.count >= limit { Self.shrink(&tokens, to: limit - limit / 4, now: now) }
            tokens[token] = Entry(user: user, end: now + ttl)
        }
    }

    public func invalidate(user: String) {
        // By bytes: two spellings of one letter are two users.
        let name = Array(user.utf8)
        tokens.withLock { tokens in tokens = tokens.filter { !$0.value.user.utf8.elementsEqual(name) } }
    }

    public func invalidateAll() {
        tokens.withLock { $0.removeAll() }
    }

    /// Drops the tokens that have ended.
    public func purge(now: Int64) {
        tokens.withLock { tokens in
            if tokens.contains(where: { $0.value.end <= now }) { tokens = tokens.filter { $0.value.end > now } }
        }
    }

    /// Leaves `count` tokens. Those of whoever has the most go first, so that nobody's logins end the tokens of others; of
    /// one user's, those that would end first.
    private static func shrink(_ tokens: inout [String: Entry], to count: Int, now: Int64) {
        tokens = tokens.filter { $0.value.end > now }
        guard tokens.count > count else { return }
        let byUser = Dictionary(grouping: tokens) { $0.value.user }
        var room = count
        var users = byUser.count
        for held in byUser.values.sorted(by: { $0.count < $1.count }) {
            let share = min(held.count, room / users)
            room -= share
            users -= 1
            guard held.count > share else { continue }
            for (token, _) in held.sorted(by: { $0.value.end < $1.value.end }).prefix(held.count - share) {
                tokens[token] = nil
            }
        }
    }
}
