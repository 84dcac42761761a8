import Auth
import AuthToken
import EtcdAPI
import GRPC
import MVCC
import Member
import Membership
import NIOCore
import Synchronization

/// What is known of whoever makes a call: its fields, and the common name in the certificate of its connection.
protocol Identifiable: Sendable {
    var metadata: Metadata { get }
    var peerIdentity: String? { get }
    var shownIdentity: String? { get }
    var eventLoop: any EventLoop { get }
}

extension UnaryCall: Identifiable {}
extension StreamCall: Identifiable {}

/// Who makes calls, and what they may: the services and the guard before them ask here. Any thread may.
///
/// While auth is off the question costs one relaxed load.
final class Authority: Sendable {
    /// How members of one kind tell who holds a token.
    enum Provider: Sendable {
        case none
        case simple(SimpleTokens)
        case web(WebTokens)
    }

    let publisher: AuthPublisher
    let provider: Provider
    private let status: MemberStatus
    /// Whether the name in a client's certificate counts as its user.
    private let trustsCertificates: Bool

    init(provider: Provider, trustsCertificates: Bool, status: MemberStatus) {
        self.provider = provider
        self.trustsCertificates = trustsCertificates
        self.status = status
        if case .simple(let tokens) = provider {
            publisher = AuthPublisher(tokens: tokens)
        } else {
            publisher = AuthPublisher()
        }
    }

    /// Whether permissions are checked at all.
    var isEnabled: Bool { publisher.isEnabled }

    /// The auth revision as of the last applied entry.
    var revision: UInt64 { publisher.latest.revision }

    // MARK: Who

    /// Who makes `call`; nil when nobody has logged in, or when auth is off. A token that stands for nobody is refused.
    func caller(of call: some Identifiable) throws(EtcdError) -> Caller? {
        guard isEnabled else { return nil }
        if let token = Self.token(in: call.metadata) {
            guard let caller = caller(holding: token) else { throw .invalidAuthToken }
            return caller
        }
        guard trustsCertificates, let name = call.peerIdentity, !Self.isFromJSON(call.metadata) else { return nil }
        return Caller(user: name, revision: revision)
    }

    private func caller(holding token: String) -> Caller? {
        switch provider {
        case .none: nil
        case .simple(let tokens): caller(holding: token, tokens)
        case .web(let tokens): tokens.caller(of: token, now: Int64(Clock.unixMilliseconds / 1_000))
        }
    }

    private func caller(holding token: String, _ tokens: SimpleTokens) -> Caller? {
        // In this order: a user who is removed and added again while this runs is not taken for the one who logged in.
        let revision = revision
        return tokens.user(of: token, now: Clock.milliseconds).map { Caller(user: $0, revision: revision) }
    }

    /// The token of a call; clients send it as `token`, JSON clients as `authorization`, with or without `Bearer`.
    private static func token(in metadata: Metadata) -> String? {
        guard let text = metadata.first("token") ?? metadata.first("authorization") else { return nil }
        let prefix = "bearer "
        guard text.utf8.count > prefix.utf8.count, text.prefix(prefix.count).lowercased() == prefix else { return text }
        return String(text.dropFirst(prefix.count))
    }

    /// The JSON gateway is a client of its own, whose certificate is not its users'.
    private static func isFromJSON(_ metadata: Metadata) -> Bool { metadata.first("grpcgateway-accept") != nil }

    /// Whether the token of `call` is that of an entry which this member has not applied yet: its client has just logged in
    /// with another member.
    func isAhead(_ call: some Identifiable) -> Bool {
        guard isEnabled, case .simple(let tokens) = provider, let token = Self.token(in: call.metadata),
            let index = SimpleTokens.index(of: token)
        else { return false }
        // In this order: a token is there before its entry counts as applied.
        let applied = status.appliedIndex.load(ordering: .acquiring)
        return index > applied && tokens.user(of: token, now: Clock.milliseconds) == nil
    }

    // MARK: May they

    /// Whether this member's cluster has members that check less than they should when they apply, so that what they would
    /// pass over must be refused before.
    var hasLenientMembers: Bool { status.clusterVersion.map { $0 < ClusterVersion(3, 5) } ?? false }

    /// Throws unless `check` lets the caller of `call` pass at this moment.
    func permit(
        _ call: some Identifiable, _ check: (AuthState, Caller) throws(EtcdError) -> Void
    ) throws(EtcdError) {
        guard isEnabled else { return }
        let caller = try caller(of: call) ?? .nobody
        try check(publisher.latest, caller)
    }

    /// As ``permit(_:_:)``, for what is read now: the auth revision that must still hold when the reading is done, or nil
    /// when nothing is checked.
    func permitReading(
        _ call: some Identifiable, _ check: (AuthState, Caller) throws(EtcdError) -> Void
    ) throws(EtcdError) -> UInt64? {
        guard isEnabled else { return nil }
        let caller = try caller(of: call) ?? .nobody
        try check(publisher.latest, caller)
        return caller.revision == 0 ? nil : caller.revision
    }

    /// Refuses what was read when permissions have changed meanwhile.
    func confirm(_ checked: UInt64?) throws(EtcdError) {
        if let checked, isEnabled, checked != revision { throw .authOldRevision }
    }
}

extension Authorisation {
    /// A walk that leaves leases out, for where they are not known: whoever applies looks at them.
    static func keys(_ state: AuthState, _ caller: Caller) -> Authorisation {
        Authorisation(state, caller: caller) { _ in [] }
    }
}
