import Bolt

/// A read transaction on the file with its `key` bucket looked up once.
///
/// Kept alive by every view that was made over it; the pages it pins are free for reuse when the last of them goes.
final class FileView: @unchecked Sendable {
    let transaction: ReadTransaction
    let keyBucket: Bucket

    init(_ database: Database, path: String) throws(BackendError) {
        let found: Bucket?
        do throws(BoltError) {
            transaction = try database.beginRead()
            found = try transaction.bucket(BackendBucket.key.name)
        } catch {
            throw .bolt(error)
        }
        guard let found else { throw .corrupt(path: path, what: "there is no bucket `key`") }
        keyBucket = found
    }

    deinit { transaction.close() }
}
