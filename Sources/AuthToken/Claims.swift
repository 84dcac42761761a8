import FoundationEssentials

/// What a token says of its user (RFC 7519), read as Go's library does: times are numbers, 0 is no time, and `null` is
/// none either.
struct Claims: Sendable {
    let user: String
    let revision: UInt64
    /// From when on and until when it counts, in seconds since 1970. As in etcd what names no end has none.
    private let start: Double?
    private let end: Double?

    /// The claims among `members`; nil when one is missing or of another type.
    init?(_ members: JSONMembers) {
        guard let user = members.text("username"), let revision = members.number("revision"),
            revision >= 0, revision < 0x1p64
        else { return nil }
        self.user = user
        self.revision = UInt64(revision)
        do {
            start = try Self.time(members, "nbf")
            end = try Self.time(members, "exp")
        } catch {
            return nil
        }
    }

    private struct NoTime: Error {}

    private static func time(_ members: JSONMembers, _ name: String) throws(NoTime) -> Double? {
        guard members.has(name) else { return nil }
        guard let seconds = members.number(name) else { throw NoTime() }
        return seconds == 0 ? nil : seconds
    }

    /// Whether the token counts at `now`.
    func count(at now: Int64) -> Bool {
        let now = Double(now)
        return start.map { now >= $0 } ?? true && end.map { now < $0 } ?? true
    }
}

/// The members of a JSON object. Of two with one name the last counts, as RFC 7519 asks of whoever does not refuse them:
/// `JSONDecoder` takes the first, so that it would see another user than Go's members do.
struct JSONMembers {
    private var values: [String: [UInt8]] = [:]

    private struct Anything: Decodable {
        init(from decoder: any Decoder) throws {}
    }

    /// The object in `bytes`; nil when they are none.
    init?(_ bytes: [UInt8]) {
        // From here on only the outermost object's marks must be told from those inside.
        guard (try? JSONDecoder().decode(Anything.self, from: Data(bytes))) != nil else { return nil }
        var rest = Self.trimmed(bytes[...])
        guard rest.first == UInt8(ascii: "{"), rest.last == UInt8(ascii: "}") else { return nil }
        rest = Self.trimmed(rest.dropFirst().dropLast())
        while !rest.isEmpty {
            let (member, following) = Self.split(rest, at: UInt8(ascii: ","))
            let (name, value) = Self.split(member, at: UInt8(ascii: ":"))
            guard let name = Self.decode(String.self, name), let value else { return nil }
            values[name] = Array(value)
            rest = following ?? []
        }
    }

    /// Whether there is a member `name`, of whatever type.
    func has(_ name: String) -> Bool { values[name] != nil }

    func text(_ name: String) -> String? { values[name].flatMap { Self.decode(String.self, $0[...]) } }

    func number(_ name: String) -> Double? { values[name].flatMap { Self.decode(Double.self, $0[...]) } }

    private static func decode<Value: Decodable>(_ type: Value.Type, _ json: ArraySlice<UInt8>) -> Value? {
        try? JSONDecoder().decode(type, from: Data(json))
    }

    /// What is before the first `mark` that is neither in a text nor in an inner value, and what is behind it; nil when
    /// there is none.
    private static func split(
        _ json: ArraySlice<UInt8>, at mark: UInt8
    ) -> (ArraySlice<UInt8>, ArraySlice<UInt8>?) {
        var depth = 0
        var isText = false
        var isEscaped = false
        for (index, byte) in zip(json.indices, json) {
            if isText {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isText = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isText = true
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case mark where depth == 0: return (json[..<index], json[(index + 1)...])
            default: break
            }
        }
        return (json, nil)
    }

    private static func trimmed(_ json: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let isSpace = { (byte: UInt8) in [0x20, 0x09, 0x0a, 0x0d].contains(byte) }
        var json = json.drop(while: isSpace)
        while let last = json.last, isSpace(last) { json.removeLast() }
        return json
    }
}
