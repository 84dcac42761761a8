import AuditLog
import Configuration
import EtcdAPI
import GRPC
import Logging
import Metrics
import NIOCore

/// The audit log as the server keeps it: what stands before every other guard, so that what they refuse is told too.
final class AuditTrail: Sendable {
    private let log: AuditLog

    /// The trail that `configuration` asks for, or nil when it asks for none.
    static func open(
        _ configuration: AuditSettings, metrics: AuditMetrics, logger: Logger
    ) throws -> AuditTrail? {
        guard let path = configuration.path else { return nil }
        let settings = AuditLog.Settings(
            path: path, keys: configuration.hashesKeys ? .hash : .plain, sample: configuration.sample,
            fileBytes: configuration.fileBytes, files: configuration.files)
        let log = try AuditLog(settings) { notice in
            switch notice {
            case .written(let count): metrics.written.add(count)
            case .dropped(let count):
                metrics.dropped.add(count)
                logger.warning("the audit log has lost events", metadata: ["count": .stringConvertible(count)])
            case .failed(let reason):
                logger.error("the audit log cannot be written", metadata: ["error": .string(reason)])
            }
        }
        return AuditTrail(log)
    }

    private init(_ log: AuditLog) {
        self.log = log
    }

    /// Starts the thread that writes.
    func start() -> ServiceThread {
        ServiceThread("etcd-audit") { [log] in log.run() }
    }

    /// Lets the thread write what waits and end.
    func stop() { log.stop() }

    /// The method at `path`, whose calls are noted. Those of gRPC's own services are nobody's doing.
    func guarding(_ method: Method, at path: String, _ authority: Authority) -> Method {
        guard EtcdMethod(path: path) != nil else { return method }
        switch method {
        case .unary(let body):
            return .unary { [self] call, message in
                if !call.isPart { follow(call, path, message, authority) }
                body(call, message)
            }
        case .stream(let open):
            return .stream { [self] call in
                if call.isPart { return open(call) }
                let stream = AuditedStream(self, call, path, authority)
                stream.inner = open(call)
                return stream
            }
        }
    }

    private func follow(_ call: UnaryCall, _ path: String, _ message: [UInt8], _ authority: Authority) {
        let start = NIODeadline.now()
        let caller = AuditedCaller(call, peer: call.peer, authority)
        call.onEnd { [self] code in note(.call, path, message, caller.named(call, authority), code, since: start) }
    }

    /// Notes what came by another way than a call.
    func note(_ event: AuditEvent) { log.note(event) }

    /// Notes a call that was refused before its method heard of it, so that nobody knows what it was about. On its event
    /// loop.
    func noteUnheard(_ call: UnaryCall, _ path: String, _ code: Status.Code, _ authority: Authority) {
        // One that its client gave up has asked for nothing.
        guard code != .cancelled, EtcdMethod(path: path) != nil else { return }
        note(.call, path, nil, AuditedCaller(call, peer: call.peer, authority), code, since: .now())
    }

    /// Notes that a request on the stream of `call` was refused, while the stream goes on. On its event loop.
    func noteRefusal(
        of message: [UInt8], on call: StreamCall, at path: String, _ code: Status.Code, _ authority: Authority
    ) {
        if call.isPart { return }
        note(.refusal, path, message, AuditedCaller(call, peer: call.peer, authority), code, since: .now())
    }

    fileprivate func note(
        _ stage: AuditEvent.Stage, _ path: String, _ message: [UInt8]?, _ caller: AuditedCaller, _ code: Status.Code?,
        since start: NIODeadline
    ) {
        log.note(
            AuditEvent(
                stage, time: Clock.unixMilliseconds, method: path, request: message, peer: caller.peer,
                user: caller.user, certificate: caller.certificate, code: code?.name,
                microseconds: (NIODeadline.now() - start).nanoseconds / 1000))
    }
}

/// Who makes a call, as far as the client has shown that.
private struct AuditedCaller: Sendable {
    var peer: String
    var certificate: String?
    var user: String?

    init(_ call: some Identifiable, peer: String, _ authority: Authority) {
        self.peer = peer
        certificate = call.shownIdentity
        user = Self.user(call, authority)
    }

    /// The same, named if its login was not known here when the call began.
    func named(_ call: some Identifiable, _ authority: Authority) -> AuditedCaller {
        guard user == nil else { return self }
        var caller = self
        caller.user = Self.user(call, authority)
        return caller
    }

    /// A token that stands for nobody names nobody.
    private static func user(_ call: some Identifiable, _ authority: Authority) -> String? {
        (try? authority.caller(of: call))?.user
    }
}

/// A stream whose requests are noted as they come, and whose end is: each watch that is created on a stream of watches, and
/// the first request of any other. Used on its event loop alone.
private final class AuditedStream: StreamHandler {
    private let trail: AuditTrail
    private let path: String
    private let call: StreamCall
    private let authority: Authority
    private let caller: AuditedCaller
    private let start = NIODeadline.now()
    private var hasAsked = false
    /// What was asked last. Not of a stream of watches, which may have many.
    private var lastRequest: [UInt8]?
    var inner: (any StreamHandler)?

    init(_ trail: AuditTrail, _ call: StreamCall, _ path: String, _ authority: Authority) {
        self.trail = trail
        self.path = path
        self.call = call
        self.authority = authority
        caller = AuditedCaller(call, peer: call.peer, authority)
        call.onEnd { [self] code in
            // What went well was told when it was asked for; what did not may have been left out of a sample then.
            let about = code == .ok ? nil : lastRequest
            trail.note(.end, path, about, caller.named(call, authority), code, since: start)
        }
    }

    func received(_ message: [UInt8]) {
        if !hasAsked || Self.createsWatch(message, path) {
            hasAsked = true
            trail.note(.request, path, message, caller.named(call, authority), nil, since: start)
        }
        if path != EtcdMethod.watch.path { lastRequest = message }
        inner?.received(message)
    }

    /// The request is read whole: whoever wants a watch that nobody hears of may put other fields before that.
    private static func createsWatch(_ message: [UInt8], _ path: String) -> Bool {
        guard path == EtcdMethod.watch.path, let request = try? Etcdserverpb_WatchRequest(serializedBytes: message)
        else { return false }
        if case .createRequest? = request.requestUnion { return true }
        return false
    }

    func halfClosed() { inner?.halfClosed() }
    func writable() { inner?.writable() }

    func cancelled(_ reason: CancelReason) {
        let inner = inner
        self.inner = nil
        inner?.cancelled(reason)
    }
}
