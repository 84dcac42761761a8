import Bolt

/// The `key` bucket as it was at one moment: the file, the generation being committed and what came after it.
///
/// Immutable and readable from any thread. It pins pages of the file, so it should live no longer than a request.
public struct BackendView: Sendable {
    let file: FileView
    let frozen: RevisionLogView
    let active: RevisionLogView

    /// Calls `body` with the stored bytes of the change at the revision, valid during the call, and returns whether there
    /// is one. Deletions are not found.
    public func withValue(
        main: Int64, sub: Int64, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(BackendError) -> Bool {
        if let entry = active.find(main: main, sub: sub) ?? frozen.find(main: main, sub: sub) {
            entry.pointee.value.withUnsafeBytes { body($0) }
            return true
        }
        let found: UnsafeRawBufferPointer?
        do throws(BoltError) {
            found = try RevisionKey(main: main, sub: sub).withBytes { (key) throws(BoltError) in
                try file.keyBucket.get(key)
            }
        } catch {
            throw .bolt(error)
        }
        guard let found else { return false }
        body(found)
        return true
    }

    /// Calls `body` with every change from the revision on, in ascending order, until it returns false. The bytes are
    /// valid during the call.
    public func forEach(
        fromMain main: Int64, sub: Int64 = 0, _ body: (RevisionKey, UnsafeRawBufferPointer) -> Bool
    ) throws(BackendError) {
        guard try forEachInFile(from: RevisionKey(main: main, sub: sub), body) else { return }
        for log in [frozen, active] {
            var index = log.lowerBound(main: main, sub: sub)
            while index < log.count {
                let entry = log[index]
                guard entry.pointee.value.withUnsafeBytes({ body(entry.pointee.key, $0) }) else { return }
                index += 1
            }
        }
    }

    private func forEachInFile(
        from start: RevisionKey, _ body: (RevisionKey, UnsafeRawBufferPointer) -> Bool
    ) throws(BackendError) -> Bool {
        var cursor = file.keyBucket.cursor()
        do throws(BoltError) {
            var item = try start.withBytes { (key) throws(BoltError) in try cursor.seek(key) }
            while let (key, value) = item {
                guard let revision = RevisionKey(key), let value else {
                    throw BoltError.incompatibleValue(key: [UInt8](key))
                }
                guard body(revision, value) else { return false }
                item = try cursor.next()
            }
        } catch {
            throw .bolt(error)
        }
        return true
    }
}
