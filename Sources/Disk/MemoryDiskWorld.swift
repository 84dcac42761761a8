import Glibc

/// What is on a ``MemoryDisk``.
///
/// Unchecked: it is only touched under the disk's lock.
final class MemoryWorld: @unchecked Sendable {
    /// What becomes of an operation that is not refused.
    enum Verdict { case succeed, losePower }

    var faults = MemoryDisk.Faults()
    private(set) var operations = 0
    /// Goes up with each crash; an open file of an earlier epoch is invalid.
    private(set) var epoch = 0
    var bytesUsed = 0
    private let root = MemoryDirectory()
    private var choice: CrashChoice
    private(set) var powerIsLost = false

    init(seed: UInt64) {
        choice = CrashChoice(seed: seed)
    }

    // MARK: Faults

    func nextStall(_ operation: String, _ path: String) -> MemoryDisk.Stall? {
        guard faults.stallsPerThousand > 0, choice.below(1000) < faults.stallsPerThousand else { return nil }
        let length = choice.next() % max(1, faults.longestStall) + 1
        return MemoryDisk.Stall(operation: operation, path: path, nanoseconds: length)
    }

    /// Counts an operation and decides whether a fault hits it.
    func admit(_ operation: String, _ path: String) throws(DiskError) -> Verdict {
        operations += 1
        if powerIsLost { throw DiskError(operation, path, EIO) }
        if let failing = faults.failing {
            faults.failing = failing.operation > 1 ? (failing.operation - 1, failing.code) : nil
            if failing.operation <= 1 { throw DiskError(operation, path, failing.code) }
        }
        if let left = faults.powerLoss {
            faults.powerLoss = left > 1 ? left - 1 : nil
            if left <= 1 {
                powerIsLost = true
                return .losePower
            }
        }
        return .succeed
    }

    /// Accounts for `more` bytes, negative ones when a file gets shorter.
    func take(_ more: Int, _ operation: String, _ path: String) throws(DiskError) {
        if more > 0, let limit = faults.spaceLimit, bytesUsed + more > limit {
            throw DiskError(operation, path, ENOSPC)
        }
        bytesUsed += more
    }

    func crash(_ choice: inout CrashChoice) {
        epoch += 1
        powerIsLost = false
        faults = MemoryDisk.Faults()
        root.crash(&choice)
        bytesUsed = root.totalSize
    }

    func endProcess() {
        epoch += 1
        root.dropLocks()
    }

    // MARK: Names

    /// The file or directory at `path`.
    func node(_ path: String) -> MemoryNode? {
        var node: MemoryNode = .directory(root)
        for name in path.split(separator: "/") where name != "." {
            guard case .directory(let directory) = node, let next = directory.names[String(name)] else { return nil }
            node = next
        }
        return node
    }

    func directory(_ path: String, _ operation: String) throws(DiskError) -> MemoryDirectory {
        switch node(path) {
        case .directory(let directory): return directory
        case .file: throw DiskError(operation, path, ENOTDIR)
        case nil: throw DiskError(operation, path, ENOENT)
        }
    }

    /// The directory that `path` is in, and the name in it.
    private func place(_ path: String, _ operation: String) throws(DiskError) -> (MemoryDirectory, String) {
        let parts = path.split(separator: "/").filter { $0 != "." }
        guard let name = parts.last else { throw DiskError(operation, path, EINVAL) }
        switch node(parts.dropLast().joined(separator: "/")) {
        case .directory(let directory): return (directory, String(name))
        case .file: throw DiskError(operation, path, ENOTDIR)
        case nil: throw DiskError(operation, path, ENOENT)
        }
    }

    func openFile(_ path: String, _ access: FileAccess) throws(DiskError) -> MemoryFileNode {
        switch node(path) {
        case .file(let file): return file
        case .directory: throw DiskError("open", path, EISDIR)
        case nil:
            guard access == .create else { throw DiskError("open", path, ENOENT) }
            let (directory, name) = try place(path, "open")
            guard let file = MemoryFileNode() else { throw DiskError("open", path, ENOMEM) }
            directory.change([(name, .file(file))])
            return file
        }
    }

    func createDirectory(_ path: String) throws(DiskError) {
        var directory = root
        for name in path.split(separator: "/") where name != "." {
            switch directory.names[String(name)] {
            case .directory(let next): directory = next
            case .file: throw DiskError(operation: "mkdir", path: path, code: ENOTDIR, reason: "not a directory")
            case nil:
                let next = MemoryDirectory()
                directory.change([(String(name), .directory(next))])
                directory = next
            }
        }
    }

    func rename(_ path: String, _ newPath: String) throws(DiskError) {
        let (source, name) = try place(path, "rename")
        let (target, newName) = try place(newPath, "rename")
        guard let moved = source.names[name] else { throw DiskError("rename", path, ENOENT) }
        if source === target && name == newName { return }
        switch (moved, target.names[newName]) {
        case (.file, .directory): throw DiskError("rename", path, EISDIR)
        case (.directory, .file): throw DiskError("rename", path, ENOTDIR)
        case (.directory, .directory(let old)) where !old.names.isEmpty: throw DiskError("rename", path, ENOTEMPTY)
        case (.file, .file(let old)): bytesUsed -= old.size
        default: break
        }
        if source === target {
            source.change([(name, nil), (newName, moved)])
        } else {
            target.change([(newName, moved)])
            source.change([(name, nil)])
        }
    }

    func remove(_ path: String) throws(DiskError) {
        let (directory, name) = try place(path, "remove")
        guard let node = directory.names[name] else { throw DiskError("remove", path, ENOENT) }
        bytesUsed -= node.totalSize
        directory.change([(name, nil)])
    }
}

/// A file or a directory.
enum MemoryNode {
    case file(MemoryFileNode)
    case directory(MemoryDirectory)

    var totalSize: Int {
        switch self {
        case .file(let file): return file.size
        case .directory(let directory): return directory.totalSize
        }
    }
}

/// A directory: its names now, those on stable storage, and the changes in between, in order.
final class MemoryDirectory {
    /// Names that change together; nil removes one.
    typealias Change = [(name: String, node: MemoryNode?)]

    private(set) var names: [String: MemoryNode] = [:]
    private var durable: [String: MemoryNode] = [:]
    private var pending: [Change] = []

    var totalSize: Int { names.values.reduce(0) { $0 + $1.totalSize } }

    func change(_ change: Change) {
        for (name, node) in change { names[name] = node }
        pending.append(change)
    }

    func synchronize() {
        durable = names
        pending = []
    }

    func dropLocks() {
        for node in names.values {
            switch node {
            case .file(let file): file.lockOwner = nil
            case .directory(let directory): directory.dropLocks()
            }
        }
    }

    /// Keeps the durable names and some of the changes since, and crashes what they name.
    func crash(_ choice: inout CrashChoice) {
        for change in pending.prefix(choice.below(pending.count + 1)) {
            for (name, node) in change { durable[name] = node }
        }
        names = durable
        pending = []
        // In the order of names, so that the same choices fall on the same files each time.
        for (_, node) in names.sorted(by: { $0.key < $1.key }) {
            switch node {
            case .file(let file): file.crash(&choice)
            case .directory(let directory): directory.crash(&choice)
            }
        }
    }
}
