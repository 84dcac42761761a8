import CNGHTTP2

/// Reads one header block that was written with a fresh compression state.
enum HeaderDecoder {
    struct Malformed: Error {}

    static func decode(_ block: [UInt8]) throws -> [String: String] {
        var inflater: OpaquePointer?
        guard nghttp2_hd_inflate_new(&inflater) == 0 else { throw Malformed() }
        defer { nghttp2_hd_inflate_del(inflater) }
        var fields: [String: String] = [:]
        var rest = block[...]
        while true {
            var field = nghttp2_nv()
            var flags: Int32 = 0
            let used = rest.withUnsafeBufferPointer {
                nghttp2_hd_inflate_hd2(inflater, &field, &flags, $0.baseAddress, $0.count, 1)
            }
            guard used >= 0 else { throw Malformed() }
            rest = rest.dropFirst(Int(used))
            if UInt32(flags) & NGHTTP2_HD_INFLATE_EMIT.rawValue != 0 {
                let name = UnsafeBufferPointer(start: field.name, count: field.namelen)
                let value = UnsafeBufferPointer(start: field.value, count: field.valuelen)
                fields[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self)
            }
            if UInt32(flags) & NGHTTP2_HD_INFLATE_FINAL.rawValue != 0 { return fields }
        }
    }
}
