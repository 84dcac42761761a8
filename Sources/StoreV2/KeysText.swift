/// Events and errors in the JSON of the version-2 API.
public enum KeysText {
    /// The body that tells of `event`, with `prefix` taken off its keys. `now` is in nanoseconds since 1970.
    ///
    /// - Parameter hidesNodes: whether only the action is told.
    public static func body(
        _ event: StoreV2Event, trimming prefix: [UInt8], now: Int64, hidesNodes: Bool = false
    ) -> [UInt8] {
        var text = EventText(event, trimming: prefix, now: now, hidesNodes: hidesNodes)
        return text.next(bytes: .max, nodes: .max)
    }

    /// The body that tells of `error`, with `prefix` taken off its cause.
    public static func body(_ error: StoreV2Error, trimming prefix: [UInt8]) -> [UInt8] {
        var text = JSONText()
        text.beginObject()
        text.name("errorCode")
        text.number(UInt64(error.code.rawValue))
        text.name("message")
        text.string(error.code.message)
        let cause = trimmed(error.cause, prefix)
        if !cause.isEmpty {
            text.name("cause")
            text.string(cause)
        }
        text.name("index")
        text.number(error.index)
        text.endObject()
        return text.bytes + [UInt8(ascii: "\n")]
    }

    /// The statistics of `tree`.
    public static func statistics(_ tree: KeyTree) -> [UInt8] {
        var text = JSONText()
        tree.statistics.encode(watchers: tree.watcherCount, into: &text)
        return text.bytes
    }

    static func begin(_ node: NodeView, _ prefix: [UInt8], _ now: Int64?, into text: inout JSONText) {
        text.beginObject()
        let key = trimmed(node.key, prefix)
        if !key.isEmpty {
            text.name("key")
            text.string(key)
        }
        if let value = node.value {
            text.name("value")
            text.string(value)
        }
        if node.isDirectory {
            text.name("dir")
            text.literal("true")
        }
        guard let expiration = node.expiration else { return }
        text.name("expiration")
        text.string(GoTime.text(expiration))
        let left = now.map { secondsLeft(until: expiration, now: $0) } ?? 0
        if left > 0 {
            text.name("ttl")
            text.number(UInt64(left))
        }
    }

    static func end(_ node: NodeView, into text: inout JSONText) {
        for (name, index) in [("modifiedIndex", node.modifiedIndex), ("createdIndex", node.createdIndex)]
        where index != 0 {
            text.name(name)
            text.number(index)
        }
        text.endObject()
    }

    /// Whole seconds, the one that has begun included.
    private static func secondsLeft(until expiration: Int64, now: Int64) -> Int64 {
        let (left, overflow) = expiration.subtractingReportingOverflow(now)
        guard !overflow, left > 0 else { return 0 }
        return (left - 1) / 1_000_000_000 + 1
    }

    private static func trimmed(_ key: [UInt8], _ prefix: [UInt8]) -> [UInt8] {
        key.starts(with: prefix) ? Array(key[prefix.count...]) : key
    }
}
