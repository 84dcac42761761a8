/// Every key with the revisions of its changes: a B-tree in memory whose published versions stay as they are while the
/// owner goes on.
final class KeyIndex {
    private let memory = IndexMemory()
    private var changed = true
    private var latest: IndexSnapshot?
    /// The way to a leaf: inner nodes of the current epoch and the child taken in each.
    private var path: [(node: IndexNode, child: Int)] = []

    /// Reads the version being written.
    var reader: IndexReader { IndexReader(root: memory.root) }

    /// The pieces of memory that only earlier versions need, see ``IndexMemory``.
    var pinnedCount: Int { memory.pinnedCount }

    /// The current version. Later changes do not show in it.
    func snapshot() -> IndexSnapshot {
        if let latest, !changed { return latest }
        let snapshot = IndexSnapshot(memory)
        latest = snapshot
        changed = false
        return snapshot
    }

    // MARK: Changes

    /// What a change found and made.
    struct Outcome {
        var state: KeyState
        /// The state before, also when it was a tombstone.
        var previous: KeyState?
    }

    /// Notes that `key` was set.
    func put(_ key: UnsafeRawBufferPointer, main: Int64, sub: Int64, isLeased: Bool) -> Outcome {
        let flags = isLeased ? KeyState.leasedFlag : 0
        let leaf = descend(to: key)
        let (index, found) = leaf.search(key)
        guard found else {
            let state = KeyState(main: main, sub: sub, created: main, version: 1, flags: flags)
            insert(key, KeyRecord(state), into: leaf, at: index)
            return Outcome(state: state, previous: nil)
        }
        let record = leaf.records + index
        let previous = record.pointee.current
        let state: KeyState
        if previous.isTombstone {
            state = KeyState(main: main, sub: sub, created: main, version: 1, flags: flags)
            addLive(1)
        } else {
            state = KeyState(
                main: main, sub: sub, created: previous.created, version: previous.version &+ 1, flags: flags)
        }
        record.pointee.append(state)
        return Outcome(state: state, previous: previous)
    }

    /// Notes that `key`, which must be known, was deleted; returns the state before, or nil, with nothing noted, when it
    /// was deleted already.
    func tombstone(_ key: UnsafeRawBufferPointer, main: Int64, sub: Int64) -> KeyState? {
        let leaf = descend(to: key)
        let (index, found) = leaf.search(key)
        precondition(found, "only a known key is deleted")
        let record = leaf.records + index
        let previous = record.pointee.current
        if previous.isTombstone { return nil }
        record.pointee.append(
            KeyState(
                main: main, sub: sub, created: previous.created, version: previous.version &+ 1,
                flags: KeyState.tombstoneFlag))
        addLive(-1)
        return previous
    }

    /// Adds a state read from disk. The first state of a key brings its creation and version along; later ones follow
    /// from it. A tombstone without a life before it is kept, so that the next compaction removes it.
    func restore(_ key: UnsafeRawBufferPointer, _ state: KeyState) {
        let leaf = descend(to: key)
        let (index, found) = leaf.search(key)
        guard found else {
            insert(key, KeyRecord(state), into: leaf, at: index)
            return
        }
        let record = leaf.records + index
        let previous = record.pointee.current
        var next = state
        if !previous.isTombstone {
            next.created = previous.created
            next.version = previous.version &+ 1
        } else if !state.isTombstone {
            next.created = state.main
            next.version = 1
        }
        record.pointee.append(next)
        addLive((next.isTombstone ? 0 : 1) - (previous.isTombstone ? 0 : 1))
    }

    // MARK: Compaction

    /// Drops up to `limit` states of `key` that no reader at or above the revision needs, and calls `dropped` with each,
    /// the oldest first. Returns whether that was all.
    func compact(_ key: UnsafeRawBufferPointer, at revision: Int64, limit: Int, dropped: (KeyState) -> Void) -> Bool {
        guard let record = reader.record(of: key) else { return true }
        let count = record.pointee.garbageCount(at: revision)
        if count == 0 { return true }
        if limit == 0 { return false }
        let taken = min(count, limit)
        let removesKey = taken > record.pointee.historyCount
        for index in 0..<min(taken, record.pointee.historyCount) { dropped(record.pointee.older(index)) }
        if removesKey {
            dropped(record.pointee.current)
            remove(key)
        } else {
            let leaf = descend(to: key)
            let memory = memory
            (leaf.records + leaf.search(key).index).pointee.dropOldest(taken) { memory.retire($0) }
        }
        return taken == count
    }

    // MARK: The tree

    /// Makes the nodes from the root to the leaf of `key` changeable and returns the leaf. Full inner nodes on the way are
    /// split, so that a new child always fits above the leaf.
    private func descend(to key: UnsafeRawBufferPointer) -> IndexNode {
        changed = true
        path.removeAll(keepingCapacity: true)
        var node = memory.writable(memory.root)
        memory.root = node
        if !node.isLeaf && node.count == IndexNode.innerCapacity {
            node = growRoot()
        }
        while !node.isLeaf {
            var index = node.childIndex(key)
            var child = memory.writable(node.children[index])
            node.children[index] = child
            if !child.isLeaf && child.count == IndexNode.innerCapacity {
                split(child, childAt: index, of: node, for: key)
                index = node.childIndex(key)
                child = node.children[index]
            }
            path.append((node, index))
            node = child
        }
        return node
    }

    private func insert(_ key: UnsafeRawBufferPointer, _ record: KeyRecord, into leaf: IndexNode, at index: Int) {
        var target = leaf
        var position = index
        if leaf.count == IndexNode.leafCapacity {
            if path.isEmpty { path.append((growRoot(), 0)) }
            let last = path.count - 1
            let parent = path[last].node
            split(leaf, childAt: path[last].child, of: parent, for: key)
            path[last].child = parent.childIndex(key)
            target = parent.children[path[last].child]
            position = target.search(key).index
        }
        target.insert(KeyBytes(copying: key), record, at: position)
        if !record.current.isTombstone { addLive(1) }
    }

    /// Puts a new root above the present one.
    private func growRoot() -> IndexNode {
        let root = memory.makeNode(isLeaf: false)
        root.insert(memory.root, separator: nil, live: memory.root.live, at: 0)
        memory.root = root
        return root
    }

    /// Splits a full child in two. Where the key goes behind all that are there, as in loads in key order, the left part
    /// stays nearly full.
    private func split(
        _ child: IndexNode, childAt index: Int, of parent: IndexNode, for key: UnsafeRawBufferPointer
    ) {
        let count = child.count
        let isAppend = child.search(key).index == count
        let middle = isAppend ? count - 1 : count / 2
        let right = memory.makeNode(isLeaf: child.isLeaf)
        // A leaf's key is copied to be the separator; an inner node's separator moves up.
        let separator = child.isLeaf ? KeyBytes(copying: child.keys[middle].bytes) : child.keys[middle]
        child.moveItems(from: middle, to: right)
        child.refreshHints()
        right.refreshHints()
        parent.liveCounts[index] = child.live
        parent.insert(right, separator: separator, live: right.live, at: index + 1)
    }

    /// Takes a key out altogether.
    private func remove(_ key: UnsafeRawBufferPointer) {
        let leaf = descend(to: key)
        let (index, found) = leaf.search(key)
        precondition(found, "only a known key is removed")
        let record = leaf.records[index]
        if !record.current.isTombstone { addLive(-1) }
        let memory = memory
        record.releaseHistory { memory.retire($0) }
        memory.retire(leaf.keys[index])
        leaf.remove(at: index)
        for (parent, child) in path.reversed() { tidy(child, of: parent) }
        while !memory.root.isLeaf && memory.root.count <= 1 {
            let old = memory.root
            memory.root = old.count == 1 ? old.children[0] : memory.makeNode(isLeaf: true)
            memory.retire(old)
        }
    }

    /// Removes an empty child of `parent`, or merges a sparse one with a neighbour.
    private func tidy(_ index: Int, of parent: IndexNode) {
        let child = parent.children[index]
        if child.count == 0 {
            if index > 0 { memory.retire(parent.keys[index]) }
            if index == 0 && parent.count > 1 { memory.retire(parent.keys[1]) }
            parent.remove(at: index)
            memory.retire(child)
            return
        }
        guard IndexNode.isSparse(child.count, child.capacity), parent.count > 1 else { return }
        let left = index > 0 ? index - 1 : index
        let first = parent.children[left]
        let second = parent.children[left + 1]
        guard IndexNode.fitsMerged(first.count + second.count, child.capacity) else { return }
        let into = memory.writable(first)
        let from = memory.writable(second)
        parent.children[left] = into
        let joint = into.count
        let separator = parent.keys[left + 1]
        from.moveItems(from: 0, to: into)
        if into.isLeaf {
            memory.retire(separator)
        } else {
            into.keys[joint] = separator
        }
        into.refreshHints()
        parent.liveCounts[left] += parent.liveCounts[left + 1]
        parent.remove(at: left + 1)
        memory.retire(from)
    }

    private func addLive(_ change: Int) {
        if change == 0 { return }
        for (node, child) in path { node.liveCounts[child] += change }
    }
}

extension KeyRecord {
    /// The number of states, from the oldest on, that no reader at or above the revision needs: all before the newest one
    /// at or below it, and that one too when it is a tombstone from before. A tombstone of the very revision stays, so
    /// that a watcher that starts there learns of the deletion (etcd does so from 3.6, 3.5.17 and 3.4.35 on).
    func garbageCount(at revision: Int64) -> Int {
        if current.main <= revision {
            return current.isTombstone && current.main < revision ? historyCount + 1 : historyCount
        }
        // The number of older states at or below the revision, by halving.
        var low = 0
        var high = historyCount
        while low < high {
            let middle = (low + high) / 2
            if older(middle).main <= revision { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return 0 }
        let kept = older(low - 1)
        return kept.isTombstone && kept.main < revision ? low : low - 1
    }

    /// The newest state at or below the revision when it is not a tombstone: what etcd's hash keeps of the key.
    func kept(at revision: Int64) -> KeyState? {
        guard let state = state(at: revision), !state.isTombstone else { return nil }
        return state
    }
}
