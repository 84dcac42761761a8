/// The JSON in which etcd's snapshot files carry the version-2 store.
extension KeyTreeMoment {
    /// The version that etcd gives the store.
    private static let version: UInt64 = 2

    /// The store's image.
    public func encoded() -> [UInt8] {
        if let image { return image }
        var text = JSONText()
        text.beginObject()
        text.name("Root")
        encodeTree(into: &text)
        text.name("WatcherHub")
        text.beginObject()
        text.name("EventHistory")
        encodeHistory(into: &text)
        text.endObject()
        text.name("CurrentIndex")
        text.number(index)
        text.name("Stats")
        statistics.encode(watchers: watchers, into: &text)
        text.name("CurrentVersion")
        text.number(Self.version)
        text.endObject()
        return text.bytes
    }

    private func encodeTree(into text: inout JSONText) {
        begin(root, [KeyPath.slash], into: &text)
        // The nodes whose ends are still to be written, the root first; of each whether it is a directory.
        var open = [true]
        func close(downTo depth: Int) {
            while open.count > depth {
                if open.removeLast() { text.endObject() }
                text.endObject()
            }
        }
        if let inside = root.children {
            for step in NodeWalk(inside, at: [KeyPath.slash], .all) {
                close(downTo: step.depth)
                text.name(step.node.name)
                begin(step.node, step.path, into: &text)
                open.append(step.node.isDirectory)
            }
        }
        close(downTo: 0)
    }

    /// Writes a node up to what it holds.
    private func begin(_ node: Node, _ path: [UInt8], into text: inout JSONText) {
        text.beginObject()
        text.name("Path")
        text.string(path)
        text.name("CreatedIndex")
        text.number(node.createdIndex)
        text.name("ModifiedIndex")
        text.number(node.modifiedIndex)
        text.name("ExpireTime")
        text.string(node.expiration.map(GoTime.text) ?? GoTime.zero)
        text.name("Value")
        text.string(node.value)
        text.name("Children")
        // By this etcd tells a key from an empty directory.
        if node.isDirectory { text.beginObject() } else { text.literal("null") }
    }

    private func encodeHistory(into text: inout JSONText) {
        let events = history.list
        text.beginObject()
        text.name("Queue")
        text.beginObject()
        text.name("Events")
        text.beginList()
        for event in events {
            var event = EventText(event, [], now: nil, hidesNodes: false, endsLine: false)
            text.json(event.next(bytes: .max, nodes: .max))
        }
        for _ in events.count..<EventHistory.capacity { text.literal("null") }
        text.endList()
        text.name("Size")
        text.number(UInt64(events.count))
        text.name("Front")
        text.number(0)
        text.name("Back")
        text.number(UInt64(events.count % EventHistory.capacity))
        text.name("Capacity")
        text.number(UInt64(EventHistory.capacity))
        text.endObject()
        text.name("StartIndex")
        text.number(history.startIndex)
        text.name("LastIndex")
        text.number(history.lastIndex)
        text.endObject()
    }
}

extension StoreV2Statistics {
    /// Writes the statistics, and how many watch, as etcd tells them.
    func encode(watchers: Int, into text: inout JSONText) {
        text.beginObject()
        for (name, value) in named(watchers: watchers) {
            text.name(name)
            text.number(value)
        }
        text.endObject()
    }
}

extension KeyTree {
    /// What is wrong with an image.
    public struct Malformed: Error, CustomStringConvertible {
        public var description: String
    }

    /// The store whose image `bytes` are.
    public convenience init(decoding bytes: [UInt8]) throws(Malformed) {
        var reader = ImageReader(bytes)
        do {
            try reader.read()
        } catch {
            throw Malformed(description: "the snapshot's version-2 store is not the JSON that etcd writes: \(error)")
        }
        self.init(root: reader.root)
        index = reader.index
        statistics = reader.statistics
        history = EventHistory(reader.events)
        for step in NodeWalk(root.children ?? Directory(), at: [KeyPath.slash], .all) {
            if let expiration = step.node.expiration { expiries.set(step.path, expiration) }
        }
    }
}

/// An image that is being read.
private struct ImageReader {
    private var scanner: JSONScanner
    var root = Node.root
    var index: UInt64 = 0
    var statistics = StoreV2Statistics()
    var events: [StoreV2Event] = []

    init(_ bytes: [UInt8]) {
        scanner = JSONScanner(bytes)
    }

    mutating func read() throws(JSONScanner.Malformed) {
        var hasRoot = false
        try object { reader, name throws(JSONScanner.Malformed) in
            switch name {
            case "Root":
                try reader.readTree()
                hasRoot = true
            case "WatcherHub": try reader.readHub()
            case "CurrentIndex":
                reader.index = try reader.scanner.number()
                guard reader.index <= KeyTree.greatestIndex else {
                    throw reader.scanner.malformed("an index from which there is none to go on with stands")
                }
            case "Stats":
                try reader.object { reader, name throws(JSONScanner.Malformed) in
                    reader.statistics.set(name, try reader.scanner.number())
                }
            default: try reader.scanner.skip()
            }
        }
        guard hasRoot else { throw scanner.malformed("there is no root") }
    }

    /// Reads an object, or null, by its fields.
    private mutating func object(
        _ field: (inout ImageReader, String) throws(JSONScanner.Malformed) -> Void
    ) throws(JSONScanner.Malformed) {
        if try scanner.takeNull() { return }
        try scanner.expect("{")
        var isFirst = true
        while let name = try scanner.nextName(isFirst: isFirst) {
            isFirst = false
            try field(&self, String(decoding: name, as: UTF8.self))
        }
    }

    /// A node that was begun: its fields are read, or its children.
    private struct Open {
        var node: Node
        var children: [Node] = []
        var isFirst = true
        var inChildren = false
    }

    private mutating func readTree() throws(JSONScanner.Malformed) {
        try scanner.expect("{")
        var open = [Open(node: Node(name: [], index: 0))]
        while var top = open.popLast() {
            guard let name = try scanner.nextName(isFirst: top.isFirst) else {
                if top.inChildren {
                    top.node.children = Directory(top.children)
                    top.children = []
                    (top.inChildren, top.isFirst) = (false, false)
                    open.append(top)
                } else if open.isEmpty {
                    root = top.node
                } else {
                    open[open.count - 1].children.append(top.node)
                }
                continue
            }
            top.isFirst = false
            if top.inChildren {
                guard !name.isEmpty, !name.contains(KeyPath.slash) else {
                    throw scanner.malformed("a node has the name \"\(String(decoding: name, as: UTF8.self))\"")
                }
                try scanner.expect("{")
                open.append(top)
                open.append(Open(node: Node(name: name, index: 0)))
            } else if name.elementsEqual("Children".utf8), try !scanner.takeNull() {
                try scanner.expect("{")
                (top.inChildren, top.isFirst) = (true, true)
                open.append(top)
            } else {
                try readField(name, of: &top.node)
                open.append(top)
            }
        }
        if root.children == nil { root.children = Directory() }
    }

    private mutating func readField(_ name: [UInt8], of node: inout Node) throws(JSONScanner.Malformed) {
        switch String(decoding: name, as: UTF8.self) {
        case "CreatedIndex": node.createdIndex = try scanner.number()
        case "ModifiedIndex": node.modifiedIndex = try scanner.number()
        case "ExpireTime": node.expiration = try time()
        case "Value": node.value = try scanner.string()
        // Its null was taken.
        case "Children": return
        default: try scanner.skip()
        }
    }

    private mutating func time() throws(JSONScanner.Malformed) -> Int64? {
        let text = try scanner.string()
        if text.elementsEqual(GoTime.zero.utf8) { return nil }
        guard let time = GoTime.nanoseconds(text) else { throw scanner.malformed("no time stands") }
        return time
    }

    private mutating func readHub() throws(JSONScanner.Malformed) {
        try object { reader, name throws(JSONScanner.Malformed) in
            guard name == "EventHistory" else { return try reader.scanner.skip() }
            try reader.object { reader, name throws(JSONScanner.Malformed) in
                guard name == "Queue" else { return try reader.scanner.skip() }
                try reader.readQueue()
            }
        }
    }

    /// The queue is a ring: what its slots hold is put in order by the events' own indexes.
    private mutating func readQueue() throws(JSONScanner.Malformed) {
        try object { reader, name throws(JSONScanner.Malformed) in
            guard name == "Events", try !reader.scanner.takeNull() else {
                if name != "Events" { try reader.scanner.skip() }
                return
            }
            try reader.scanner.expect("[")
            var isFirst = true
            while try reader.scanner.hasElement(isFirst: isFirst) {
                isFirst = false
                if try reader.scanner.takeNull() { continue }
                if let event = try reader.readEvent() { reader.events.append(event) }
            }
            reader.events.sort { $0.index < $1.index }
        }
    }

    private mutating func readEvent() throws(JSONScanner.Malformed) -> StoreV2Event? {
        var action: StoreV2Event.Action?
        var node: NodeView?
        var previous: NodeView?
        var isRefresh = false
        try object { reader, name throws(JSONScanner.Malformed) in
            switch name {
            case "action":
                action = StoreV2Event.Action(rawValue: String(decoding: try reader.scanner.string(), as: UTF8.self))
            case "node": node = try reader.readView()
            case "prevNode": previous = try reader.readView()
            case "refresh": isRefresh = try reader.scanner.boolean()
            default: try reader.scanner.skip()
            }
        }
        guard let action, let node else { return nil }
        var event = StoreV2Event(action, node, previous: previous, storeIndex: node.modifiedIndex)
        event.isRefresh = isRefresh
        return event
    }

    private mutating func readView() throws(JSONScanner.Malformed) -> NodeView? {
        if try scanner.takeNull() { return nil }
        var view = NodeView(key: [], modifiedIndex: 0, createdIndex: 0)
        try object { reader, name throws(JSONScanner.Malformed) in
            switch name {
            case "key": view.key = try reader.scanner.string()
            case "value": view.value = try reader.scanner.takeNull() ? nil : try reader.scanner.string()
            case "dir": view.isDirectory = try reader.scanner.boolean()
            case "expiration": view.expiration = try reader.scanner.takeNull() ? nil : try reader.time()
            case "modifiedIndex": view.modifiedIndex = try reader.scanner.number()
            case "createdIndex": view.createdIndex = try reader.scanner.number()
            default: try reader.scanner.skip()
            }
        }
        return view
    }
}
