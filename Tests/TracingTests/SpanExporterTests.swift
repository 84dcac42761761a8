import GRPC
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Tracing

@Suite struct SpanExporterTests {
    private final class Collector: Sendable {
        let requests = Mutex<[[UInt8]]>([])
    }

    private static func span(_ number: UInt64) -> Span {
        Span(
            context: TraceContext(traceHigh: 1, traceLow: 2, span: number, isSampled: true), parent: 3, name: "work",
            kind: .internal, start: 0x0102_0304_0506_0708, end: 9, attributes: [("key", .text("value"))], isError: true)
    }

    @Test func whatWaitsIsSentInBatchesWhenTheExporterStops() async throws {
        let collector = Collector()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = Server(
            group: group,
            methods: [
                ExportRequest.path: .unary { call, message in
                    collector.requests.withLock { $0.append(message) }
                    call.respond([])
                }
            ])
        let address = try await server.bind(host: "127.0.0.1", port: 0)
        let port = try #require(address.port)
        let tracer = Tracer(samplesPerMillion: 0) { 1 }
        tracer.record((0..<600).map { Self.span($0 + 1) })
        let exporter = try #require(
            SpanExporter(
                tracer, address: "127.0.0.1:\(port)", serviceName: "s", instanceID: "i",
                group: group
            ) { Issue.record("\($0)") })
        exporter.start()
        await exporter.stop()
        try await server.shutdown()
        try await group.shutdownGracefully()
        #expect(exporter.sentCount + tracer.dropped == 600)
        #expect(tracer.waitingCount == 0)
        let requests = collector.requests.withLock { $0 }
        #expect(requests.count >= 1)
    }

    @Test func aCollectorThatStartsAnewBetweenTwoBatchesCostsNoSpans() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        func collect(on port: Int) async throws -> (Server, Int) {
            let server = Server(group: group, methods: [ExportRequest.path: .unary { call, _ in call.respond([]) }])
            return (server, try #require(try await server.bind(host: "127.0.0.1", port: port).port))
        }
        let (first, port) = try await collect(on: 0)
        let tracer = Tracer(samplesPerMillion: 0) { 1 }
        let exporter = try #require(
            SpanExporter(tracer, address: "127.0.0.1:\(port)", serviceName: "s", instanceID: "", group: group) { _ in })
        var connection: ClientConnection?
        tracer.record([Self.span(1)])
        try await exporter.sendAll(&connection, timeout: .minutes(1))
        try await first.shutdown()
        try await connection?.closeFuture.get()
        let (second, _) = try await collect(on: port)
        tracer.record([Self.span(2)])
        try await exporter.sendAll(&connection, timeout: .minutes(1))
        #expect(exporter.sentCount == 2 && tracer.dropped == 0)
        try await connection?.close()
        try await second.shutdown()
    }

    @Test func aCollectorThatNeverAnswersIsNotWaitedForLongAtTheEnd() async throws {
        let waits = Mutex<[TimeAmount]>([])
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = Server(
            group: group,
            methods: [
                ExportRequest.path: .unary { call, _ in
                    let left = call.deadline.map { $0 - call.eventLoop.now } ?? .hours(1)
                    waits.withLock { $0.append(left) }
                }
            ])
        let address = try await server.bind(host: "127.0.0.1", port: 0)
        let port = try #require(address.port)
        let tracer = Tracer(samplesPerMillion: 0) { 1 }
        tracer.record((0..<2000).map { Self.span($0 + 1) })
        let exporter = try #require(
            SpanExporter(tracer, address: "127.0.0.1:\(port)", serviceName: "s", instanceID: "", group: group) { _ in })
        exporter.start()
        await exporter.stop()
        try await server.shutdown()
        try await group.shutdownGracefully()
        #expect(exporter.sentCount == 0)
        // What was tried is lost; the rest went nowhere.
        #expect(tracer.dropped >= 512 && tracer.dropped + UInt64(tracer.waitingCount) == 2000)
        #expect(try #require(waits.withLock { $0.last }) <= .seconds(2))
    }

    @Test func noMoreSpansWaitThanTheLimit() {
        let tracer = Tracer(samplesPerMillion: 0) { 1 }
        for number in 0..<10 { tracer.record((0..<500).map { Self.span(UInt64(number * 500 + $0 + 1)) }) }
        #expect(tracer.waitingCount == Tracer.waitingLimit)
        #expect(tracer.dropped == UInt64(5000 - Tracer.waitingLimit))
        let batches = (0..<6).map { _ in tracer.takeBatch().map(\.context.span) }
        #expect(batches.map(\.count) == [512, 512, 512, 512, 0, 0])
        // Those that came first are kept.
        #expect(batches.flatMap { $0 } == Array(1...UInt64(Tracer.waitingLimit)))
    }

    @Test func attributesHaveTheFormOfTheirKind() {
        func attribute(_ value: Span.Value) -> [UInt8] {
            var span = Self.span(4)
            span.attributes = [("k", value)]
            let bytes = ExportRequest.encode([span], resource: [], scope: "")
            // Behind the key: the value's message.
            let key: [UInt8] = [0x0a, 1] + Array("k".utf8) + [0x12]
            let start = bytes.indices.first { bytes[$0...].starts(with: key) }
            return start.map { Array(bytes[($0 + key.count)...].prefix(3)) } ?? []
        }
        #expect(attribute(.flag(true)) == [2, 0x10, 1])
        #expect(attribute(.flag(false)) == [2, 0x10, 0])
        #expect(attribute(.number(5)) == [2, 0x18, 5])
        #expect(attribute(.text("x")) == [3, 0x0a, 1])
    }

    @Test func aRequestHasTheCollectorsForm() {
        let bytes = ExportRequest.encode([Self.span(4)], resource: [("service.name", .text("s"))], scope: "x")
        // ResourceSpans { Resource { KeyValue } ScopeSpans { Scope { name } Span } }, by the fields of trace.proto.
        let span: [UInt8] =
            [0x0a, 16] + [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]
            + [0x12, 8, 0, 0, 0, 0, 0, 0, 0, 4] + [0x22, 8, 0, 0, 0, 0, 0, 0, 0, 3] + [0x2a, 4] + Array("work".utf8)
            + [0x30, 1] + [0x39, 8, 7, 6, 5, 4, 3, 2, 1] + [0x41, 9, 0, 0, 0, 0, 0, 0, 0]
            + [0x4a, 14, 0x0a, 3] + Array("key".utf8) + [0x12, 7, 0x0a, 5] + Array("value".utf8) + [0x7a, 2, 0x18, 2]
        let scope: [UInt8] = [0x0a, 3, 0x0a, 1] + Array("x".utf8) + [0x12, UInt8(span.count)] + span
        let resource: [UInt8] =
            [0x0a, 19, 0x0a, 12] + Array("service.name".utf8) + [0x12, 3, 0x0a, 1] + Array("s".utf8)
        let whole: [UInt8] =
            [0x0a, UInt8(resource.count)] + resource + [0x12, UInt8(scope.count)] + scope
        let expected: [UInt8] = [0x0a, UInt8(whole.count)] + whole
        #expect(bytes == expected)
    }

    @Test(arguments: ["", "host", "host:", "host:0", "host:70000", "host:port"])
    func anAddressNeedsAPort(address: String) {
        let group = MultiThreadedEventLoopGroup.singleton
        let tracer = Tracer(samplesPerMillion: 0) { 1 }
        #expect(
            SpanExporter(tracer, address: address, serviceName: "s", instanceID: "", group: group) { _ in } == nil)
    }
}
