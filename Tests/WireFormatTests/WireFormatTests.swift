import Testing
import WireFormat

/// Every value that was read off `bytes`, or the error that ended it.
private func transcript(_ bytes: [UInt8]) -> String {
    bytes.withUnsafeBytes { pointer in
        var reader = WireReader(pointer)
        var lines: [String] = []
        do {
            while let tag = try reader.next() {
                switch tag.type {
                case .varint: lines.append("\(tag.field)=\(try reader.varint(tag))")
                case .fixed64: lines.append("\(tag.field)=\(try reader.fixed64(tag))f")
                case .bytes: lines.append("\(tag.field)=\(try reader.byteArray(tag))")
                case .fixed32:
                    try reader.skip(tag)
                    lines.append("\(tag.field) skipped")
                }
            }
        } catch {
            lines.append("\(error)")
        }
        return lines.joined(separator: "; ")
    }
}

@Suite struct WireFormatTests {
    @Test(
        arguments: [
            ([], ""),
            ([0x08, 0x96, 0x01], "1=150"),
            ([0x12, 0x02, 0x68, 0x69], "2=[104, 105]"),
            ([0x19, 1, 0, 0, 0, 0, 0, 0, 0], "3=1f"),
            ([0x25, 1, 2, 3, 4], "4 skipped"),
            ([0x08], "protobuf: message ends inside a field (at byte 1)"),
            ([0x12, 0x05, 0x00], "protobuf: message ends inside a field (at byte 1)"),
            ([0x00, 0x00], "protobuf: field number out of range (at byte 0)"),
            ([0x0b], "protobuf: wire type 3 is not one of proto3 (at byte 0)"),
            ([0x19, 1, 0], "protobuf: message ends inside a field (at byte 1)"),
            (
                [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                "protobuf: integer of more than ten bytes (at byte 1)"
            ),
            (
                [0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                "protobuf: message ends inside a field (at byte 1)"
            ),
        ] as [([UInt8], String)])
    func reading(bytes: [UInt8], expected: String) {
        #expect(transcript(bytes) == expected)
    }

    @Test func writingLeavesZeroFieldsOut() {
        var writer = WireWriter()
        writer.varint(1, 0)
        writer.int64(2, 0)
        writer.bool(3, false)
        writer.bytes(4, [])
        writer.string(5, "")
        #expect(writer.bytes.isEmpty)
        writer.int64(2, -1)
        writer.bytes(4, [7])
        #expect(writer.bytes == [0x10] + [UInt8](repeating: 0xff, count: 9) + [0x01, 0x22, 0x01, 0x07])
    }

    @Test func sizesAreThoseWritten() {
        for shift in 0..<64 {
            for value in [UInt64(1) << shift, (UInt64(1) << shift) &- 1] {
                var writer = WireWriter()
                writer.varint(3, value)
                #expect(writer.bytes.count == WireSize.varint(3, value))
            }
        }
        var writer = WireWriter()
        writer.alwaysBytes(16, [UInt8](repeating: 1, count: 200))
        #expect(writer.bytes.count == WireSize.alwaysBytes(16, 200))
    }
}
