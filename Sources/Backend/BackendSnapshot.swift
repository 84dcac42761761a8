import Bolt
import Checksum

/// The whole file as of one commit, readable from any thread. It pins the file's pages until it goes.
public final class BackendSnapshot: Sendable {
    private let file: FileView

    init(_ file: FileView) {
        self.file = file
    }

    /// The image's length in bytes.
    public var size: Int { file.transaction.fileSize }

    /// Hands the file image, from its first byte to its last, to `sink` in pieces that are valid during the call.
    public func write(to sink: (UnsafeRawBufferPointer) throws -> Void) throws {
        try file.transaction.writeCopy(to: sink)
    }

    /// The CRC-32C over the names, keys and values of all buckets in order, as `Maintenance.Hash` reports it. Left out
    /// are the consistent index and term, which say how far a member has come and not what it holds. (etcd 3.4 left out
    /// the consistent index alone; its files have no term.)
    public func hash() throws(BackendError) -> UInt32 {
        var crc: UInt32 = 0
        do throws(BoltError) {
            for name in try file.transaction.bucketNames() {
                guard let bucket = try file.transaction.bucket(name) else { continue }
                crc = CRC32C.update(crc, name)
                let isMeta = name == BackendBucket.meta.name
                var cursor = bucket.cursor()
                var item = try cursor.first()
                while let (key, value) = item {
                    if !(isMeta && Self.isIgnored(key)) {
                        crc = CRC32C.update(crc, key)
                        if let value { crc = CRC32C.update(crc, value) }
                    }
                    item = try cursor.next()
                }
            }
        } catch {
            throw .bolt(error)
        }
        return crc
    }

    private static func isIgnored(_ key: UnsafeRawBufferPointer) -> Bool {
        key.elementsEqual(MetaKey.consistentIndex) || key.elementsEqual(MetaKey.term)
    }
}
