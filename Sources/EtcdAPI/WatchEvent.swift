import WireFormat

/// An event of a watch (`mvccpb.Event`), encoded once and shared by every watch that sees it.
public enum WatchEvent {
    /// Appends an event as field 11 of a `WatchResponse`, which is how responses carry it.
    ///
    /// - Parameters:
    ///   - isDelete: whether the event is a DELETE.
    ///   - stored: the encoded key-value; for a delete, one with only key and modification revision.
    ///   - previous: the encoded version before it, when the watch asked for it and it is still there.
    public static func encodeField(
        isDelete: Bool, stored: UnsafeRawBufferPointer, previous: UnsafeRawBufferPointer? = nil,
        into writer: inout WireWriter
    ) {
        var length = WireSize.bool(1, isDelete) + WireSize.alwaysBytes(2, stored.count)
        if let previous { length += WireSize.alwaysBytes(3, previous.count) }
        writer.delimiter(WatchResponsePrefix.eventsField, length: length)
        writer.bool(1, isDelete)
        writer.alwaysBytes(2, stored)
        if let previous { writer.alwaysBytes(3, previous) }
    }
}

/// All of a `WatchResponse` but its events.
///
/// The events are the message's last field, so a response is this prefix followed by the shared bytes of
/// ``WatchEvent/encodeField(isDelete:stored:previous:into:)``.
public struct WatchResponsePrefix: Equatable, Sendable {
    /// The field of the events.
    static let eventsField = 11

    /// The header; its revision is the store's when the response was made.
    public var header: ResponseHeader
    /// The watch that the response is for; -1 answers a request for the whole stream or a refused one.
    public var watchID: Int64
    /// Answers a request to create the watch.
    public var created = false
    /// The watch is over.
    public var canceled = false
    /// The compacted revision, when the watch asked for an older one; 0 otherwise.
    public var compactRevision: Int64 = 0
    /// Why the server ended the watch.
    public var cancelReason = ""
    /// More events of the same revision follow.
    public var fragment = false

    /// A prefix for the watch `watchID`.
    public init(header: ResponseHeader, watchID: Int64) {
        self.header = header
        self.watchID = watchID
    }

    /// The number of bytes that ``encode(into:)`` writes.
    public var encodedSize: Int {
        header.encodedFieldSize + WireSize.int64(2, watchID) + WireSize.bool(3, created) + WireSize.bool(4, canceled)
            + WireSize.int64(5, compactRevision) + WireSize.bytes(6, cancelReason.utf8.count)
            + WireSize.bool(7, fragment)
    }

    /// Appends the encoded fields.
    public func encode(into writer: inout WireWriter) {
        header.encodeField(into: &writer)
        writer.int64(2, watchID)
        writer.bool(3, created)
        writer.bool(4, canceled)
        writer.int64(5, compactRevision)
        writer.string(6, cancelReason)
        writer.bool(7, fragment)
    }
}

/// The texts with which etcd refuses to create a watch, in `cancel_reason`.
public enum WatchCancelReason {
    /// The range's end is not above its key.
    public static let emptyRange = "mvcc: watcher range is empty"
    /// The stream has a watch of the id asked for.
    public static let duplicateID = "mvcc: duplicate watch ID provided on the WatchStream"
    /// The user may not read the range.
    public static let permissionDenied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
}
