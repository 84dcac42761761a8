import Synchronization

/// The memory of the key index and the rule by which it is freed.
///
/// The owner numbers its publications as epochs. A node belongs to the epoch in which it was made; the owner changes nodes
/// of the current epoch in place and copies older ones. What it replaces or drops in epoch R and was made in epoch B can be
/// seen by the snapshots of the epochs B..<R alone, and is freed when none of those is alive. So neither copying nor
/// reading touches a count per node, and a snapshot held for long pins what it can reach and nothing made after it.
///
/// Everything here is the owner's, except that a snapshot's end is noted under a lock from any thread.
final class IndexMemory: @unchecked Sendable {
    /// The epoch that is being written; snapshots have smaller ones.
    private(set) var epoch: UInt64 = 1
    /// The root of the version being written.
    var root: IndexNode

    /// The epochs of the snapshots that are alive, ascending.
    private var liveEpochs: [UInt64] = []
    /// The epochs of snapshots that have ended since the last publication.
    private let endedEpochs = Mutex<[UInt64]>([])
    /// What was dropped in the current epoch.
    private var retired: [Retired] = []
    /// What waits for a snapshot to end, by the epoch of that snapshot.
    private var waiting: [UInt64: [Retired]] = [:]
    private var freeLeaves: [UnsafeMutableRawPointer] = []
    private var freeInners: [UnsafeMutableRawPointer] = []

    /// Nodes kept for reuse; more than a busy batch replaces would only hold memory.
    private static let spareNodes = 1024

    private struct Retired {
        var address: UnsafeMutableRawPointer
        var birth: UInt64
        var retiredIn: UInt64
        var kind: Kind
    }

    private enum Kind {
        case leaf, inner, plain
    }

    init() {
        root = IndexNode(address: .allocate(byteCount: IndexNode.leafSize, alignment: 8))
        Self.prepare(root, isLeaf: true, birth: 1)
    }

    deinit {
        // The last snapshot and the owner are gone, so nothing can be seen any more.
        for list in waiting.values { for item in list { item.address.deallocate() } }
        for item in retired { item.address.deallocate() }
        for address in freeLeaves { address.deallocate() }
        for address in freeInners { address.deallocate() }
        Self.freeTree(root)
    }

    private static func freeTree(_ node: IndexNode) {
        for index in 0..<node.count {
            if node.isLeaf {
                node.keys[index].address.deallocate()
                node.records[index].releaseHistory { $0.address.deallocate() }
            } else {
                if index > 0 { node.keys[index].address.deallocate() }
                freeTree(node.children[index])
            }
        }
        node.address.deallocate()
    }

    private static func prepare(_ node: IndexNode, isLeaf: Bool, birth: UInt64) {
        node.header.initialize(to: IndexNode.Header(birth: birth, count: 0, prefix: 0, isLeaf: isLeaf))
    }

    // MARK: Nodes

    /// An empty node of the current epoch.
    func makeNode(isLeaf: Bool) -> IndexNode {
        let spare = isLeaf ? freeLeaves.popLast() : freeInners.popLast()
        let size = isLeaf ? IndexNode.leafSize : IndexNode.innerSize
        let node = IndexNode(address: spare ?? .allocate(byteCount: size, alignment: 8))
        Self.prepare(node, isLeaf: isLeaf, birth: epoch)
        return node
    }

    /// The node itself when it belongs to the current epoch, otherwise a copy, in which case the original is retired.
    @inline(__always)
    func writable(_ node: IndexNode) -> IndexNode {
        node.header.pointee.birth == epoch ? node : copy(node)
    }

    private func copy(_ node: IndexNode) -> IndexNode {
        let fresh = makeNode(isLeaf: node.isLeaf)
        fresh.header.pointee.prefix = node.header.pointee.prefix
        let count = node.count
        fresh.count = count
        fresh.hints.initialize(from: node.hints, count: count)
        fresh.keys.initialize(from: node.keys, count: count)
        if node.isLeaf {
            fresh.records.initialize(from: node.records, count: count)
        } else {
            fresh.children.initialize(from: node.children, count: count)
            fresh.liveCounts.initialize(from: node.liveCounts, count: count)
        }
        retire(node)
        return fresh
    }

    /// Gives up a node that the version being written no longer reaches; its items are not touched.
    func retire(_ node: IndexNode) {
        let item = Retired(
            address: node.address, birth: node.header.pointee.birth, retiredIn: epoch,
            kind: node.isLeaf ? .leaf : .inner)
        if item.birth == epoch { free(item) } else { retired.append(item) }
    }

    /// Gives up a key's bytes.
    func retire(_ key: KeyBytes) {
        retired.append(Retired(address: key.address, birth: 0, retiredIn: epoch, kind: .plain))
    }

    /// Gives up a run of a key's history.
    func retire(_ run: HistoryRun) {
        retired.append(Retired(address: run.address, birth: 0, retiredIn: epoch, kind: .plain))
    }

    // MARK: Epochs

    /// Closes the current epoch and returns its number; a snapshot of it is alive until ``snapshotEnded(_:)``.
    func beginEpoch() -> UInt64 {
        let published = epoch
        liveEpochs.append(published)
        epoch += 1
        let ended = endedEpochs.withLock { list in
            defer { list.removeAll(keepingCapacity: true) }
            return list
        }
        // What was retired in the epoch just closed is out of reach from it on.
        let items = retired
        retired.removeAll(keepingCapacity: true)
        if !ended.isEmpty {
            liveEpochs.removeAll { ended.contains($0) }
            for epoch in ended {
                if let list = waiting.removeValue(forKey: epoch) { sort(list) }
            }
        }
        sort(items)
        return published
    }

    /// The pieces of memory that wait for a snapshot to end, or for the next publication.
    var pinnedCount: Int { waiting.values.reduce(retired.count) { $0 + $1.count } }

    /// Notes from any thread that no reader holds the snapshot of `epoch` any more.
    func snapshotEnded(_ epoch: UInt64) {
        endedEpochs.withLock { $0.append(epoch) }
    }

    /// Frees the items that no snapshot sees; the others wait for the oldest one that does.
    private func sort(_ items: [Retired]) {
        for item in items {
            if let epoch = liveEpochs.first(where: { $0 >= item.birth }), epoch < item.retiredIn {
                waiting[epoch, default: []].append(item)
            } else {
                free(item)
            }
        }
    }

    private func free(_ item: Retired) {
        if item.kind == .leaf && freeLeaves.count < Self.spareNodes {
            freeLeaves.append(item.address)
        } else if item.kind == .inner && freeInners.count < Self.spareNodes {
            freeInners.append(item.address)
        } else {
            item.address.deallocate()
        }
    }
}
