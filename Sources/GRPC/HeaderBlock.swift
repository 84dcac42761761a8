import CNGHTTP2

/// A list of header fields in the form that nghttp2 takes.
struct HeaderBlock {
    private var bytes: [UInt8] = []
    private var lengths: [(name: Int, value: Int)] = []

    mutating func add(_ name: String, _ value: String) {
        add(name, Array(value.utf8))
    }

    mutating func add(_ name: String, _ value: [UInt8]) {
        bytes.append(contentsOf: name.utf8)
        bytes.append(contentsOf: value)
        lengths.append((name.utf8.count, value.count))
    }

    mutating func add(_ metadata: Metadata) {
        metadata.forEachField { name, value in
            bytes.append(contentsOf: name)
            bytes.append(contentsOf: value)
            lengths.append((name.count, value.count))
        }
    }

    /// The trailers of a call that ends with `status`.
    mutating func add(_ status: Status) {
        add("grpc-status", String(status.code.rawValue))
        guard !status.message.isEmpty else { return }
        add("grpc-message", PercentEncoding.encode(String(status.message.prefix(Self.longestMessage))))
    }

    /// In characters: peers limit heads to some KiB, and encoding makes a character up to twelve octets.
    private static let longestMessage = 2048

    /// Calls `body` with the fields; nghttp2 copies what it is given.
    func withFields<Result>(_ body: (UnsafeBufferPointer<nghttp2_nv>) -> Result) -> Result {
        var bytes = bytes
        return bytes.withUnsafeMutableBufferPointer { bytes in
            withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: lengths.count) { fields in
                var offset = 0
                for (index, length) in lengths.enumerated() {
                    fields[index] = nghttp2_nv(
                        name: bytes.baseAddress.map { $0 + offset },
                        value: bytes.baseAddress.map { $0 + offset + length.name }, namelen: length.name,
                        valuelen: length.value, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
                    offset += length.name + length.value
                }
                return body(UnsafeBufferPointer(fields))
            }
        }
    }

    /// Fields that live as long as the process, which nghttp2 may therefore use without copying.
    static func permanent(_ fields: [(StaticString, StaticString)]) -> UnsafeBufferPointer<nghttp2_nv> {
        let list = UnsafeMutableBufferPointer<nghttp2_nv>.allocate(capacity: fields.count)
        let flags = NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue
        for (index, field) in fields.enumerated() {
            list.initializeElement(
                at: index,
                to: nghttp2_nv(
                    name: UnsafeMutablePointer(mutating: field.0.utf8Start),
                    value: UnsafeMutablePointer(mutating: field.1.utf8Start), namelen: field.0.utf8CodeUnitCount,
                    valuelen: field.1.utf8CodeUnitCount, flags: UInt8(truncatingIfNeeded: flags)))
        }
        return UnsafeBufferPointer(list)
    }

    /// The head of every answer that carries no metadata.
    nonisolated(unsafe) static let responseHead = permanent([
        (":status", "200"), ("content-type", "application/grpc"),
    ])
    /// The trailers of every call that went well and carries no metadata.
    nonisolated(unsafe) static let okTrailers = permanent([("grpc-status", "0")])
}
