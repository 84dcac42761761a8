/// etcd's version-2 store: a tree of directories and keys with indexes, times to live and a history of events.
///
/// Two subtrees are etcd's own: `/0` has the cluster's members, `/1` the users' keys. Whatever changes the tree takes the
/// next index and makes an event. All members come to the same tree by the same entries of the log; only the statistics
/// and the watchers are each member's own. Synchronous, with one owner, and without a clock: what expires is said by
/// entries that carry the leader's time. The nodes are values: what a read found stays as it was, on whatever thread it is
/// written out.
public final class KeyTree {
    /// The index of the last change.
    public internal(set) var index: UInt64 = 0
    public internal(set) var statistics = StoreV2Statistics()
    var root: Node
    var expiries = ExpiryHeap()
    var history = EventHistory()
    var hub = WatcherHub()
    /// The tree as the last ``encoded()`` wrote it; nil when it has changed since.
    var image: [UInt8]?

    /// The greatest index that a store may begin with: all further changes that a cluster sees can be counted from there.
    static let greatestIndex: UInt64 = .max / 2

    /// Where the cluster's members are kept.
    public static let clusterPath = Array("/0".utf8)
    /// Where the users' keys are kept.
    public static let keysPath = Array("/1".utf8)

    /// A store without any key.
    public convenience init() {
        self.init(root: .root)
    }

    /// A store over `root`, in which the two subtrees are made if they are not there.
    init(root: Node) {
        self.root = root
        for name in ["0", "1"] {
            let name = Array(name.utf8)
            if root.children?[name[...]] == nil {
                self.root.children?.insert(Node(name: name, index: 0, isDirectory: true))
            }
        }
    }

    /// Whether any node expires, so that the leader must say what time it is.
    public var hasExpiringNodes: Bool { !expiries.isEmpty }

    /// Whether etcd 3.4 has switched the users of its version-2 API on, which it keeps in a subtree of their own.
    public var asksForUsers: Bool { value(at: "/2/enabled") == Array("true".utf8) }

    // MARK: Reading

    /// The node at `path`; of a directory also what it holds, with `recursive` to the bottom, in the order of the keys. That
    /// takes no longer for many nodes than for one: they are gone through when the event is written.
    public func get(_ path: [UInt8], recursive: Bool) throws(StoreV2Error) -> StoreV2Event {
        let path = KeyPath.clean(path)
        let found: Node
        do {
            found = try node(at: path)
        } catch {
            statistics.count(.gets, success: false)
            throw error
        }
        statistics.count(.gets, success: true)
        var event = StoreV2Event(.get, NodeView(found, key: path), storeIndex: index)
        event.contents = found.children.map { StoreV2Event.Contents($0, at: path, recursive: recursive) }
        return event
    }

    /// The value of the key at `path`; nil when there is none.
    public func value(at path: String) -> [UInt8]? {
        guard let node = try? node(at: Array(path.utf8)), !node.isDirectory else { return nil }
        return node.value
    }

    /// The names in the directory at `path`, in ascending order; none when there is no such directory.
    public func names(in path: String) -> [String] {
        guard let node = try? node(at: Array(path.utf8)) else { return [] }
        return (node.children ?? Directory()).map { String(decoding: $0.name, as: UTF8.self) }
    }

    func node(at path: [UInt8]) throws(StoreV2Error) -> Node {
        let names = KeyPath.names(path)
        var node = root
        for (position, name) in names.enumerated() {
            guard let children = node.children else {
                throw StoreV2Error(.notDirectory, cause: KeyPath.path(names[..<position]), index: index)
            }
            guard let child = children[name] else {
                throw StoreV2Error(.keyNotFound, cause: KeyPath.path(names[...position]), index: index)
            }
            node = child
        }
        return node
    }

    // MARK: Watching

    /// What becomes of a watcher.
    public enum Watch: Sendable {
        /// The history has what it waits for.
        case event(StoreV2Event)
        /// It waits, under this id.
        case waits(UInt64)
    }

    /// Watches the node at `path`, with `recursive` all below it too, for changes with the index `since` or a greater one;
    /// 0 is for the next change.
    public func watch(
        _ path: [UInt8], recursive: Bool, stream: Bool, since: UInt64
    ) throws(StoreV2Error) -> Watch {
        let path = KeyPath.clean(path)
        let since = since == 0 ? index + 1 : since
        if var event = try history.first(of: path, recursive: recursive, from: since, storeIndex: index) {
            event.storeIndex = index
            return .event(event)
        }
        return .waits(hub.add(path, recursive: recursive, stream: stream, since: since))
    }

    /// Forgets the watcher `id`.
    public func removeWatcher(_ id: UInt64) { hub.remove(id) }

    /// Whether the watcher `id` still waits.
    public func hasWatcher(_ id: UInt64) -> Bool { hub.contains(id) }

    /// How many wait.
    public var watcherCount: Int { hub.count }

    /// What watchers are to be told since the last call, in order.
    public func takeNotifications() -> [StoreV2Notification] {
        guard !hub.notifications.isEmpty else { return [] }
        defer { hub.notifications = [] }
        return hub.notifications
    }

    /// Goes on with the watchers of `other`, whose place this store takes.
    public func takeWatchers(of other: KeyTree) { hub = other.hub }
}
