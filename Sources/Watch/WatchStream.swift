/// A watch stream of a client, with its watchers.
struct WatchStream {
    /// The shell's name for it; nil for a free row.
    var id: WatchStreamID?
    /// The watchers' rows by watch id.
    var watchers: [Int64: Int32] = [:]
    /// Where the search for a free watch id goes on.
    var nextID: Int64 = 0
    /// The bytes delivered and not yet reported as written.
    var pendingBytes = 0
    /// Whether more than the limit is pending; its watchers are set aside as events come up for them.
    var isBlocked = false
    /// The watchers that wait for the stream to become writable.
    var setAside = WatcherList()
    /// How many of its watchers are not synced.
    var laggingCount = 0
    /// Whether the client waits for a progress report.
    var progressRequested = false
}
