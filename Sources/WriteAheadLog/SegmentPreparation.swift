import Disk
import Synchronization

/// Makes segment files ahead of their use, under temporary names.
final class SegmentPreparation: Sendable {
    /// A preallocated, locked file of zeros.
    struct Prepared: Sendable {
        var path: String
        var file: any DiskFile
    }

    private struct State {
        var prepared: Prepared?
        /// How many were made; names alternate between two, so that one in use is never overwritten.
        var count = 0
    }

    private let directory: LogDirectory
    private let size: Int
    private let state = Mutex(State())

    init(directory: LogDirectory, size: Int) {
        self.directory = directory
        self.size = size
    }

    /// Makes a file unless one is there. A concurrent ``take()`` waits for it.
    func prepare() throws(WALError) {
        try state.withLock { state throws(WALError) in
            if state.prepared == nil { state.prepared = try make(&state) }
        }
    }

    /// The prepared file, or one made now.
    func take() throws(WALError) -> Prepared {
        try state.withLock { state throws(WALError) in
            if let prepared = state.prepared {
                state.prepared = nil
                return prepared
            }
            return try make(&state)
        }
    }

    /// Removes a file that was not used; should that fail, the next preparation overwrites it.
    func close() {
        state.withLock { state in
            guard let prepared = state.prepared else { return }
            prepared.file.close()
            try? directory.disk.remove(prepared.path)
            state.prepared = nil
        }
    }

    private func make(_ state: inout State) throws(WALError) -> Prepared {
        let path = "\(directory.path)/\(state.count % 2).tmp"
        let size = size
        let file = try onDisk { () throws(DiskError) in
            let file = try directory.disk.open(path, .create)
            // One that a crash left behind may hold bytes, and a segment must begin as zeros.
            try file.truncate(to: 0)
            try file.allocate(size)
            return file
        }
        guard try onDisk({ () throws(DiskError) in try file.lock(wait: false) }) else { throw .locked(file: path) }
        state.count += 1
        return Prepared(path: path, file: file)
    }
}
