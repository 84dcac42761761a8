import Membership
import StoreV2

/// Finding the members of a new cluster by a version-2 discovery service: the size is read, this member registers, and the
/// others are waited for.
///
/// It does nothing itself: each step is carried out by the owner, who comes back with what became of it.
public struct DiscoveryV2 {
    /// What is to be done next.
    public enum Step: Equatable, Sendable {
        /// Reads a key or directory.
        case get(path: String)
        /// Makes a key that must not be there.
        case create(path: String, value: String)
        /// Waits for a change with the index `since` or a greater one, however long it takes.
        case watch(path: String, recursive: Bool, since: UInt64)
        /// Waits before the service is asked again.
        case pause(seconds: Int, reason: String)
        /// All members are known: the initial cluster.
        case done(InitialCluster)
        case failed(DiscoveryError)
    }

    /// What became of a step.
    public enum Answer: Equatable, Sendable {
        /// The service's answer, and its index.
        case reply(KeysReply, index: UInt64)
        /// An answer that no such service gives.
        case nonsense
        /// Nobody answered, or the service had trouble.
        case unreachable(String)
        /// A watch ended without an event, or a pause is over.
        case nothing
    }

    private enum State {
        case readingSize
        case readingMembers
        case registering
        /// Until this member's own key shows where the others are read.
        case confirming
        case waiting(since: UInt64)
    }

    /// More members than any cluster has: a service that asks for more would have this one wait, and remember, for ever.
    static let mostMembers = 1_000
    /// The pause after a wait that a service ended early, so that one which does so at once is not asked without a pause.
    private static let secondsAfterEmptyWait = 1

    private static let existsCode = 105
    private static let notFoundCode = 100
    private static let clearedCode = 401
    private static let configName = "_config"

    private let directory: String
    private let ownName: String
    private let ownURLs: String
    private var state = State.readingSize
    private var backoff = Backoff()
    private var isRegistered = false
    private var pauses = false
    private var size = 0
    private var members: [KeysReply.Node] = []

    /// The names of the keys of those that have registered, in order.
    public var found: [String] { members.map(\.name) }
    /// How many members the cluster is to have; 0 while it is not known.
    public var wanted: Int { size }

    /// The discovery of the member `id`, whose `name=URL,…` is `ownURLs`, by the directory at the path `directory`.
    public init(directory: String, id: UInt64, ownURLs: String) {
        self.directory = directory
        ownName = Identity.text(id)
        self.ownURLs = ownURLs
    }

    /// The first step.
    public var first: Step { .get(path: "\(directory)/\(Self.configName)/size") }

    private var ownPath: String { "\(directory)/\(ownName)" }

    /// The step after the present one had `answer`.
    public mutating func next(_ answer: Answer) -> Step {
        switch answer {
        case .unreachable(let why): return retry(why)
        case .nonsense: return .failed(.badEndpoint)
        case .nothing:
            if isWaiting && !pauses {
                pauses = true
                return .pause(
                    seconds: Self.secondsAfterEmptyWait, reason: "the service has ended a wait without an answer")
            }
            return again()
        case .reply(let reply, let index):
            do throws(DiscoveryError) {
                return try next(reply, index)
            } catch {
                return .failed(error)
            }
        }
    }

    private mutating func retry(_ why: String) -> Step {
        // Whether it was made is not known; the next one says so (etcd).
        if case .registering = state { return .failed(.refused("cannot register this member: \(why)")) }
        if case .waiting = state { state = .readingSize }
        if case .confirming = state { state = .readingSize }
        return .pause(seconds: backoff.next(), reason: why)
    }

    private var isWaiting: Bool {
        switch state {
        case .confirming, .waiting: true
        case .readingSize, .readingMembers, .registering: false
        }
    }

    private mutating func again() -> Step {
        pauses = false
        switch state {
        case .readingSize, .readingMembers, .registering:
            state = .readingSize
            return first
        case .confirming: return .watch(path: ownPath, recursive: false, since: 1)
        case .waiting(let since): return .watch(path: directory, recursive: true, since: since)
        }
    }

    private mutating func next(_ reply: KeysReply, _ index: UInt64) throws(DiscoveryError) -> Step {
        switch state {
        case .readingSize:
            if reply.errorCode == Self.notFoundCode { throw .sizeNotFound }
            try refuse(reply)
            guard let size = Int(reply.node.value), (1...Self.mostMembers).contains(size) else {
                throw .badSize(reply.node.value)
            }
            self.size = size
            state = .readingMembers
            return .get(path: directory)
        case .readingMembers:
            try refuse(reply)
            return try take(reply.children, index)
        case .registering:
            if reply.errorCode == Self.existsCode { throw .duplicateID }
            try refuse(reply)
            isRegistered = true
            state = .confirming
            return .watch(path: ownPath, recursive: false, since: reply.node.createdIndex)
        case .confirming:
            // A history that has gone on shows that the registration has arrived there.
            if reply.errorCode != Self.clearedCode { try refuse(reply) }
            state = .readingSize
            return first
        case .waiting(let since):
            if reply.errorCode == Self.clearedCode {
                state = .readingSize
                return first
            }
            try refuse(reply)
            // An older event would be told again and again.
            guard reply.node.modifiedIndex >= since else { throw .badEndpoint }
            return try hear(reply)
        }
    }

    private func refuse(_ reply: KeysReply) throws(DiscoveryError) {
        guard reply.errorCode != 0 else { return }
        throw .refused("the service answers \(reply.errorCode): \(reply.message) (\(reply.cause))")
    }

    private mutating func take(_ nodes: [KeysReply.Node], _ index: UInt64) throws(DiscoveryError) -> Step {
        backoff.reset()
        let registered = nodes.filter { $0.name != Self.configName }.sorted { $0.createdIndex < $1.createdIndex }
        let position = registered.firstIndex { $0.name == ownName } ?? registered.count
        // Those that come too late are not of the cluster.
        guard position < size else { throw .fullCluster }
        members = Array(registered.prefix(size))
        guard isRegistered else {
            state = .registering
            return .create(path: ownPath, value: ownURLs)
        }
        return try wait(after: index)
    }

    private mutating func hear(_ reply: KeysReply) throws(DiscoveryError) -> Step {
        let node = reply.node
        let isMember =
            node.name != Self.configName && !node.isDirectory && ["create", "set"].contains(reply.action)
            && node.key.split(separator: "/").dropLast().last == directory.split(separator: "/").last
        if isMember && !members.contains(where: { $0.name == node.name }) { members.append(node) }
        return try wait(after: node.modifiedIndex)
    }

    private mutating func wait(after index: UInt64) throws(DiscoveryError) -> Step {
        guard members.count < size else { return .done(try Self.cluster(members.map(\.value), size: size)) }
        // Nothing comes after the greatest number.
        guard index < .max else { throw .badEndpoint }
        let since = index + 1
        state = .waiting(since: since)
        return .watch(path: directory, recursive: true, since: since)
    }

    /// The cluster of the members that said `texts` of themselves.
    static func cluster(_ texts: [String], size: Int) throws(DiscoveryError) -> InitialCluster {
        let cluster: InitialCluster
        do throws(InitialCluster.Invalid) {
            cluster = try InitialCluster(parsing: texts.joined(separator: ","))
        } catch {
            throw .invalidURL(error.description)
        }
        guard cluster.peerURLs.count == size else { throw .duplicateName }
        return cluster
    }
}
