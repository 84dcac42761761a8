/// What a watcher is told.
public struct StoreV2Notification: Equatable, Sendable {
    /// The watcher's id, as ``KeyTree/watch(_:recursive:stream:since:)`` gave it.
    public var watcher: UInt64
    public var event: StoreV2Event
}

/// Those who wait for changes, by the paths that they watch.
struct WatcherHub {
    private struct Watcher {
        var recursive: Bool
        /// Whether it goes on after the first event.
        var stream: Bool
        var since: UInt64
    }

    /// By path and id: thousands may watch one path, and come and go one by one.
    private var watchers: [[UInt8]: [UInt64: Watcher]] = [:]
    private var paths: [UInt64: [UInt8]] = [:]
    private var lastID: UInt64 = 0
    var notifications: [StoreV2Notification] = []

    var count: Int { paths.count }

    func contains(_ id: UInt64) -> Bool { paths[id] != nil }
    var isEmpty: Bool { paths.isEmpty }

    mutating func add(_ path: [UInt8], recursive: Bool, stream: Bool, since: UInt64) -> UInt64 {
        lastID += 1
        watchers[path, default: [:]][lastID] = Watcher(recursive: recursive, stream: stream, since: since)
        paths[lastID] = path
        return lastID
    }

    mutating func remove(_ id: UInt64) {
        guard let path = paths.removeValue(forKey: id) else { return }
        watchers[path]?[id] = nil
        if watchers[path]?.isEmpty == true { watchers[path] = nil }
    }

    /// Tells those who watch the event's key, or a directory around it.
    mutating func notify(_ event: StoreV2Event) {
        guard !isEmpty else { return }
        var path = [KeyPath.slash]
        notify(event, at: path, deleted: false)
        for (position, name) in KeyPath.names(event.node.key).enumerated() {
            if position > 0 { path.append(KeyPath.slash) }
            path += name
            notify(event, at: path, deleted: false)
        }
    }

    /// Tells those who watch `path`, which has gone by the event when `deleted`.
    mutating func notify(_ event: StoreV2Event, at path: [UInt8], deleted: Bool) {
        guard let found = watchers[path] else { return }
        let isKey = event.node.key == path
        guard isKey || !KeyPath.isHidden(event.node.key, from: path) else { return }
        let told = found.filter { ($1.recursive || isKey || deleted) && event.index >= $1.since }
        notifications += told.keys.sorted().map { StoreV2Notification(watcher: $0, event: event) }
        let ended = told.filter { !$1.stream }
        guard !ended.isEmpty else { return }
        for id in ended.keys { paths[id] = nil }
        watchers[path] = ended.count == found.count ? nil : found.filter { ended[$0.key] == nil }
    }
}
