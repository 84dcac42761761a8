import Bolt
import Disk

extension Backend {
    /// Copies the file, without its free pages, to a new one beside it and puts that in its place. The owner is held up
    /// meanwhile; readers go on with the views they have. No commit may be in flight; what is pending is committed first.
    ///
    /// When it fails, the file is as it was, but for one case: after a refusal to synchronise the directory the new file is
    /// in place, and a power loss may bring the old one back. The member should then stop, as after a failed commit.
    public func defragment() throws(BackendError) {
        try commitNow()
        let temporary = path + ".tmp"
        try removeLeftover(temporary)
        do throws(BackendError) {
            try exchange(temporary)
        } catch {
            try? removeLeftover(temporary)
            throw error
        }
        do throws(DiskError) {
            try disk.synchronizeDirectory(directory)
        } catch {
            throw .disk(error)
        }
    }

    /// Writes the copy, opens it, gives it the file's name and goes over to it.
    private func exchange(_ temporary: String) throws(BackendError) {
        let copy: Database
        do throws(BoltError) {
            try database.compactCopy(to: temporary, on: disk)
            copy = try Database(disk: disk, path: temporary, options: options.database)
        } catch {
            throw .bolt(error)
        }
        let view = try FileView(copy, path: path)
        do throws(DiskError) {
            // Nothing that can fail comes between the new name and the use of the new file.
            try disk.rename(temporary, to: path)
        } catch {
            copy.close()
            throw .disk(error)
        }
        replaceDatabase(copy, view)
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
