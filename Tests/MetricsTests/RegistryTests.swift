import Metrics
import Testing

@Suite struct RegistryTests {
    @Test func textHasHelpTypeAndSamplesInOrderOfNames() {
        let registry = Registry()
        let gauge = registry.gauge("b_now", "What is now.")
        let counter = registry.counter("a_total", "What was.")
        counter.add(3)
        gauge.set(-2)
        #expect(
            registry.text() == """
                # HELP a_total What was.
                # TYPE a_total counter
                a_total 3
                # HELP b_now What is now.
                # TYPE b_now gauge
                b_now -2

                """)
    }

    @Test func histogramsCountUpToEachBound() {
        let registry = Registry()
        let histogram = registry.histogram("t_seconds", "Time.", bounds: [0.001, 1, 2_000_000])
        histogram.observe(0.001)
        histogram.observe(0.5, times: 2)
        histogram.observe(3_000_000)
        #expect(histogram.count == 4)
        #expect(
            registry.text() == """
                # HELP t_seconds Time.
                # TYPE t_seconds histogram
                t_seconds_bucket{le="0.001"} 1
                t_seconds_bucket{le="1"} 3
                t_seconds_bucket{le="2e+06"} 3
                t_seconds_bucket{le="+Inf"} 4
                t_seconds_sum 3.000001001e+06
                t_seconds_count 4

                """)
    }

    @Test func labelsAreSortedByNameAndEscaped() {
        let registry = Registry()
        let family = registry.counters("x_total", "X.", labels: ["b", "a"])
        family["say \"hi\"\n", "c:\\"].add()
        #expect(registry.text().hasSuffix("x_total{a=\"c:\\\\\",b=\"say \\\"hi\\\"\\n\"} 1\n"))
    }

    @Test func aFamilyWithoutSeriesIsNotWritten() {
        let registry = Registry()
        let family = registry.gauges("x", "X.", labels: ["a"])
        #expect(registry.text().isEmpty)
        family["1"].set(1)
        family.remove("1")
        #expect(registry.text().isEmpty)
        #expect(registry.names == ["x"])
    }

    @Test func labelValuesBeyondTheLimitAreCountedTogether() {
        let registry = Registry()
        let family = registry.counters("x_total", "X.", labels: ["client"], limit: 2)
        for client in ["a", "b", "c", "d", "a"] { family[client].add() }
        #expect(
            registry.text().split(separator: "\n").dropFirst(2) == [
                "x_total{client=\"a\"} 2", "x_total{client=\"b\"} 1", "x_total{client=\"other\"} 2",
            ])
    }

    @Test func whatIsObservedIsAskedForWhenTheTextIsMade() {
        let registry = Registry()
        let number = Gauge()
        registry.observed("n", "N.") { number.value == 0 ? nil : Double(number.value) }
        #expect(registry.text().isEmpty)
        number.set(7)
        #expect(registry.text().hasSuffix("\nn 7\n"))
    }

    @Test(arguments: [
        (0.0, "0"), (1, "1"), (-3, "-3"), (0.001, "0.001"), (0.0001, "0.0001"), (0.00001, "1e-05"), (8.192, "8.192"),
        (524_288, "524288"), (999_999, "999999"), (1_048_576, "1.048576e+06"), (1e6, "1e+06"),
        (1_700_000_000.25, "1.70000000025e+09"), (0.1 + 0.2, "0.30000000000000004"), (1e22, "1e+22"),
        (.infinity, "+Inf"), (102_400, "102400"), (120, "120"),
    ])
    func numbersAreWrittenAsGoWritesThem(number: Double, text: String) {
        let registry = Registry()
        registry.observed("n", "N.") { number }
        #expect(registry.text().hasSuffix("\nn \(text)\n"))
    }

    @Test func everyGroupRegistersUnderNamesOfItsOwn() {
        let names = MemberMetrics(extensive: true).registry.names
        #expect(names.count > 60)
        #expect(names.contains("grpc_server_handling_seconds"))
        #expect(!MemberMetrics().registry.names.contains("grpc_server_handling_seconds"))
    }
}
