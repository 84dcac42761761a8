import WireFormat

/// What is sent to a collector: `ExportTraceServiceRequest` of OTLP.
///
/// Source: opentelemetry.io, "OpenTelemetry Protocol", and its protobuf files (trace.proto, resource.proto).
enum ExportRequest {
    static let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

    /// `spans` of the process that `resource` describes.
    static func encode(_ spans: [Span], resource: [(key: String, value: Span.Value)], scope: String) -> [UInt8] {
        var described = WireWriter()
        for (key, value) in resource { described.alwaysBytes(1, keyValue(key, value)) }
        var named = WireWriter()
        named.string(1, scope)
        var scoped = WireWriter(capacity: spans.count * 192)
        scoped.alwaysBytes(1, named.bytes)
        for span in spans { scoped.alwaysBytes(2, encode(span)) }
        var resourceSpans = WireWriter(capacity: scoped.bytes.count + described.bytes.count + 16)
        resourceSpans.alwaysBytes(1, described.bytes)
        resourceSpans.alwaysBytes(2, scoped.bytes)
        var request = WireWriter(capacity: resourceSpans.bytes.count + 8)
        request.alwaysBytes(1, resourceSpans.bytes)
        return request.bytes
    }

    private static func encode(_ span: Span) -> [UInt8] {
        var writer = WireWriter(capacity: 192)
        writer.alwaysBytes(1, bigEndian(span.context.traceHigh) + bigEndian(span.context.traceLow))
        writer.alwaysBytes(2, bigEndian(span.context.span))
        if span.parent != 0 { writer.alwaysBytes(4, bigEndian(span.parent)) }
        writer.string(5, span.name)
        writer.varint(6, span.kind.rawValue)
        fixed64(7, span.start, &writer)
        fixed64(8, span.end, &writer)
        for (key, value) in span.attributes { writer.alwaysBytes(9, keyValue(key, value)) }
        if span.isError {
            var status = WireWriter()
            status.varint(3, 2)
            writer.alwaysBytes(15, status.bytes)
        }
        return writer.bytes
    }

    private static func keyValue(_ key: String, _ value: Span.Value) -> [UInt8] {
        var any = WireWriter()
        switch value {
        case .text(let text): any.alwaysBytes(1, Array(text.utf8))
        case .flag(let flag): any.alwaysVarint(2, flag ? 1 : 0)
        case .number(let number): any.alwaysVarint(3, UInt64(bitPattern: number))
        }
        var writer = WireWriter()
        writer.string(1, key)
        writer.alwaysBytes(2, any.bytes)
        return writer.bytes
    }

    private static func fixed64(_ field: Int, _ value: UInt64, _ writer: inout WireWriter) {
        writer.rawVarint(UInt64(field) << 3 | 1)
        withUnsafeBytes(of: value.littleEndian) { writer.bytes.append(contentsOf: $0) }
    }

    private static func bigEndian(_ value: UInt64) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) }
    }
}
