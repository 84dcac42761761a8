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

    /// What a directory holds, as it was when it was asked for. To go through it takes time, which is why its owner does
    /// not: any thread may.
    public struct Contents: Sendable, Equatable {
        private let directory: Directory
        private let path: [UInt8]
        private let recursive: Bool

        init(_ directory: Directory, at path: [UInt8], recursive: Bool) {
            self.directory = directory
            self.path = path
            self.recursive = recursive
        }

        /// The walk through it, by hidden nodes too.
        var walk: NodeWalk { NodeWalk(directory, at: path, recursive ? .visible : .none) }

        /// The nodes that are not hidden, each before those inside it.
        var nodes: [NodeView] { walk.filter { !$0.node.isHidden }.map { NodeView($0.node, key: $0.path) } }

        public static func == (left: Contents, right: Contents) -> Bool { left.nodes == right.nodes }
    }

    public var action: Action
    public var node: NodeView
    /// What a directory that was read holds.
    public var contents: Contents?
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
