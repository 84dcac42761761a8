import WireFormat

/// One immutable view of the store, from which lagging watchers are caught up.
public protocol WatchHistory: Sendable {
    /// The last revision in the view.
    var currentRevision: Int64 { get }
    /// The revision below which history is gone; 0 or less when nothing was compacted. The changes of this revision
    /// itself, deletes included, are still there.
    var compactedRevision: Int64 { get }

    /// Visits the changes of the revisions `from` through `through` in order, stopping after the revision with which
    /// more than `byteLimit` bytes were visited.
    ///
    /// - Parameter visit: Is given whether the change is a delete, its revision, and the stored `mvccpb.KeyValue`,
    ///   which is valid during the call. A tombstone's may lack the mod revision.
    /// - Returns: The first revision that was not visited, above `from`.
    func changes(
        from: Int64, through: Int64, byteLimit: Int,
        visit: (_ isDelete: Bool, _ revision: Int64, _ keyValue: UnsafeRawBufferPointer) throws -> Void
    ) throws -> Int64

    /// The encoded `mvccpb.KeyValue` of `key` as it was just before `revision`; nil when the key did not exist then or
    /// that revision is compacted away.
    func previous(of key: [UInt8], before revision: Int64) -> [UInt8]?
}

/// What is wrong with the history that a store gave.
public enum WatchHistoryError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The KeyValue stored at `revision` cannot be decoded.
    case malformed(revision: Int64, WireError)
    /// The KeyValue stored at `revision` has no key.
    case missingKey(revision: Int64)
    /// Reading `from` this revision gave `next` as the revision to go on with, which is not ahead.
    case noProgress(from: Int64, next: Int64)
    /// A change came with a revision outside of what was asked for, or not in order.
    case disorder(revision: Int64)

    public var description: String {
        switch self {
        case .malformed(let revision, let error): "history at revision \(revision): \(error)"
        case .missingKey(let revision): "history at revision \(revision): the stored value has no key"
        case .noProgress(let from, let next): "history from revision \(from) continues at \(next), which is not ahead"
        case .disorder(let revision): "history gave revision \(revision) out of order"
        }
    }
}

extension WatchChange {
    /// The change that a stored `mvccpb.KeyValue` stands for.
    init(
        isDelete: Bool, revision: Int64, sub: Int64, stored: UnsafeRawBufferPointer
    ) throws(WatchHistoryError) {
        let fields: (key: [UInt8], createRevision: Int64)
        do {
            fields = try Self.fields(of: stored)
        } catch {
            throw .malformed(revision: revision, error)
        }
        guard !fields.key.isEmpty else { throw .missingKey(revision: revision) }
        var encoded: [UInt8]
        if isDelete {
            var writer = WireWriter(capacity: fields.key.count + 24)
            writer.bytes(1, fields.key)
            writer.int64(3, revision)
            encoded = writer.bytes
        } else {
            encoded = [UInt8](stored)
        }
        self.init(
            isDelete: isDelete, isCreate: !isDelete && fields.createRevision == revision, key: fields.key,
            encodedKeyValue: encoded, revision: revision, sub: sub)
    }

    /// The fields of a KeyValue that matching needs: the key (1) and the create revision (2).
    static func fields(of stored: UnsafeRawBufferPointer) throws(WireError) -> (key: [UInt8], createRevision: Int64) {
        var reader = WireReader(stored)
        var key: [UInt8] = []
        var createRevision: Int64 = 0
        while let tag = try reader.next() {
            switch tag.field {
            case 1: key = try reader.byteArray(tag)
            case 2: createRevision = try reader.int64(tag)
            default: try reader.skip(tag)
            }
        }
        return (key, createRevision)
    }
}
