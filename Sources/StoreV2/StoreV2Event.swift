/// A node as an event shows it.
public struct NodeView: Equatable, Sendable {
    /// The whole path.
    public var key: [UInt8]
    /// The value; nil of a directory, and where etcd does not tell it.
    public var value: [UInt8]?
    public var isDirectory = false
    /// When it expires, in nanoseconds since 1970.
    public var expiration: Int64?
    public var modifiedIndex: UInt64
    public var createdIndex: UInt64

    init(key: [UInt8], modifiedIndex: UInt64, createdIndex: UInt64) {
        self.key = key
        self.modifiedIndex = modifiedIndex
        self.createdIndex = createdIndex
    }

    /// A node without what is inside.
    init(_ node: Node, key: [UInt8]) {
        self.init(key: key, modifiedIndex: node.modifiedIndex, createdIndex: node.createdIndex)
        isDirectory = node.isDirectory
        value = node.isDirectory ? nil : node.value
        expiration = node.expiration
    }
}

/// What a request did or found, and what watchers are told.
public struct StoreV2Event: Equatable, Sendable {
    public enum Action: String, Sendable {
        case get, create, set, update, delete, compareAndSwap, compareAndDelete, expire
    }

    /// A node below the event's one.
    public struct Descendant: Equatable, Sendable {
        /// 1 for the children of the event's node, 2 for theirs.
        public var depth: Int
        public var node: NodeView
    }

    public var action: Action
    public var node: NodeView
    /// What a directory holds, as far as it was asked: each node before those inside it.
    public var descendants: [Descendant] = []
    /// The node before the change.
    public var previous: NodeView?
    /// Whether only the time to live was renewed, of which no watcher hears.
    public var isRefresh = false
    /// The store's index when the event was made.
    public var storeIndex: UInt64

    init(_ action: Action, _ node: NodeView, previous: NodeView? = nil, storeIndex: UInt64) {
        self.action = action
        self.node = node
        self.previous = previous
        self.storeIndex = storeIndex
    }

    /// The index that the change has, by which watchers ask.
    public var index: UInt64 { node.modifiedIndex }

    /// Whether there was no such key before.
    public var isCreation: Bool { action == .create || (action == .set && previous == nil) }

    /// Whether a directory went away.
    var endsDirectory: Bool { (action == .delete || action == .expire) && previous?.isDirectory == true }
}
