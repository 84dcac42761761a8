import NIOConcurrencyHelpers
import NIOCore

/// gRPC's standard health service, `grpc.health.v1.Health`: `Check` answers once, `Watch` on every change. The service
/// named "" stands for the whole server and serves from the start.
///
/// Source: grpc.io, "GRPC Health Checking Protocol".
public final class HealthService: Sendable {
    /// What a service can say of itself, with its number on the wire.
    public enum ServingStatus: UInt8, Sendable {
        case unknown = 0
        case serving = 1
        case notServing = 2
        /// Only `Watch` says this, of a service that it does not know; it goes on watching.
        case serviceUnknown = 3
    }

    private struct State {
        var statuses: [String: ServingStatus] = ["": .serving]
        var watchers: [ObjectIdentifier: Watcher] = [:]
    }

    private let state = NIOLockedValueBox(State())

    /// A health service that knows the whole server only.
    public init() {}

    /// The methods to put into a server's table.
    public var methods: [String: Method] {
        [
            "/grpc.health.v1.Health/Check": .unary { [self] call, message in check(call, message) },
            "/grpc.health.v1.Health/Watch": .stream { [self] call in Watcher(service: self, call: call) },
        ]
    }

    /// Sets what is said of `service` and tells those who watch it.
    public func set(_ service: String, _ status: ServingStatus) {
        let watchers = state.withLockedValue { state in
            state.statuses[service] = status
            return Array(state.watchers.values)
        }
        for watcher in watchers { watcher.changed(service, status) }
    }

    private func check(_ call: UnaryCall, _ message: [UInt8]) {
        guard let service = Self.decodeService(message) else {
            return call.fail(Status(.internal, "grpc: error unmarshalling request: not a HealthCheckRequest"))
        }
        guard let status = state.withLockedValue({ $0.statuses[service] }) else {
            return call.fail(Status(.notFound, "unknown service"))
        }
        call.respond(Self.encode(status))
    }

    private func add(_ watcher: Watcher, _ service: String) -> ServingStatus {
        state.withLockedValue { state in
            state.watchers[ObjectIdentifier(watcher)] = watcher
            return state.statuses[service] ?? .serviceUnknown
        }
    }

    private func remove(_ watcher: Watcher) {
        state.withLockedValue { $0.watchers[ObjectIdentifier(watcher)] = nil }
    }

    /// One call of `Watch`. Belongs to the call's event loop, except `changed`.
    private final class Watcher: StreamHandler, @unchecked Sendable {
        private let service: HealthService
        private let call: StreamCall
        private var name: String?

        init(service: HealthService, call: StreamCall) {
            self.service = service
            self.call = call
        }

        func received(_ message: [UInt8]) {
            guard name == nil else { return }
            guard let name = HealthService.decodeService(message) else {
                return call.finish(
                    Status(.internal, "grpc: error unmarshalling request: not a HealthCheckRequest"))
            }
            self.name = name
            call.send(HealthService.encode(service.add(self, name)))
        }

        func halfClosed() {
            if name == nil { call.finish(Status(.internal, "no request message")) }
        }

        func cancelled(_ reason: CancelReason) { service.remove(self) }

        func writable() {}

        func changed(_ service: String, _ status: ServingStatus) {
            call.eventLoop.execute { [self] in
                if name == service { call.send(HealthService.encode(status)) }
            }
        }
    }

    /// `HealthCheckResponse`: field 1, the status. Zero is the default and is left out.
    private static func encode(_ status: ServingStatus) -> [UInt8] {
        status == .unknown ? [] : [0x08, status.rawValue]
    }

    /// The service that a `HealthCheckRequest` names: field 1, text; nil when the bytes are no such message.
    private static func decodeService(_ message: [UInt8]) -> String? {
        var name = ""
        var rest = message[...]
        while let tag = varint(&rest) {
            switch tag & 7 {
            case 0:
                guard varint(&rest) != nil else { return nil }
            case 1:
                guard rest.count >= 8 else { return nil }
                rest = rest.dropFirst(8)
            case 2:
                guard let length = varint(&rest), length <= UInt64(rest.count) else { return nil }
                let value = rest.prefix(Int(length))
                rest = rest.dropFirst(Int(length))
                guard tag >> 3 == 1 else { continue }
                guard let text = String(validating: value, as: UTF8.self) else { return nil }
                name = text
            case 5:
                guard rest.count >= 4 else { return nil }
                rest = rest.dropFirst(4)
            default: return nil
            }
        }
        return rest.isEmpty ? name : nil
    }

    private static func varint(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for (index, byte) in bytes.prefix(10).enumerated() {
            value |= UInt64(byte & 0x7F) << UInt64(7 * index)
            guard byte & 0x80 == 0 else { continue }
            bytes = bytes.dropFirst(index + 1)
            return value
        }
        return nil
    }
}
