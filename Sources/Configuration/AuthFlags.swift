/// Flags of users' tokens and passwords.
extension MemberConfiguration {
    static let authFlags: [FlagDefinition] = [
        .text("auth-token", "simple", "Kind of token and its options: 'simple', or 'jwt,pub-key=…,sign-method=…'."),
        .unsigned("bcrypt-cost", 10, upTo: UInt64(Int32.max), "Cost of the hashes of passwords, from 4 to 31."),
        .unsigned("auth-token-ttl", 300, upTo: UInt64(Int32.max), "Seconds for which a simple token holds."),
    ]
}

/// Tokens and passwords of users.
public struct AuthSettings: Equatable, Sendable {
    /// The kind of token and its options, as they were given.
    public var token: String
    /// Seconds for which a simple token holds.
    public var tokenTTLSeconds: Int64
    /// The cost of bcrypt hashes; what is outside 4 to 31 counts as 10, as in etcd.
    public var bcryptCost: Int

    init(_ settings: Settings) {
        token = settings.text("auth-token")
        tokenTTLSeconds = settings.number("auth-token-ttl")
        let cost: Int = settings.number("bcrypt-cost")
        bcryptCost = (4...31).contains(cost) ? cost : 10
    }
}
