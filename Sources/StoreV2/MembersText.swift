/// The JSON of `/v2/members` and of the API's messages.
public enum MembersText {
    /// A member as this API lists it.
    public struct Entry: Equatable, Sendable {
        public var id: String
        public var name: String
        public var peerURLs: [String]
        public var clientURLs: [String]

        /// An entry of these parts.
        public init(id: String, name: String, peerURLs: [String], clientURLs: [String]) {
            self.id = id
            self.name = name
            self.peerURLs = peerURLs
            self.clientURLs = clientURLs
        }
    }

    /// The body that lists members.
    public static func list(_ members: [Entry]) -> [UInt8] {
        var text = JSONText()
        text.beginObject()
        text.name("members")
        text.beginList()
        for member in members { write(member, into: &text) }
        text.endList()
        text.endObject()
        return text.bytes + [UInt8(ascii: "\n")]
    }

    /// The body with one member.
    public static func one(_ member: Entry) -> [UInt8] {
        var text = JSONText()
        write(member, into: &text)
        return text.bytes + [UInt8(ascii: "\n")]
    }

    /// The body with a message for a person.
    public static func message(_ message: String) -> [UInt8] {
        var text = JSONText()
        text.beginObject()
        text.name("message")
        text.string(message)
        text.endObject()
        return text.bytes
    }

    /// Why the body of a request is not taken, in Go's words as far as they are worth it.
    public struct Refusal: Error, Equatable, Sendable {
        public var message: String
    }

    /// The peer URLs in the body of a request, as they stand there.
    public static func peerURLs(_ body: [UInt8]) throws(Refusal) -> [String] {
        let blank: [UInt8] = [0x20, 0x0a, 0x0d, 0x09]
        guard let first = body.first(where: { !blank.contains($0) }) else {
            throw Refusal(message: "unexpected end of JSON input")
        }
        guard Array("{[\"ntf-0123456789".utf8).contains(first) else {
            let shown = String(decoding: [first], as: UTF8.self)
            throw Refusal(message: "invalid character '\(shown)' looking for beginning of value")
        }
        var scanner = JSONScanner(body)
        var urls: [String] = []
        do throws(JSONScanner.Malformed) {
            if try scanner.takeNull() { return [] }
            try scanner.expect("{")
            var isFirst = true
            while let name = try scanner.nextName(isFirst: isFirst) {
                isFirst = false
                guard String(decoding: name, as: UTF8.self).lowercased() == "peerurls" else {
                    try scanner.skip()
                    continue
                }
                urls = try list(&scanner)
            }
        } catch {
            throw Refusal(message: error.description)
        }
        return urls
    }

    private static func list(_ scanner: inout JSONScanner) throws(JSONScanner.Malformed) -> [String] {
        if try scanner.takeNull() { return [] }
        try scanner.expect("[")
        var texts: [String] = []
        while try scanner.hasElement(isFirst: texts.isEmpty) {
            texts.append(String(decoding: try scanner.string(), as: UTF8.self))
        }
        return texts
    }

    private static func write(_ member: Entry, into text: inout JSONText) {
        text.beginObject()
        for (name, value) in [("id", member.id), ("name", member.name)] {
            text.name(name)
            text.string(value)
        }
        for (name, urls) in [("peerURLs", member.peerURLs), ("clientURLs", member.clientURLs)] {
            text.name(name)
            text.beginList()
            for url in urls { text.string(url) }
            text.endList()
        }
        text.endObject()
    }
}
