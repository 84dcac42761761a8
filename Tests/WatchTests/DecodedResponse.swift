import Watch
import WireFormat

/// A `WatchResponse` as a client decodes it.
struct DecodedResponse {
    struct KeyValue: Equatable {
        var key = ""
        var createRevision: Int64 = 0
        var modRevision: Int64 = 0
        var version: Int64 = 0
        var value = ""
    }

    struct Event: Equatable {
        var isDelete = false
        var keyValue = KeyValue()
        var previous: KeyValue?
    }

    var stream: UInt64
    var clusterID: UInt64 = 0
    var memberID: UInt64 = 0
    var revision: Int64 = 0
    var raftTerm: UInt64 = 0
    var watchID: Int64 = 0
    var created = false
    var canceled = false
    var compactRevision: Int64 = 0
    var cancelReason = ""
    var fragment = false
    var events: [Event] = []

    init(_ delivery: WatchDelivery) throws {
        stream = delivery.stream.rawValue
        let bytes = delivery.bytes
        try bytes.withUnsafeBytes { buffer in
            var reader = WireReader(buffer)
            while let tag = try reader.next() {
                switch tag.field {
                case 1: try readHeader(reader.bytes(tag))
                case 2: watchID = try reader.int64(tag)
                case 3: created = try reader.bool(tag)
                case 4: canceled = try reader.bool(tag)
                case 5: compactRevision = try reader.int64(tag)
                case 6: cancelReason = String(decoding: try reader.bytes(tag), as: UTF8.self)
                case 7: fragment = try reader.bool(tag)
                case 11: events.append(try Event(reader.bytes(tag)))
                default: throw WireError(.badFieldNumber, offset: reader.offset)
                }
            }
        }
    }

    private mutating func readHeader(_ bytes: UnsafeRawBufferPointer) throws {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: clusterID = try reader.varint(tag)
            case 2: memberID = try reader.varint(tag)
            case 3: revision = try reader.int64(tag)
            case 4: raftTerm = try reader.varint(tag)
            default: throw WireError(.badFieldNumber, offset: reader.offset)
            }
        }
    }
}

extension DecodedResponse.Event {
    init(_ bytes: UnsafeRawBufferPointer) throws {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: isDelete = try reader.varint(tag) == 1
            case 2: keyValue = try DecodedResponse.KeyValue(reader.bytes(tag))
            case 3: previous = try DecodedResponse.KeyValue(reader.bytes(tag))
            default: throw WireError(.badFieldNumber, offset: reader.offset)
            }
        }
    }
}

extension DecodedResponse.KeyValue {
    init(_ bytes: UnsafeRawBufferPointer) throws {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: key = String(decoding: try reader.bytes(tag), as: UTF8.self)
            case 2: createRevision = try reader.int64(tag)
            case 3: modRevision = try reader.int64(tag)
            case 4: version = try reader.int64(tag)
            case 5: value = String(decoding: try reader.bytes(tag), as: UTF8.self)
            default: throw WireError(.badFieldNumber, offset: reader.offset)
            }
        }
    }
}

extension DecodedResponse: CustomStringConvertible {
    /// One line as the transcripts show it.
    var description: String {
        var words = ["s\(stream)", "w\(watchID)"]
        if created { words.append("created") }
        if canceled { words.append("canceled") }
        if fragment { words.append("fragment") }
        words.append("rev=\(revision)")
        if compactRevision != 0 { words.append("compacted=\(compactRevision)") }
        if !cancelReason.isEmpty { words.append("'\(cancelReason)'") }
        if !events.isEmpty { words.append(": " + events.map(\.description).joined(separator: ", ")) }
        return words.joined(separator: " ")
    }
}

extension DecodedResponse.Event: CustomStringConvertible {
    var description: String {
        let what = isDelete ? "delete \(keyValue.key)" : "put \(keyValue.key)=\(keyValue.value)"
        let before = previous.map { " (was \($0.value)@\($0.modRevision))" } ?? ""
        return "\(what)@\(keyValue.modRevision)\(before)"
    }
}
