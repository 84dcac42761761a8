import WireFormat

/// Writes protobuf messages as JSON: fields in the order of their definition under their own names, 64-bit numbers and
/// enumerations as strings, bytes as base64, and nothing for what has its default value.
struct JSONWriter {
    /// Messages nest no deeper than transactions may.
    static let maximumDepth = 128

    let schema: Schema
    private(set) var json: [UInt8] = []

    init(schema: Schema) { self.schema = schema }

    mutating func append(_ text: StaticString) {
        json.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func append(_ text: [UInt8]) { json.append(contentsOf: text) }

    /// What was written since the last time.
    mutating func takeJSON() -> [UInt8] {
        var taken: [UInt8] = []
        swap(&taken, &json)
        return taken
    }

    /// A field of a message as it stands on the wire.
    struct Occurrence {
        var place: Int
        var tag: WireTag
        var number: UInt64 = 0
        var bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    }

    mutating func write(_ message: UnsafeRawBufferPointer, as type: Int, depth: Int) throws(JSONMappingError) {
        guard depth < Self.maximumDepth else { throw JSONMappingError(description: "json: message nested too deep") }
        let fields = schema.messages[type].fields
        let occurrences = try read(message, type)
        json.append(UInt8(ascii: "{"))
        var isFirst = true
        var index = 0
        while index < occurrences.count {
            let place = occurrences[index].place
            var end = index + 1
            while end < occurrences.count, occurrences[end].place == place { end += 1 }
            let field = fields[place]
            // Of a field that stands there once, the last one counts.
            let values = field.isRepeated ? occurrences[index..<end] : occurrences[(end - 1)..<end]
            index = end
            if !field.isRepeated, field.group == nil, isDefault(values[values.startIndex], field.kind) { continue }
            if !isFirst { json.append(UInt8(ascii: ",")) }
            isFirst = false
            json.append(contentsOf: field.label)
            if field.isRepeated {
                try writeList(values, field.kind, depth)
            } else {
                try writeValue(values[values.startIndex], field.kind, depth)
            }
        }
        json.append(UInt8(ascii: "}"))
    }

    /// The fields of a message that are known, by their places.
    private func read(_ message: UnsafeRawBufferPointer, _ type: Int) throws(JSONMappingError) -> [Occurrence] {
        var occurrences: [Occurrence] = []
        var isSorted = true
        do throws(WireError) {
            var reader = WireReader(message)
            while let tag = try reader.next() {
                guard let place = schema.messages[type].places[tag.field] else {
                    try reader.skip(tag)
                    continue
                }
                var occurrence = Occurrence(place: place, tag: tag)
                switch tag.type {
                case .varint: occurrence.number = try reader.varint(tag)
                case .bytes: occurrence.bytes = try reader.bytes(tag)
                case .fixed32, .fixed64:
                    try reader.skip(tag)
                    continue
                }
                if let last = occurrences.last, last.place > place { isSorted = false }
                occurrences.append(occurrence)
            }
        } catch {
            throw JSONMappingError(description: "proto: \(schema.messages[type].name): \(error)")
        }
        if isSorted { return occurrences }
        // A stable order: values of one field stay as they came.
        let order = occurrences.indices.sorted {
            (occurrences[$0].place, $0) < (occurrences[$1].place, $1)
        }
        return order.map { occurrences[$0] }
    }

    func isDefault(_ value: Occurrence, _ kind: FieldKind) -> Bool {
        switch kind {
        case .message: false
        case .string, .bytes: value.bytes.isEmpty
        default: value.number == 0
        }
    }

    private mutating func writeList(
        _ values: ArraySlice<Occurrence>, _ kind: FieldKind, _ depth: Int
    ) throws(JSONMappingError) {
        json.append(UInt8(ascii: "["))
        var isFirst = true
        for value in values {
            switch kind {
            case .message, .string, .bytes:
                if !isFirst { json.append(UInt8(ascii: ",")) }
                try writeValue(value, kind, depth)
                isFirst = false
            default:
                for number in try unpacked(value) {
                    if !isFirst { json.append(UInt8(ascii: ",")) }
                    var one = value
                    one.number = number
                    try writeValue(one, kind, depth)
                    isFirst = false
                }
            }
        }
        json.append(UInt8(ascii: "]"))
    }

    private func unpacked(_ value: Occurrence) throws(JSONMappingError) -> [UInt64] {
        guard value.tag.type == .bytes else { return [value.number] }
        // A packed list is a row of varints; it is read as fields are, behind a tag of our own.
        var numbers: [UInt64] = []
        var wire = WireWriter()
        wire.alwaysBytes(1, value.bytes)
        let failure = wire.bytes.withUnsafeBytes { bytes -> WireError? in
            var reader = WireReader(bytes)
            do throws(WireError) {
                if let tag = try reader.next() { try reader.appendVarints(tag, to: &numbers) }
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw JSONMappingError(description: "proto: \(failure)") }
        return numbers
    }

    mutating func writeValue(_ value: Occurrence, _ kind: FieldKind, _ depth: Int) throws(JSONMappingError) {
        switch kind {
        case .message(let type): try write(value.bytes, as: type, depth: depth + 1)
        case .string: JSONText.append(value.bytes, to: &json)
        case .bytes:
            json.append(UInt8(ascii: "\""))
            Base64Text.append(value.bytes, to: &json)
            json.append(UInt8(ascii: "\""))
        case .bool: json.append(contentsOf: (value.number == 0 ? "false" : "true").utf8)
        case .int32: json.append(contentsOf: String(Int32(truncatingIfNeeded: value.number)).utf8)
        case .uint32: json.append(contentsOf: String(UInt32(truncatingIfNeeded: value.number)).utf8)
        case .int64: json.append(contentsOf: "\"\(Int64(bitPattern: value.number))\"".utf8)
        case .uint64: json.append(contentsOf: "\"\(value.number)\"".utf8)
        case .enumeration(let type):
            let number = Int32(truncatingIfNeeded: value.number)
            if let name = schema.enumerations[type].names[number] {
                json.append(contentsOf: "\"\(name)\"".utf8)
            } else {
                json.append(contentsOf: String(number).utf8)
            }
        }
    }
}
