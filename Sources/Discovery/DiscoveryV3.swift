import Membership

/// Finding the members of a new cluster by a version-3 discovery service, which is another etcd cluster: the size is read,
/// this member registers, and the others are waited for.
///
/// It does nothing itself: each step is carried out by the owner, who comes back with what became of it.
public struct DiscoveryV3 {
    /// What is to be done next.
    public enum Step: Equatable, Sendable {
        case get(key: String)
        case getPrefix(String)
        case put(key: String, value: String)
        /// Waits for puts under a prefix from a revision on, however long it takes.
        case watchPrefix(String, since: Int64)
        /// Waits before the service is asked again.
        case pause(seconds: Int, reason: String)
        /// All members are known: the initial cluster.
        case done(InitialCluster)
        case failed(DiscoveryError)
    }

    /// A key of the service.
    public struct Pair: Equatable, Sendable {
        public var key: String
        public var value: String
        public var createRevision: Int64

        /// A key of these parts.
        public init(key: String, value: String, createRevision: Int64) {
            self.key = key
            self.value = value
            self.createRevision = createRevision
        }
    }

    /// What became of a step.
    public enum Answer: Equatable, Sendable {
        /// The keys that were read or heard of, at a revision.
        case pairs([Pair], revision: Int64)
        /// What was to be put is there.
        case done
        case unreachable(String)
        /// A pause is over.
        case nothing
    }

    private enum State {
        case readingSize
        case readingMembers
        case registering
        case waiting(since: Int64)
    }

    private static let registry = "/_etcd/registry"

    private let token: String
    private let ownID: String
    private let ownURLs: String
    private var state = State.readingSize
    private var backoff = Backoff()
    private var isRegistered = false
    private var size = 0
    private var members: [Pair] = []

    /// The keys of those that have registered, in order.
    public var found: [String] { members.map(\.key) }
    /// How many members the cluster is to have; 0 while it is not known.
    public var wanted: Int { size }

    /// The discovery of the member `id`, whose `name=URL,…` is `ownURLs`, of the cluster with this token.
    public init(token: String, id: UInt64, ownURLs: String) {
        self.token = token.split(separator: "/").joined(separator: "/")
        ownID = Identity.text(id)
        self.ownURLs = ownURLs
    }

    private var membersPrefix: String { "\(Self.registry)/\(token)/members" }
    private var ownKey: String { "\(membersPrefix)/\(ownID)" }

    /// The first step.
    public var first: Step { .get(key: "\(Self.registry)/\(token)/_config/size") }

    /// The step after the present one had `answer`.
    public mutating func next(_ answer: Answer) -> Step {
        do throws(DiscoveryError) {
            switch answer {
            case .unreachable(let why):
                if case .waiting = state { state = .readingSize }
                if case .readingMembers = state { state = .readingSize }
                return .pause(seconds: backoff.next(), reason: why)
            case .nothing: return again()
            case .done:
                backoff.reset()
                isRegistered = true
                state = .readingSize
                return first
            case .pairs(let pairs, let revision): return try take(pairs, revision)
            }
        } catch {
            return .failed(error)
        }
    }

    private mutating func again() -> Step {
        if case .registering = state { return .put(key: ownKey, value: ownURLs) }
        state = .readingSize
        return first
    }

    private mutating func take(_ pairs: [Pair], _ revision: Int64) throws(DiscoveryError) -> Step {
        switch state {
        case .readingSize:
            guard let text = pairs.first?.value else { throw .sizeNotFound }
            guard let size = Int(text), (1...DiscoveryV2.mostMembers).contains(size) else { throw .badSize(text) }
            self.size = size
            state = .readingMembers
            return .getPrefix(membersPrefix)
        case .readingMembers:
            backoff.reset()
            members = []
            add(pairs)
            let position = members.firstIndex { $0.key == ownKey } ?? members.count
            guard position < size else { throw .fullCluster }
            guard isRegistered else {
                state = .registering
                return .put(key: ownKey, value: ownURLs)
            }
            return try wait(after: revision)
        case .waiting(let since):
            // Older events would be told again and again.
            guard revision >= since else { throw .badEndpoint }
            add(pairs)
            return try wait(after: revision)
        case .registering: return .put(key: ownKey, value: ownURLs)
        }
    }

    /// Takes up those that say `name=URL` of themselves, each once.
    private mutating func add(_ pairs: [Pair]) {
        for pair in pairs {
            let (key, value) = (pair.key.trimmed, pair.value.trimmed)
            guard value.contains("="), !members.contains(where: { $0.key == key }) else { continue }
            members.append(Pair(key: key, value: value, createRevision: pair.createRevision))
        }
        // Of those that register at once, the first ones are of the cluster.
        members.sort { $0.createRevision < $1.createRevision }
    }

    private mutating func wait(after revision: Int64) throws(DiscoveryError) -> Step {
        if members.count >= size {
            return .done(try DiscoveryV2.cluster(members.prefix(size).map(\.value), size: size))
        }
        // Nothing comes after the greatest number.
        guard (0..<Int64.max).contains(revision) else { throw .badEndpoint }
        let since = revision + 1
        state = .waiting(since: since)
        return .watchPrefix(membersPrefix, since: since)
    }
}

extension String {
    fileprivate var trimmed: String {
        let isBlank: (Character) -> Bool = { $0.isWhitespace }
        return String(drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}
