import FoundationEssentials

/// The JSON that etcd's members exchange and store, byte for byte as Go's encoder writes it.
public enum MemberJSON {
    /// A member as it stands in configuration changes, in the `members` bucket and in the list of members.
    public static func encode(_ member: Member) -> [UInt8] {
        var writer = JSONText()
        writer.object { write(member, into: &$0) }
        return Array(writer.text.utf8)
    }

    /// A list of members.
    public static func encode(_ members: [Member]) -> [UInt8] {
        var writer = JSONText()
        writer.list(members) { writer, member in writer.object { write(member, into: &$0) } }
        return Array(writer.text.utf8)
    }

    /// What a member publishes of itself.
    public static func encode(_ attributes: PublishedAttributes) -> [UInt8] {
        var writer = JSONText()
        writer.object { writer in
            write(name: attributes.name ?? "", clientURLs: attributes.clientURLs ?? [], into: &writer)
        }
        return Array(writer.text.utf8)
    }

    /// What Raft's configuration carries of a member.
    static func encode(_ attributes: RaftAttributes) -> [UInt8] {
        var writer = JSONText()
        writer.object { writer in
            write(peerURLs: attributes.peerURLs, isLearner: attributes.isLearner ?? false, into: &writer)
        }
        return Array(writer.text.utf8)
    }

    /// The context of the change that makes the learner `id` a voter.
    public static func promotion(of id: UInt64) -> [UInt8] {
        var writer = JSONText()
        writer.object { writer in
            write(Member(id: id, peerURLs: []), into: &writer)
            writer.field("isPromote") { $0.text += "true" }
        }
        return Array(writer.text.utf8)
    }

    private static func write(_ member: Member, into writer: inout JSONText) {
        writer.field("id") { $0.text += "\(member.id)" }
        write(peerURLs: member.peerURLs, isLearner: member.isLearner, into: &writer)
        write(name: member.name, clientURLs: member.clientURLs, into: &writer)
    }

    private static func write(peerURLs: [String], isLearner: Bool, into writer: inout JSONText) {
        writer.field("peerURLs") { writer in
            // Go writes a list that was never made as null.
            if peerURLs.isEmpty { writer.text += "null" } else { writer.list(peerURLs) { $0.string($1) } }
        }
        if isLearner { writer.field("isLearner") { $0.text += "true" } }
    }

    private static func write(name: String, clientURLs: [String], into writer: inout JSONText) {
        if !name.isEmpty { writer.field("name") { $0.string(name) } }
        if !clientURLs.isEmpty { writer.field("clientURLs") { $0.list(clientURLs) { $0.string($1) } } }
    }

    /// The published attributes in `bytes`, or nil when they are something else.
    public static func attributes(_ bytes: [UInt8]) -> PublishedAttributes? {
        try? JSONDecoder().decode(PublishedAttributes.self, from: Data(bytes))
    }

    /// The member in `bytes`, or nil when they are something else.
    public static func member(_ bytes: [UInt8]) -> Member? {
        try? JSONDecoder().decode(Member.self, from: Data(bytes))
    }

    /// The list of members in `bytes`, or nil when they are something else.
    public static func members(_ bytes: [UInt8]) -> [Member]? {
        try? JSONDecoder().decode([Member].self, from: Data(bytes))
    }
}

/// JSON that is being written, with Go's escapes.
private struct JSONText {
    var text = ""
    private var needsComma = false

    mutating func object(_ body: (inout JSONText) -> Void) {
        text += "{"
        needsComma = false
        body(&self)
        text += "}"
        needsComma = true
    }

    mutating func field(_ name: String, _ value: (inout JSONText) -> Void) {
        if needsComma { text += "," }
        string(name)
        text += ":"
        value(&self)
        needsComma = true
    }

    mutating func list<Element>(_ elements: [Element], _ body: (inout JSONText, Element) -> Void) {
        text += "["
        for (position, element) in elements.enumerated() {
            if position > 0 { text += "," }
            body(&self, element)
        }
        text += "]"
    }

    mutating func string(_ value: String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            // Go also escapes what would end a script in HTML or JavaScript.
            case "<", ">", "&", "\u{2028}", "\u{2029}", "\0"..<" ":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
