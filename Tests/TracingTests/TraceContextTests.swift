import Testing
import Tracing

@Suite struct TraceContextTests {
    private static let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test func aHeaderNamesTraceSpanAndSampling() {
        #expect(
            TraceContext(header: Array(Self.good.utf8))
                == TraceContext(
                    traceHigh: 0x4bf9_2f35_77b3_4da6, traceLow: 0xa3ce_929d_0e0e_4736, span: 0x00f0_67aa_0ba9_02b7,
                    isSampled: true))
        #expect(TraceContext(header: Array((Self.good.dropLast() + "2").utf8))?.isSampled == false)
    }

    @Test(arguments: [
        "", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
    ])
    func whatIsNoHeaderIsRefused(text: String) {
        #expect(TraceContext(header: Array(text.utf8)) == nil)
    }

    @Test func laterVersionsMayGoOn() {
        let text = "01" + Self.good.dropFirst(2) + "-more"
        #expect(TraceContext(header: Array(text.utf8))?.isSampled == true)
    }
}

@Suite struct TracerTests {
    private static func tracer(_ samples: Int, _ number: UInt64 = 1) -> Tracer {
        Tracer(samplesPerMillion: samples) { number }
    }

    private static func span(_ name: String = "s") -> Span {
        Span(
            context: TraceContext(traceHigh: 1, traceLow: 2, span: 3, isSampled: true), parent: 0, name: name,
            kind: .server, start: 1, end: 2)
    }

    @Test func theCallerDecidesWhenItSaysSo() {
        let sampled = Array("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".utf8)
        let begun = Self.tracer(0, 9).begin(header: sampled)
        #expect(begun?.parent == 0x00f0_67aa_0ba9_02b7)
        #expect(begun?.context.traceHigh == 0x4bf9_2f35_77b3_4da6)
        #expect(begun?.context.span == 9)
        let unsampled = Array("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00".utf8)
        #expect(Self.tracer(1_000_000).begin(header: unsampled) == nil)
    }

    @Test func withoutACallersWordTheRateDecides() {
        #expect(Self.tracer(0).begin(header: nil) == nil)
        #expect(Self.tracer(1_000_000, .max).begin(header: nil) != nil)
        #expect(Self.tracer(1_000_000, 1).begin(header: [1, 2, 3]) != nil)
        #expect(Self.tracer(500_000, .max).begin(header: nil) == nil)
        #expect(Self.tracer(500_000, 1).begin(header: nil) != nil)
    }

    @Test func spansBeyondTheLimitAreDroppedAndCounted() {
        let tracer = Self.tracer(1)
        for _ in 0..<Tracer.waitingLimit { tracer.record([Self.span()]) }
        tracer.record([Self.span(), Self.span()])
        #expect(tracer.waitingCount == Tracer.waitingLimit)
        #expect(tracer.dropped == 2)
    }
}
