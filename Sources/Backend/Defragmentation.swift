import Bolt
import Disk

extension Backend {
    /// Copies the file, without its free pages, to a new one beside it and puts that in its place. The owner is held up
    /// meanwhile; readers go on with the views they have. No commit may be in flight; what is pending is committed first.
    /// When it fails, the file is as it was.
    public func defragment() throws(BackendError) {
        try commitNow()
        let temporary = path + ".tmp"
        try removeLeftover(temporary)
        do throws(BackendError) {
            let copy: Database
            do throws(BoltError) {
                try database.compactCopy(to: temporary, on: disk)
                // Opened before it gets its name, so that no step that can fail comes after the exchange.
                copy = try Database(disk: disk, path: temporary, options: options.database)
            } catch {
                throw BackendError.bolt(error)
            }
            do throws(DiskError) {
                try disk.rename(temporary, to: path)
                try disk.synchronizeDirectory(directory)
            } catch {
                copy.close()
                throw BackendError.disk(error)
            }
            try replaceDatabase(copy)
        } catch {
            try? removeLeftover(temporary)
            throw error
        }
    }

    /// Removes the copy of a defragmentation that did not come to its end.
    private func removeLeftover(_ temporary: String) throws(BackendError) {
        do throws(DiskError) {
            if disk.exists(temporary) { try disk.remove(temporary) }
        } catch {
            throw .disk(error)
        }
    }

    private var directory: String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
