import Checksum
import Disk
import WireFormat

/// One record of a log. Its bytes are borrowed until the next record is read.
struct Record {
    var type: RecordType
    var data: UnsafeRawBufferPointer
    /// Where the record's frame begins in its segment.
    var offset: Int

    /// The message that the record of the segment at `path` holds.
    func decoded<Message>(
        from path: String, _ decode: (UnsafeRawBufferPointer) throws(WireError) -> Message
    ) throws(WALError) -> Message {
        do { return try decode(data) } catch { throw .corrupt(file: path, offset: offset, .message(error)) }
    }
}

/// Reads the records of consecutive segments in order and checks each against the rolling checksum.
///
/// Checksum records are checked here and not handed out.
final class RecordReader {
    /// The unit that a disk writes whole, at its smallest.
    private static let sectorSize = 512
    /// No record comes near this size, whatever the request limit; a length field beyond it in the last segment is
    /// damage and must not be mistaken for a write cut short.
    private static let largestRecord = 512 << 20

    private let segments: [SegmentWindow]
    private var current = 0
    /// The end of the last good record in the current segment.
    private(set) var offset = 0
    /// The checksum over all records so far.
    private(set) var crc: UInt32 = 0
    private var isFirstRecord = true

    /// A reader of `segments`, which must not be empty.
    init(_ segments: [SegmentWindow]) {
        precondition(!segments.isEmpty, "a log has at least one segment")
        self.segments = segments
    }

    /// The segment that is being read.
    var path: String { segments[current].path }

    private var isLastSegment: Bool { current == segments.count - 1 }

    /// The next record that is no checksum, or nil at the end of the log.
    func next() throws(WALError) -> Record? {
        while true {
            guard let length = try header() else {
                if isLastSegment { return nil }
                segments[current].release()
                current += 1
                offset = 0
                continue
            }
            if let record = try record(length) { return record }
        }
    }

    /// The next record's length and padding, or nil where the segment ends or its preallocated space begins.
    private func header() throws(WALError) -> (record: Int, padding: Int)? {
        let segment = segments[current]
        let bytes = try segment.bytes(at: offset, count: Frame.headerSize)
        if bytes.isEmpty { return nil }
        guard bytes.count == Frame.headerSize else { throw tornAtEnd(bytes.count) }
        let field = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        if field == 0 { return nil }
        let length = field & Frame.lengthMask
        let marks = UInt8(field >> 56)
        guard length > 0, length <= UInt64(Self.largestRecord), marks == 0 || (marks & 0xf8) == 0x80 else {
            throw .corrupt(file: path, offset: offset, .length(field))
        }
        let padding = Int(marks & 7)
        guard Int(length) + padding <= segment.size - offset - Frame.headerSize else { throw tornAtEnd(Int(length)) }
        return (Int(length), padding)
    }

    /// The record of this `length`, or nil when it was a checksum.
    private func record(_ length: (record: Int, padding: Int)) throws(WALError) -> Record? {
        let whole = length.record + length.padding
        let framed = try segments[current].bytes(at: offset + Frame.headerSize, count: whole)
        guard framed.count == whole else { throw tornAtEnd(length.record) }
        let fields: RecordFields
        do {
            fields = try RecordFields(decoding: UnsafeRawBufferPointer(rebasing: framed[..<length.record]))
        } catch {
            throw damage(framed, .message(error))
        }
        guard let type = RecordType(rawValue: fields.type) else { throw damage(framed, .recordType(fields.type)) }
        let start = offset
        if type == .checksum {
            // The first segment that is read continues a log whose beginning may be gone; its checksum is believed.
            guard isFirstRecord || fields.crc == crc else {
                throw damage(framed, .checksum(expected: crc, found: fields.crc))
            }
            crc = fields.crc
        } else {
            let updated = CRC32C.update(crc, fields.data)
            guard updated == fields.crc else {
                throw damage(framed, .checksum(expected: updated, found: fields.crc))
            }
            crc = updated
        }
        isFirstRecord = false
        offset += Frame.headerSize + whole
        return type == .checksum ? nil : Record(type: type, data: fields.data, offset: start)
    }

    private func tornAtEnd(_ length: Int) -> WALError {
        // Every segment but the last was synchronised before its successor came to be, so it cannot be torn.
        isLastSegment
            ? .torn(file: path, offset: offset, .endOfFile(length: length))
            : .corrupt(file: path, offset: offset, .length(UInt64(length)))
    }

    /// What is wrong with a record that does not read: torn when a sector of it is all zeros in the last segment.
    private func damage(_ framed: UnsafeRawBufferPointer, _ reason: WALError.CorruptReason) -> WALError {
        if isLastSegment && hasUnwrittenSector(framed) {
            return .torn(file: path, offset: offset, .unwrittenSector)
        }
        return .corrupt(file: path, offset: offset, reason)
    }

    private func hasUnwrittenSector(_ framed: UnsafeRawBufferPointer) -> Bool {
        var position = 0
        while position < framed.count {
            let inFile = offset + Frame.headerSize + position
            let end = min(framed.count, position + Self.sectorSize - inFile % Self.sectorSize)
            if framed[position..<end].allSatisfy({ $0 == 0 }) { return true }
            position = end
        }
        return false
    }
}

/// The fields of `walpb.Record`, undigested.
private struct RecordFields {
    var type: Int64 = 0
    var crc: UInt32 = 0
    var data = UnsafeRawBufferPointer(start: nil, count: 0)

    init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: type = try reader.int64(tag)
            case 2: crc = UInt32(truncatingIfNeeded: try reader.varint(tag))
            case 3: data = try reader.bytes(tag)
            default: try reader.skip(tag)
            }
        }
    }
}
