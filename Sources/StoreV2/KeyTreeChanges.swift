/// When a node expires, and whether that is all that changes.
public struct TimeToLive: Equatable, Sendable {
    /// Nanoseconds since 1970; nil for never.
    public var expiration: Int64?
    /// Whether the value stays and no watcher is told.
    public var isRefresh: Bool

    /// A time to live that ends at `expiration`.
    public init(expiration: Int64? = nil, isRefresh: Bool = false) {
        self.expiration = expiration
        self.isRefresh = isRefresh
    }
}

/// What changes the tree.
extension KeyTree {
    /// Times before 2000 come from clients that mean none (etcd's rule).
    private static let earliestExpiration: Int64 = 946_684_800_000_000_000
    /// The digits of the names that ``create(_:isDirectory:value:unique:_:)`` makes, so that their order is that of their
    /// indexes.
    private static let uniqueNameDigits = 20

    /// Makes a new node at `path` and the directories on the way to it; with `unique` one inside `path`, named by the index.
    @discardableResult
    public func create(
        _ path: [UInt8], isDirectory: Bool = false, value: [UInt8] = [], unique: Bool = false,
        _ time: TimeToLive = TimeToLive()
    ) throws(StoreV2Error) -> StoreV2Event {
        try counting(.create) { () throws(StoreV2Error) in
            var path = KeyPath.clean(path)
            if unique {
                let number = String(index + 1)
                path += Array("/".utf8)
                path += Array((String(repeating: "0", count: Self.uniqueNameDigits - number.count) + number).utf8)
                path = KeyPath.clean(path)
            }
            let event = try insert(
                path, isDirectory: isDirectory, value: value, replaces: false, time.expiration, .create)
            announce(event)
            return event
        }
    }

    /// Makes a node at `path`, or replaces the key that is there.
    @discardableResult
    public func set(
        _ path: [UInt8], isDirectory: Bool = false, value: [UInt8], _ time: TimeToLive = TimeToLive()
    ) throws(StoreV2Error) -> StoreV2Event {
        try counting(.sets) { () throws(StoreV2Error) in
            let path = KeyPath.clean(path)
            var value = value
            do throws(StoreV2Error) {
                let present = try node(at: path)
                if time.isRefresh { value = present.value }
            } catch {
                if time.isRefresh || error.code != .keyNotFound { throw error }
            }
            var event = try insert(
                path, isDirectory: isDirectory, value: value, replaces: true, time.expiration, .set)
            event.isRefresh = time.isRefresh
            announce(event)
            return event
        }
    }

    /// Gives the key at `path` another value, and the key or directory another time to live.
    @discardableResult
    public func update(
        _ path: [UInt8], value: [UInt8], _ time: TimeToLive = TimeToLive()
    ) throws(StoreV2Error) -> StoreV2Event {
        try counting(.update) { () throws(StoreV2Error) in
            let path = try changeable(path)
            let node = try node(at: path)
            if node.isDirectory && !value.isEmpty { throw StoreV2Error(.notFile, cause: path, index: index) }
            return write(time.isRefresh ? node.value : value, to: node, path, time, .update)
        }
    }

    /// Gives the key at `path` another value if it is as the request says: empty and 0 compare with nothing.
    @discardableResult
    public func compareAndSwap(
        _ path: [UInt8], previousValue: [UInt8], previousIndex: UInt64, value: [UInt8],
        _ time: TimeToLive = TimeToLive()
    ) throws(StoreV2Error) -> StoreV2Event {
        try counting(.compareAndSwap) { () throws(StoreV2Error) in
            let path = try changeable(path)
            let node = try node(at: path)
            if node.isDirectory { throw StoreV2Error(.notFile, cause: path, index: index) }
            try compare(node, previousValue, previousIndex)
            return write(time.isRefresh ? node.value : value, to: node, path, time, .compareAndSwap)
        }
    }

    /// Removes the node at `path`: a directory only when the request says so, and one that is not empty only with
    /// `recursive`.
    @discardableResult
    public func delete(
        _ path: [UInt8], isDirectory: Bool = false, recursive: Bool = false
    ) throws(StoreV2Error) -> StoreV2Event {
        try counting(.delete) { () throws(StoreV2Error) in
            let path = try changeable(path)
            let node = try node(at: path)
            if node.isDirectory {
                guard isDirectory || recursive else { throw StoreV2Error(.notFile, cause: path, index: index) }
                guard recursive || node.children?.isEmpty == true else {
                    throw StoreV2Error(.directoryNotEmpty, cause: path, index: index)
                }
            }
            return remove(node, path, .delete)
        }
    }

    /// Removes the key at `path` if it is as the request says.
    @discardableResult
    public func compareAndDelete(
        _ path: [UInt8], previousValue: [UInt8], previousIndex: UInt64
    ) throws(StoreV2Error) -> StoreV2Event {
        try counting(.compareAndDelete) { () throws(StoreV2Error) in
            let path = KeyPath.clean(path)
            let node = try node(at: path)
            if node.isDirectory { throw StoreV2Error(.notFile, cause: path, index: index) }
            try compare(node, previousValue, previousIndex)
            return remove(node, path, .compareAndDelete)
        }
    }

    /// Removes all that has expired by `time`, in nanoseconds since 1970.
    public func expire(until time: Int64) {
        while let (path, expiration) = expiries.first, expiration <= time {
            guard let node = try? node(at: path) else { preconditionFailure("what expires is there") }
            remove(node, path, .expire)
            statistics.expirations += 1
        }
    }

    /// Puts a key at `path`, where there is none, without an index or an event: what other members do not note must not
    /// count.
    public func place(_ path: [UInt8], value: [UInt8]) {
        let names = KeyPath.names(path)
        guard let name = names.last, let depth = try? depthOfDirectories(names),
            depth < names.count - 1 || parent(of: names).children?[name] == nil
        else { return }
        graft(Node(name: Array(name), index: index, value: value), at: names, depth: depth)
        image = nil
    }

    // MARK: Parts of changes

    private func counting(
        _ kind: StoreV2Statistics.Kind, _ body: () throws(StoreV2Error) -> StoreV2Event
    ) throws(StoreV2Error) -> StoreV2Event {
        do throws(StoreV2Error) {
            let event = try body()
            statistics.count(kind, success: true)
            return event
        } catch {
            statistics.count(kind, refusedBy: error.code)
            throw error
        }
    }

    /// The clean form of `path`, unless it is that of a subtree which always is.
    private func changeable(_ path: [UInt8]) throws(StoreV2Error) -> [UInt8] {
        let path = KeyPath.clean(path)
        if path == [KeyPath.slash] || path == Self.clusterPath || path == Self.keysPath {
            throw StoreV2Error(.rootIsReadOnly, "/", index: index)
        }
        return path
    }

    private func compare(_ node: Node, _ value: [UInt8], _ modified: UInt64) throws(StoreV2Error) {
        let valueFits = value.isEmpty || node.value == value
        let indexFits = modified == 0 || node.modifiedIndex == modified
        var differences: [[UInt8]] = []
        if !valueFits {
            differences.append(Array("[".utf8) + value + Array(" != ".utf8) + node.value + Array("]".utf8))
        }
        if !indexFits { differences.append(Array("[\(modified) != \(node.modifiedIndex)]".utf8)) }
        guard differences.isEmpty else {
            throw StoreV2Error(.compareFailed, cause: Array(differences.joined(separator: [0x20])), index: index)
        }
    }

    private func insert(
        _ path: [UInt8], isDirectory: Bool, value: [UInt8], replaces: Bool, _ expiration: Int64?,
        _ action: StoreV2Event.Action
    ) throws(StoreV2Error) -> StoreV2Event {
        let path = try changeable(path)
        let names = KeyPath.names(path)
        guard let name = names.last else { preconditionFailure("the root is never made") }
        let depth = try depthOfDirectories(names)
        let next = index + 1
        var previous: NodeView?
        if depth == names.count - 1, let present = parent(of: names).children?[name] {
            if !replaces { throw StoreV2Error(.nodeExists, cause: path, index: index) }
            if present.isDirectory { throw StoreV2Error(.notFile, cause: path, index: index) }
            previous = NodeView(present, key: path)
        }
        let expires = expiration.flatMap { $0 < Self.earliestExpiration ? nil : $0 }
        let node = Node(
            name: Array(name), index: next, expiration: expires, value: isDirectory ? [] : value,
            isDirectory: isDirectory)
        graft(node, at: names, depth: depth)
        expiries.set(path, expires)
        index = next
        return StoreV2Event(action, NodeView(node, key: path), previous: previous, storeIndex: next)
    }

    private func write(
        _ value: [UInt8], to node: Node, _ path: [UInt8], _ time: TimeToLive, _ action: StoreV2Event.Action
    ) -> StoreV2Event {
        let previous = NodeView(node, key: path)
        var node = node
        index += 1
        if !node.isDirectory {
            node.value = value
            // A directory keeps the index that it had.
            node.modifiedIndex = index
        }
        node.expiration = time.expiration
        replace(KeyPath.names(path), by: node)
        expiries.set(path, node.expiration)
        var view = NodeView(node, key: path)
        view.modifiedIndex = index
        var event = StoreV2Event(action, view, previous: previous, storeIndex: index)
        event.isRefresh = time.isRefresh
        announce(event)
        return event
    }

    @discardableResult
    private func remove(_ node: Node, _ path: [UInt8], _ action: StoreV2Event.Action) -> StoreV2Event {
        index += 1
        var view = NodeView(key: path, modifiedIndex: index, createdIndex: node.createdIndex)
        view.isDirectory = node.isDirectory
        let event = StoreV2Event(action, view, previous: NodeView(node, key: path), storeIndex: index)
        replace(KeyPath.names(path), by: nil)
        if let inside = node.children, !expiries.isEmpty || !hub.isEmpty {
            for step in NodeWalk(inside, at: path, .all) {
                if step.node.expiration != nil { expiries.remove(step.path) }
                hub.notify(event, at: step.path, deleted: true)
            }
        }
        expiries.remove(path)
        hub.notify(event, at: path, deleted: true)
        announce(event)
        return event
    }

    private func announce(_ event: StoreV2Event) {
        image = nil
        history.add(event)
        if !event.isRefresh { hub.notify(event) }
    }

    // MARK: Nodes in their places

    /// How many of the directories on the way to `names` are there.
    private func depthOfDirectories(_ names: [ArraySlice<UInt8>]) throws(StoreV2Error) -> Int {
        var node = root
        for (position, name) in names.dropLast().enumerated() {
            guard let child = node.children?[name] else { return position }
            guard child.isDirectory else {
                throw StoreV2Error(.notDirectory, cause: KeyPath.path(names[...position]), index: index)
            }
            node = child
        }
        return names.count - 1
    }

    /// The directory around `names`, which is there.
    private func parent(of names: [ArraySlice<UInt8>]) -> Node {
        names.dropLast().reduce(root) { directory, name in
            guard let child = directory.children?[name] else {
                preconditionFailure("the directories on the way are there")
            }
            return child
        }
    }

    /// Puts `node` at `names`, on the way to which `depth` directories are there; the others are made.
    private func graft(_ node: Node, at names: [ArraySlice<UInt8>], depth: Int) {
        var made = node
        for name in names[depth..<names.count - 1].reversed() {
            var directory = Node(name: Array(name), index: index + 1, isDirectory: true)
            directory.children?.insert(made)
            made = directory
        }
        replace(Array(names[...depth]), by: made)
    }

    /// Puts `node` in the place of what is at `names`, or takes that away. The directories around it are made anew, so that
    /// whoever still reads them sees them as they were.
    private func replace(_ names: [ArraySlice<UInt8>], by node: Node?) {
        guard let name = names.last else { preconditionFailure("the root is never replaced") }
        var way = [root]
        for name in names.dropLast() {
            guard let child = way[way.count - 1].children?[name] else {
                preconditionFailure("the directories on the way are there")
            }
            way.append(child)
        }
        guard var directory = way.popLast() else { preconditionFailure("the root is on the way") }
        if let node { directory.children?.insert(node) } else { directory.children?.remove(name) }
        while var around = way.popLast() {
            around.children?.insert(directory)
            directory = around
        }
        root = directory
    }
}
