/// What a server of the version-2 API answered about keys, as a client reads it.
public struct KeysReply: Equatable, Sendable {
    /// A node in an answer.
    public struct Node: Equatable, Sendable {
        public var key = ""
        public var value = ""
        public var isDirectory = false
        public var createdIndex: UInt64 = 0
        public var modifiedIndex: UInt64 = 0

        /// The last name of the key.
        public var name: String { String(key.split(separator: "/").last ?? "") }

        /// A node without attributes.
        public init() {}
    }

    public var action = ""
    public var node = Node()
    /// What is in the node, one level deep.
    public var children: [Node] = []
    /// etcd's number of the error; 0 for none.
    public var errorCode = 0
    public var message = ""
    public var cause = ""

    /// An empty answer.
    public init() {}

    /// The answer in `body`; nil when it is not the JSON that such servers write.
    public init?(decoding body: [UInt8]) {
        var reader = ReplyReader(body)
        guard (try? reader.read()) != nil, reader.reply.errorCode != 0 || !reader.reply.action.isEmpty else {
            return nil
        }
        self = reader.reply
    }
}

private struct ReplyReader {
    private var scanner: JSONScanner
    var reply = KeysReply()

    init(_ body: [UInt8]) {
        scanner = JSONScanner(body)
    }

    mutating func read() throws(JSONScanner.Malformed) {
        try object { reader, name throws(JSONScanner.Malformed) in
            switch name {
            case "action": reader.reply.action = try reader.text()
            case "node": reader.reply.node = try reader.node(depth: 0)
            case "errorCode": reader.reply.errorCode = Int(clamping: try reader.scanner.number())
            case "message": reader.reply.message = try reader.text()
            case "cause": reader.reply.cause = try reader.text()
            default: try reader.scanner.skip()
            }
        }
    }

    private mutating func object(
        _ field: (inout ReplyReader, String) throws(JSONScanner.Malformed) -> Void
    ) throws(JSONScanner.Malformed) {
        try scanner.expect("{")
        var isFirst = true
        while let name = try scanner.nextName(isFirst: isFirst) {
            isFirst = false
            try field(&self, String(decoding: name, as: UTF8.self))
        }
    }

    private mutating func text() throws(JSONScanner.Malformed) -> String {
        if try scanner.takeNull() { return "" }
        return String(decoding: try scanner.string(), as: UTF8.self)
    }

    private mutating func node(depth: Int) throws(JSONScanner.Malformed) -> KeysReply.Node {
        var node = KeysReply.Node()
        if try scanner.takeNull() { return node }
        try object { reader, name throws(JSONScanner.Malformed) in
            switch name {
            case "key": node.key = try reader.text()
            case "value": node.value = try reader.text()
            case "dir": node.isDirectory = try reader.scanner.boolean()
            case "createdIndex": node.createdIndex = try reader.scanner.number()
            case "modifiedIndex": node.modifiedIndex = try reader.scanner.number()
            case "nodes" where depth == 0:
                if try reader.scanner.takeNull() { return }
                try reader.scanner.expect("[")
                while try reader.scanner.hasElement(isFirst: reader.reply.children.isEmpty) {
                    reader.reply.children.append(try reader.node(depth: 1))
                }
            default: try reader.scanner.skip()
            }
        }
        return node
    }
}
