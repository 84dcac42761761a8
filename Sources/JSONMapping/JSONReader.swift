import WireFormat

/// Reads JSON as protobuf messages. Names may be those of the definition or in camel case, numbers may be in quotes,
/// enumerations may be names or numbers, and fields that are not known are passed over.
///
/// What is refused, and in which order, is what Go's reader refuses: of several mistakes in a message the one of the field
/// defined first. The value must have been accepted by ``JSONScanner``.
struct JSONReader {
    /// Deeper messages are refused; those of etcd nest only by transactions inside transactions, which have limits of
    /// their own far below.
    private static let maximumDepth = 100

    private let schema: Schema
    private let bytes: ArraySlice<UInt8>
    private var position: Int
    private var depth = 0

    init(schema: Schema, bytes: ArraySlice<UInt8>) {
        self.schema = schema
        self.bytes = bytes
        position = bytes.startIndex
    }

    /// The kind of the value that comes next, by its first byte.
    private enum ValueKind: String {
        case object, array, string, number, bool, null
    }

    /// What was read of a field.
    private enum Reading {
        /// Nothing: the value is null or the default.
        case nothing
        /// The field in wire form.
        case field([UInt8])
        case failure(JSONMappingError)
    }

    // MARK: Messages

    mutating func readMessage(_ type: Int) throws(JSONMappingError) -> [UInt8] {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else { throw JSONMappingError(description: "json: message nested too deep") }
        let kind = nextKind()
        guard kind == .object else {
            skipValue()
            if kind == .null { return [] }
            throw Self.mismatch(kind.rawValue, "map[string]json.RawMessage")
        }
        let message = schema.messages[type]
        var readings = [(reading: Reading, isCamel: Bool)?](repeating: nil, count: message.fields.count)
        position += 1
        while nextByte() != UInt8(ascii: "}") {
            let key = JSONText.unescape(readString())
            skipSpaceAnd(UInt8(ascii: ":"))
            if let (place, isCamel) = message.names[key], isCamel || readings[place]?.isCamel != true {
                readings[place] = (readField(message.fields[place]), isCamel)
            } else {
                skipValue()
            }
            if nextByte() == UInt8(ascii: ",") { position += 1 }
        }
        position += 1
        return try assemble(message, readings.map { $0?.reading })
    }

    /// The message of its fields. Of several fields of one group, only the last counts: two readers of one message must
    /// never see two different ones.
    private func assemble(_ message: MessageSchema, _ readings: [Reading?]) throws(JSONMappingError) -> [UInt8] {
        var chosen: [Int: Int] = [:]
        // Members of groups are looked at after the other fields.
        for isGroup in [false, true] {
            for (place, reading) in readings.enumerated() {
                guard let reading, (message.fields[place].group != nil) == isGroup else { continue }
                if case .failure(let error) = reading { throw error }
                if case .field = reading, let group = message.fields[place].group { chosen[group] = place }
            }
        }
        var wire: [UInt8] = []
        for (place, reading) in readings.enumerated() {
            guard case .field(let field) = reading else { continue }
            if let group = message.fields[place].group, chosen[group] != place { continue }
            wire += field
        }
        return wire
    }

    private mutating func readField(_ field: FieldSchema) -> Reading {
        let start = position
        do throws(JSONMappingError) {
            return field.isRepeated ? try readList(field) : try readSingle(field)
        } catch {
            position = start
            skipValue()
            return .failure(error)
        }
    }

    private mutating func readSingle(_ field: FieldSchema) throws(JSONMappingError) -> Reading {
        if case .message(let type) = field.kind {
            if nextKind() == .null {
                skipValue()
                return .nothing
            }
            var writer = WireWriter()
            writer.alwaysBytes(field.number, try readMessage(type))
            return .field(writer.bytes)
        }
        var writer = WireWriter()
        switch field.kind {
        case .string, .bytes:
            let value = try readBytes(field.kind)
            if value.isEmpty, field.group == nil { return .nothing }
            writer.alwaysBytes(field.number, value)
        default:
            let value = try readNumber(field.kind)
            if value == 0, field.group == nil { return .nothing }
            writer.alwaysVarint(field.number, value)
        }
        return .field(writer.bytes)
    }

    private mutating func readList(_ field: FieldSchema) throws(JSONMappingError) -> Reading {
        let kind = nextKind()
        guard kind == .array else {
            skipValue()
            if kind == .null { return .nothing }
            throw Self.mismatch(kind.rawValue, "[]json.RawMessage")
        }
        var writer = WireWriter()
        var packed = WireWriter()
        position += 1
        while nextByte() != UInt8(ascii: "]") {
            switch field.kind {
            case .message(let type): writer.alwaysBytes(field.number, try readMessage(type))
            case .string, .bytes: writer.alwaysBytes(field.number, try readBytes(field.kind))
            default: packed.rawVarint(try readNumber(field.kind))
            }
            if nextByte() == UInt8(ascii: ",") { position += 1 }
        }
        position += 1
        if !packed.bytes.isEmpty { writer.alwaysBytes(field.number, packed.bytes) }
        return writer.bytes.isEmpty ? .nothing : .field(writer.bytes)
    }

    /// The text of the member `name` of the object that comes, in whatever case; empty when there is none or null comes,
    /// nil when something else comes.
    mutating func readText(of name: String) -> String? {
        var text = ""
        var isText = true
        switch nextKind() {
        case .null: return ""
        case .object: position += 1
        default: return nil
        }
        while nextByte() != UInt8(ascii: "}") {
            let key = String(decoding: JSONText.unescape(readString()), as: UTF8.self)
            skipSpaceAnd(UInt8(ascii: ":"))
            let kind = nextKind()
            if key.lowercased() == name, kind == .string {
                text = String(decoding: JSONText.unescape(readString()), as: UTF8.self)
            } else {
                if key.lowercased() == name, kind != .null { isText = false }
                skipValue()
            }
            if nextByte() == UInt8(ascii: ",") { position += 1 }
        }
        return isText ? text : nil
    }

    // MARK: Scalars

    private mutating func readBytes(_ kind: FieldKind) throws(JSONMappingError) -> [UInt8] {
        let valueKind = nextKind()
        if valueKind == .string {
            let text = JSONText.unescape(readString())
            guard case .bytes = kind else { return text }
            do throws(Base64Text.Corrupt) {
                return try Base64Text.decode(text)
            } catch {
                throw JSONMappingError(description: "illegal base64 data at input byte \(error.position)")
            }
        }
        if case .bytes = kind, valueKind == .array { return try readByteList() }
        skipValue()
        if valueKind == .null { return [] }
        var type = "[]uint8"
        if case .string = kind { type = "string" }
        throw Self.mismatch(valueKind.rawValue, type)
    }

    /// Go takes a list of numbers for bytes, too.
    private mutating func readByteList() throws(JSONMappingError) -> [UInt8] {
        var list: [UInt8] = []
        var failure: JSONMappingError?
        position += 1
        while nextByte() != UInt8(ascii: "]") {
            let kind = nextKind()
            let start = position
            skipValue()
            switch kind {
            case .number:
                let text = String(decoding: bytes[start..<position], as: UTF8.self)
                if let byte = UInt8(text) {
                    list.append(byte)
                } else {
                    failure = failure ?? Self.mismatch("number \(text)", "uint8")
                }
            case .null: list.append(0)
            default: failure = failure ?? Self.mismatch(kind.rawValue, "uint8")
            }
            if nextByte() == UInt8(ascii: ",") { position += 1 }
        }
        position += 1
        if let failure { throw failure }
        return list
    }

    /// The value of a field that is a varint on the wire.
    private mutating func readNumber(_ kind: FieldKind) throws(JSONMappingError) -> UInt64 {
        let valueKind = nextKind()
        var text: ArraySlice<UInt8>
        if valueKind == .string {
            text = readString()
            switch kind {
            case .enumeration(let type):
                let enumeration = schema.enumerations[type]
                guard let number = enumeration.values[Array(text)] else {
                    let name = GoQuote.quoted(text)
                    throw JSONMappingError(description: "unknown value \(name) for enum \(enumeration.name)")
                }
                return UInt64(bitPattern: Int64(number))
            case .bool: throw Self.mismatch("string", "bool")
            default: break
            }
            // What stands in the quotes is read as JSON in its own right.
            do throws(JSONScanner.Failure) {
                try JSONScanner.check(text)
            } catch {
                throw JSONMappingError(description: error.description)
            }
        } else {
            let start = position
            skipValue()
            text = bytes[start..<position]
        }
        return try scalar(Self.trimmed(text), kind)
    }

    private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var text = text.drop { JSONScanner.isSpace($0) }
        while let last = text.last, JSONScanner.isSpace(last) { text.removeLast() }
        return text
    }

    private func scalar(_ text: ArraySlice<UInt8>, _ kind: FieldKind) throws(JSONMappingError) -> UInt64 {
        let valueKind = Self.kind(of: text.first)
        if valueKind == .null { return 0 }
        let type = typeName(kind)
        if case .bool = kind {
            guard valueKind == .bool else { throw Self.mismatch(valueKind.rawValue, type) }
            return text.first == UInt8(ascii: "t") ? 1 : 0
        }
        guard valueKind == .number else { throw Self.mismatch(valueKind.rawValue, type) }
        let digits = String(decoding: text, as: UTF8.self)
        let value: UInt64? =
            switch kind {
            case .int64: Int64(digits).map { UInt64(bitPattern: $0) }
            case .uint64: UInt64(digits)
            case .uint32: UInt32(digits).map { UInt64($0) }
            default: Int32(digits).map { UInt64(bitPattern: Int64($0)) }
            }
        guard let value else { throw Self.mismatch("number \(digits)", type) }
        return value
    }

    private func typeName(_ kind: FieldKind) -> String {
        switch kind {
        case .int32: "int32"
        case .int64: "int64"
        case .uint32: "uint32"
        case .uint64: "uint64"
        case .bool: "bool"
        case .enumeration(let type): schema.enumerations[type].name
        case .string, .bytes, .message: ""
        }
    }

    private static func mismatch(_ value: String, _ type: String) -> JSONMappingError {
        JSONMappingError(description: "json: cannot unmarshal \(value) into Go value of type \(type)")
    }

    // MARK: Moving on

    /// The next byte that is no white space, 0 at the end. The scanner saw that there is one wherever one is expected.
    private mutating func nextByte() -> UInt8 {
        while position < bytes.endIndex, JSONScanner.isSpace(bytes[position]) { position += 1 }
        // The end of every container, so that no loop goes on behind the last byte.
        guard position < bytes.endIndex else { preconditionFailure("JSONReader: read behind a value that was checked") }
        return bytes[position]
    }

    private mutating func skipSpaceAnd(_ byte: UInt8) {
        if nextByte() == byte { position += 1 }
    }

    private mutating func nextKind() -> ValueKind { Self.kind(of: nextByte()) }

    private static func kind(of byte: UInt8?) -> ValueKind {
        switch byte {
        case UInt8(ascii: "{"): .object
        case UInt8(ascii: "["): .array
        case UInt8(ascii: "\""): .string
        case UInt8(ascii: "t"), UInt8(ascii: "f"): .bool
        case UInt8(ascii: "n"): .null
        default: .number
        }
    }

    /// The bytes between the quotes of the string that comes next.
    private mutating func readString() -> ArraySlice<UInt8> {
        _ = nextByte()
        position += 1
        let start = position
        while position < bytes.endIndex, bytes[position] != UInt8(ascii: "\"") {
            position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        let text = bytes[start..<min(position, bytes.endIndex)]
        position += 1
        return text
    }

    /// Passes over the value that comes next, however deep it is.
    private mutating func skipValue() {
        var level = 0
        repeat {
            switch nextByte() {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                level += 1
                position += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                level -= 1
                position += 1
            case UInt8(ascii: "\""): _ = readString()
            case UInt8(ascii: ","), UInt8(ascii: ":"): position += 1
            default:
                while position < bytes.endIndex, !Self.endsScalar(bytes[position]) { position += 1 }
            }
        } while level > 0
    }

    private static func endsScalar(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: ":"): true
        default: JSONScanner.isSpace(byte)
        }
    }
}

/// Text in quotes as Go's `%q` writes it.
enum GoQuote {
    static func quoted(_ text: some Sequence<UInt8>) -> String {
        var result = "\""
        for scalar in String(decoding: Array(text), as: UTF8.self).unicodeScalars {
            switch scalar.value {
            case 0x22: result += "\\\""
            case 0x5C: result += "\\\\"
            case 0x07: result += "\\a"
            case 0x08: result += "\\b"
            case 0x0C: result += "\\f"
            case 0x0A: result += "\\n"
            case 0x0D: result += "\\r"
            case 0x09: result += "\\t"
            case 0x0B: result += "\\v"
            case 0..<0x20, 0x7F: result += "\\x\(JSONText.twoDigits(UInt8(truncatingIfNeeded: scalar.value)))"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
