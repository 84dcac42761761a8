import NIOConcurrencyHelpers
import NIOCore

/// gRPC's standard health service, `grpc.health.v1.Health`: `Check` answers once, `List` for all services that are known,
/// `Watch` on every change. The service named "" stands for the whole server and serves from the start.
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
            "/grpc.health.v1.Health/List": .unary { [self] call, message in list(call, message) },
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

    /// `HealthListRequest` has no fields, so that all that decodes is one.
    private func list(_ call: UnaryCall, _ message: [UInt8]) {
        guard Self.decodeService(message) != nil else {
            return call.fail(Status(.internal, "grpc: error unmarshalling request: not a HealthListRequest"))
        }
        let statuses = state.withLockedValue { $0.statuses }
        call.respond(statuses.sorted { $0.key < $1.key }.flatMap { Self.encodeEntry($0.key, $0.value) })
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
        /// What was said last: it is not said again.
        private var said: ServingStatus?

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
            say(service.add(self, name))
        }

        func halfClosed() {
            if name == nil { call.finish(Status(.internal, "no request message")) }
        }

        func cancelled(_ reason: CancelReason) { service.remove(self) }

        func writable() {}

        func changed(_ service: String, _ status: ServingStatus) {
            call.eventLoop.execute { [self] in
                if name == service { say(status) }
            }
        }

        private func say(_ status: ServingStatus) {
            guard status != said else { return }
            said = status
            call.send(HealthService.encode(status))
        }
    }

    /// `HealthCheckResponse`: field 1, the status. Zero is the default and is left out.
    private static func encode(_ status: ServingStatus) -> [UInt8] {
        status == .unknown ? [] : [0x08, status.rawValue]
    }

    /// An entry of `HealthListResponse`'s map: field 1 of the response, in which 1 is the service's name and 2 its
    /// `HealthCheckResponse`.
    private static func encodeEntry(_ service: String, _ status: ServingStatus) -> [UInt8] {
        delimited(1, delimited(1, Array(service.utf8)) + delimited(2, encode(status)))
    }

    private static func delimited(_ field: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        var head = [field << 3 | 2]
        var length = bytes.count
        while length >= 0x80 {
            head.append(UInt8(length & 0x7F) | 0x80)
            length >>= 7
        }
        return head + [UInt8(length)] + bytes
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
