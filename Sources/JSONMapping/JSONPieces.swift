import WireFormat

/// Writes a message as JSON while its bytes come, so that neither has to be in memory whole. The fields must come in the
/// order of their definition, as this server's long answers have them; only messages inside that are short enough to be
/// waited for may have another.
public struct JSONPieces {
    /// Messages inside are written whole up to this size: more than a pair usually has, few enough bytes to wait for.
    private let wholeBytes: Int

    /// A message whose end has not come.
    private struct Open {
        let type: Int
        /// Its bytes that have not been looked at; those of the whole message are not known before it ends.
        var rest: Int
        /// The place of its last field.
        var place = -1
        var isFirst = true
        var isInList = false
    }

    private var writer: JSONWriter
    private var open: [Open]
    /// The bytes that are no whole field yet.
    private var pending: [UInt8] = []

    init(_ schema: Schema, type: Int, wholeBytes: Int = 4 << 20) {
        self.wholeBytes = wholeBytes
        writer = JSONWriter(schema: schema)
        open = [Open(type: type, rest: .max)]
        writer.append("{")
    }

    /// Takes the next bytes of the message and gives the JSON that is certain by now.
    /// - Throws: ``JSONMappingError`` when the bytes are no message of the type, or its fields are not in order.
    public mutating func append(_ piece: [UInt8]) throws(JSONMappingError) -> [UInt8] {
        let bytes = pending.isEmpty ? piece : pending + piece
        var used = 0
        let failure = bytes.withUnsafeBytes { bytes -> JSONMappingError? in
            do throws(JSONMappingError) {
                while true {
                    closeWhatEnded()
                    let count = try field(UnsafeRawBufferPointer(rebasing: bytes[used...]))
                    if count == 0 { return nil }
                    used += count
                }
            } catch {
                return error
            }
        }
        if let failure { throw failure }
        pending = Array(bytes[used...])
        return writer.takeJSON()
    }

    /// The end of the JSON, when the message is whole.
    /// - Throws: ``JSONMappingError`` when it is not.
    public mutating func finish() throws(JSONMappingError) -> [UInt8] {
        closeWhatEnded()
        guard pending.isEmpty, open.count == 1 else { throw Self.failure("message ends inside a field") }
        close()
        return writer.takeJSON()
    }

    private mutating func closeWhatEnded() { while open.count > 1, open[open.count - 1].rest == 0 { close() } }

    private mutating func close() {
        if open.removeLast().isInList { writer.append("]") }
        writer.append("}")
    }

    private static func failure(_ text: String) -> JSONMappingError { JSONMappingError(description: "proto: \(text)") }

    /// Takes the field that `bytes` begin with and gives its length: of a long message only as far as its own fields
    /// begin. Zero when more bytes are needed.
    private mutating func field(_ bytes: UnsafeRawBufferPointer) throws(JSONMappingError) -> Int {
        var reader = WireReader(bytes)
        var occurrence: JSONWriter.Occurrence?
        var longMessage: (type: Int, count: Int)?
        let top = open[open.count - 1]
        do throws(WireError) {
            guard let tag = try reader.next() else { return 0 }
            let place = writer.schema.messages[top.type].places[tag.field]
            switch tag.type {
            case .varint:
                let number = try reader.varint(tag)
                if let place { occurrence = JSONWriter.Occurrence(place: place, tag: tag, number: number) }
            case .bytes:
                let start = reader.offset
                let count = try reader.varint(WireTag(field: tag.field, type: .varint))
                if let place, count > wholeBytes, count < Int.max,
                    case .message(let type) = writer.schema.messages[top.type].fields[place].kind
                {
                    longMessage = (type, Int(count))
                    occurrence = JSONWriter.Occurrence(place: place, tag: tag)
                } else {
                    reader = WireReader(bytes, at: start)
                    let value = try reader.bytes(tag)
                    if let place { occurrence = JSONWriter.Occurrence(place: place, tag: tag, bytes: value) }
                }
            case .fixed32, .fixed64: try reader.skip(tag)
            }
        } catch {
            if case .truncated = error.reason { return 0 }
            throw Self.failure("\(error)")
        }
        guard reader.offset + (longMessage?.count ?? 0) <= top.rest else {
            throw Self.failure("message ends inside a field")
        }
        open[open.count - 1].rest -= reader.offset + (longMessage?.count ?? 0)
        if let occurrence { try write(occurrence, longMessage) }
        return reader.offset
    }

    private mutating func write(
        _ value: JSONWriter.Occurrence, _ longMessage: (type: Int, count: Int)?
    ) throws(JSONMappingError) {
        var top = open[open.count - 1]
        let field = writer.schema.messages[top.type].fields[value.place]
        guard value.place > top.place || value.place == top.place && field.isRepeated else {
            throw Self.failure("fields are not in order")
        }
        let isNew = value.place > top.place
        top.place = value.place
        if isNew, top.isInList {
            writer.append("]")
            top.isInList = false
        }
        let isSkipped =
            !field.isRepeated && field.group == nil && longMessage == nil && writer.isDefault(value, field.kind)
        if !isSkipped {
            if isNew {
                if !top.isFirst { writer.append(",") }
                writer.append(field.label)
                if field.isRepeated { writer.append("[") }
            } else {
                writer.append(",")
            }
            top.isFirst = false
            top.isInList = field.isRepeated
        }
        open[open.count - 1] = top
        if let (type, count) = longMessage {
            guard open.count < JSONWriter.maximumDepth else { throw Self.failure("message nested too deep") }
            writer.append("{")
            open.append(Open(type: type, rest: count))
        } else if !isSkipped {
            if field.isRepeated, field.kind.isPacked { throw Self.failure("a list of numbers in pieces") }
            try writer.writeValue(value, field.kind, open.count)
        }
    }
}

extension FieldKind {
    fileprivate var isPacked: Bool {
        switch self {
        case .message, .string, .bytes: false
        default: true
        }
    }
}
