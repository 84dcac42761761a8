/// The body that tells of an event, made piece by piece: that of a large directory need not be in memory whole.
public struct EventText: Sendable {
    private let prefix: [UInt8]
    private let now: Int64?
    private let event: StoreV2Event
    private let endsLine: Bool
    private var text = JSONText()
    private var walk: NodeWalk?
    /// The nodes whose ends are still to be written, each inside the one before.
    private var open: [NodeView] = []

    /// Whether all was given.
    public private(set) var isOver = false

    /// The body of `event`, with `prefix` taken off its keys. `now` is in nanoseconds since 1970.
    ///
    /// - Parameter hidesNodes: whether only the action is told.
    public init(_ event: StoreV2Event, trimming prefix: [UInt8], now: Int64, hidesNodes: Bool = false) {
        self.init(event, prefix, now: now, hidesNodes: hidesNodes, endsLine: true)
    }

    /// Without `now` no times to live are told, but when they end.
    init(_ event: StoreV2Event, _ prefix: [UInt8], now: Int64?, hidesNodes: Bool, endsLine: Bool) {
        self.event = event
        self.prefix = prefix
        self.now = now
        self.endsLine = endsLine
        text.beginObject()
        text.name("action")
        text.string(event.action.rawValue)
        if hidesNodes {
            finish()
            return
        }
        text.name("node")
        KeysText.begin(event.node, prefix, now, into: &text)
        open = [event.node]
        walk = event.contents?.walk
    }

    /// The next piece, which is empty only when no node was found to tell of.
    ///
    /// - Parameters:
    ///   - bytes: the size beyond which nothing is added.
    ///   - nodes: how many nodes are looked at.
    public mutating func next(bytes: Int, nodes: Int) -> [UInt8] {
        var left = nodes
        while !isOver, left > 0, text.bytes.count < bytes {
            left -= 1
            if let step = walk?.next() {
                if !step.node.isHidden { write(NodeView(step.node, key: step.path), depth: step.depth) }
            } else {
                closeNodes(downTo: 0)
                writePrevious()
                finish()
            }
        }
        return text.take()
    }

    private mutating func write(_ node: NodeView, depth: Int) {
        if depth == open.count {
            text.name("nodes")
            text.beginList()
        } else {
            KeysText.end(open.removeLast(), into: &text)
            closeLists(downTo: depth)
        }
        KeysText.begin(node, prefix, now, into: &text)
        open.append(node)
    }

    private mutating func closeLists(downTo depth: Int) {
        while open.count > depth {
            text.endList()
            KeysText.end(open.removeLast(), into: &text)
        }
    }

    private mutating func closeNodes(downTo depth: Int) {
        guard let last = open.popLast() else { return }
        KeysText.end(last, into: &text)
        closeLists(downTo: depth)
    }

    private mutating func writePrevious() {
        if let previous = event.previous {
            text.name("prevNode")
            KeysText.begin(previous, prefix, now, into: &text)
            KeysText.end(previous, into: &text)
        }
        // Only snapshots say it.
        if event.isRefresh && now == nil {
            text.name("refresh")
            text.literal("true")
        }
    }

    private mutating func finish() {
        text.endObject()
        if endsLine { text.endLine() }
        isOver = true
    }
}
