/// Where a call stands in a trace, as it travels in the header `traceparent`.
///
/// Source: W3C, "Trace Context", level 1.
public struct TraceContext: Sendable, Equatable {
    /// The two halves of the trace's id; not both 0.
    public var traceHigh: UInt64
    public var traceLow: UInt64
    /// The id of the span that made the call; not 0.
    public var span: UInt64
    /// Whether whoever called records the trace.
    public var isSampled: Bool

    public init(traceHigh: UInt64, traceLow: UInt64, span: UInt64, isSampled: Bool) {
        self.traceHigh = traceHigh
        self.traceLow = traceLow
        self.span = span
        self.isSampled = isSampled
    }

    /// The context in a header such as `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`; nil when the header is
    /// none, by the standard's rules.
    public init?(header: [UInt8]) {
        func field(_ start: Int, _ length: Int) -> UInt64? {
            var value: UInt64 = 0
            for byte in header[start..<start + length] {
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(byte - UInt8(ascii: "0"))
                case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
                default: return nil
                }
            }
            return value
        }
        let dash = UInt8(ascii: "-")
        guard header.count >= 55, header[2] == dash, header[35] == dash, header[52] == dash,
            let version = field(0, 2), version != 0xff, let high = field(3, 16), let low = field(19, 16),
            let span = field(36, 16), let flags = field(53, 2)
        else { return nil }
        // Version 0 ends here; later ones may go on behind another dash.
        guard header.count == 55 || (version > 0 && header[55] == dash) else { return nil }
        guard high | low != 0, span != 0 else { return nil }
        self.init(traceHigh: high, traceLow: low, span: span, isSampled: flags & 1 == 1)
    }
}
