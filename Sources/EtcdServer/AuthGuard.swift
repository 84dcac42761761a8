import Auth
import EtcdAPI
import GRPC
import NIOCore

/// What a caller must be for each method, as in etcd 3.7; the guard stands before the services, so that no way around it
/// leads to them.
///
/// What depends on keys is checked by the services with the request in hand, and by every member as it applies.
final class AuthGuard: Sendable {
    /// What a method asks of its caller.
    enum Demand: Equatable {
        /// Anyone may call it.
        case nothing
        /// Any user that there is.
        case login
        /// The root role.
        case root
        /// As for the request in it: asking for alarms takes a login, changing them root.
        case alarm
        /// The request's keys decide, in the service and as it is applied.
        case keys
    }

    private let gateways: Gateways
    var authority: Authority { gateways.authority }

    init(gateways: Gateways) {
        self.gateways = gateways
    }

    /// What the method at `path` asks. Methods that etcd does not have are open, as gRPC's health and reflection are.
    static func demand(of path: String) -> Demand {
        guard let method = EtcdMethod(path: path) else { return .nothing }
        switch method {
        case .authenticate: return .nothing
        case .range, .rangeStream, .put, .deleteRange, .txn, .watch, .leaseKeepAlive: return .keys
        // Who asks for itself is answered without root.
        case .userGet, .roleGet: return .keys
        case .leaseGrant, .leaseRevoke, .leaseTimeToLive, .leaseLeases, .memberList, .status: return .login
        // They are made of calls that are guarded in their turn.
        case .lock, .unlock, .campaign, .proclaim, .leader, .observe, .resign: return .keys
        case .alarm: return .alarm
        case .compact, .memberAdd, .memberRemove, .memberUpdate, .memberPromote, .defragment, .hash, .hashKV,
            .snapshot, .moveLeader, .downgrade:
            return .root
        case .authEnable, .authDisable, .authStatus, .userAdd, .userList, .userDelete, .userChangePassword,
            .userGrantRole, .userRevokeRole, .roleAdd, .roleList, .roleDelete, .roleGrantPermission,
            .roleRevokePermission:
            return .root
        }
    }

    /// `method`, which is only carried out for those who may call it.
    func guarding(_ method: Method, at path: String) -> Method {
        let demand = Self.demand(of: path)
        if demand == .nothing { return method }
        switch method {
        case .unary(let body):
            return .unary { [gateways] call, message in
                guard gateways.authority.isEnabled else { return body(call, message) }
                gateways.whenTokenIsKnown(call) {
                    let needed = demand == .alarm ? Self.demand(ofAlarm: message) : demand
                    if needed == .keys { return body(call, message) }
                    gateways.admit(call, { state, caller throws(EtcdError) in try Self.check(needed, state, caller) }) {
                        body(call, message)
                    }
                }
            }
        case .stream(let open):
            return .stream { [gateways] call in
                let authority = gateways.authority
                guard authority.isEnabled else { return open(call) }
                if authority.isAhead(call) {
                    return WaitingStream(call, gateways) { Self.open(open, call, demand, authority) }
                }
                return Self.open(open, call, demand, authority)
            }
        }
    }

    private static func open(
        _ open: (StreamCall) -> any StreamHandler, _ call: StreamCall, _ demand: Demand, _ authority: Authority
    ) -> any StreamHandler {
        do throws(EtcdError) {
            if demand != .keys {
                try authority.permit(call) { state, caller throws(EtcdError) in try check(demand, state, caller) }
            }
            return open(call)
        } catch {
            call.finish(Status(error))
            return RefusedStream()
        }
    }

    private static func check(_ demand: Demand, _ state: AuthState, _ caller: Caller) throws(EtcdError) {
        switch demand {
        case .nothing, .keys: break
        case .login, .alarm: try state.requireUser(caller)
        case .root: try state.requireRoot(caller)
        }
    }

    private static func demand(ofAlarm message: [UInt8]) -> Demand {
        let request = try? Etcdserverpb_AlarmRequest(serializedBytes: message)
        return request?.action == .get ? .login : .root
    }
}

/// A stream whose client has just logged in with another member: what comes meanwhile is kept until that is known here.
///
/// Used on its event loop alone.
private final class WaitingStream: StreamHandler, @unchecked Sendable {
    private let call: StreamCall
    private var inner: (any StreamHandler)?
    private var messages: [[UInt8]] = []
    private var isHalfClosed = false
    private var isOver = false

    init(_ call: StreamCall, _ gateways: Gateways, open: @escaping () -> any StreamHandler) {
        self.call = call
        // One window of requests comes at the most.
        call.pauseReading()
        nonisolated(unsafe) let open = open
        gateways.whenTokenIsKnown(call) { [self] in begin(open) }
    }

    private func begin(_ open: () -> any StreamHandler) {
        guard !isOver else { return }
        let inner = open()
        self.inner = inner
        for message in messages { inner.received(message) }
        messages = []
        if isHalfClosed { inner.halfClosed() }
        call.resumeReading()
    }

    func received(_ message: [UInt8]) {
        if let inner { inner.received(message) } else { messages.append(message) }
    }

    func halfClosed() {
        if let inner { inner.halfClosed() } else { isHalfClosed = true }
    }

    func cancelled(_ reason: CancelReason) {
        isOver = true
        inner?.cancelled(reason)
    }

    func writable() { inner?.writable() }
}
