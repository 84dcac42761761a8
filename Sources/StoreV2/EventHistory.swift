/// The newest events, for watchers that ask for the past.
struct EventHistory {
    /// etcd keeps as many; its members index into a list of this length without looking.
    static let capacity = 1_000

    /// The events in the order of their indexes; at most ``capacity`` of them count, from ``front`` on.
    private var events: [StoreV2Event] = []
    private var front = 0
    private(set) var lastIndex: UInt64 = 0

    /// The index of the oldest event, or 0.
    var startIndex: UInt64 { front < events.count ? events[front].index : 0 }
    var list: ArraySlice<StoreV2Event> { events[front...] }

    init() {}

    /// The history of `events`, which are in the order of their indexes.
    init(_ events: [StoreV2Event]) {
        for event in events { add(event) }
    }

    mutating func add(_ event: StoreV2Event) {
        events.append(event)
        lastIndex = event.index
        guard events.count - front > Self.capacity else { return }
        front += 1
        // Seldom enough to cost nothing for each event.
        if front >= Self.capacity {
            events.removeFirst(front)
            front = 0
        }
    }

    /// The first event from `index` on that a watcher of `key` is to hear of.
    /// - Parameter storeIndex: what an error says of the store.
    func first(
        of key: [UInt8], recursive: Bool, from index: UInt64, storeIndex: UInt64
    ) throws(StoreV2Error) -> StoreV2Event? {
        let start = startIndex
        guard index >= start else {
            throw StoreV2Error(
                .eventIndexCleared, "the requested history has been cleared [\(start)/\(index)]", index: storeIndex)
        }
        return list.first { event in
            guard event.index >= index, !event.isRefresh else { return false }
            if event.node.key == key { return true }
            if recursive && KeyPath.isInside(event.node.key, key) { return true }
            return event.endsDirectory && KeyPath.isInside(key, event.node.key)
        }
    }
}
