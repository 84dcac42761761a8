import Auth
import EtcdAPI
import GRPC
import MVCC
import NIOCore
import SwiftProtobuf
import Synchronization
import Watch

/// `etcdserverpb.Watch`.
final class WatchService: Sendable {
    private let watch: WatchThread
    private let publisher: StorePublisher
    private let authority: Authority
    private let audit: AuditTrail?
    private let lastStream = Atomic<UInt64>(0)

    init(watch: WatchThread, publisher: StorePublisher, authority: Authority, audit: AuditTrail?) {
        self.audit = audit
        self.authority = authority
        self.watch = watch
        self.publisher = publisher
    }

    var methods: [String: Method] {
        [
            EtcdMethod.watch.path: .stream { [self] call in
                let id = WatchStreamID(lastStream.wrappingAdd(1, ordering: .relaxed).newValue)
                return WatchStreamHandler(
                    id: id, call: call, watch: watch, publisher: publisher, authority: authority, audit: audit)
            }
        ]
    }
}

/// One stream of watches: requests go to the watchers' thread, responses come from it.
///
/// Used on its event loop alone.
final class WatchStreamHandler: StreamHandler, @unchecked Sendable {
    let id: WatchStreamID
    private let call: StreamCall
    private let watch: WatchThread
    private let publisher: StorePublisher
    private let authority: Authority
    private let audit: AuditTrail?
    private var isOver = false
    /// Requests that are on their way to the watchers' thread. Beyond the limit no more are read, so a client that asks
    /// faster than that thread works waits.
    private var unhandled = 0
    private static let unhandledLimit = 1000
    /// Bytes that were sent and not yet reported as written.
    private var unreported = 0

    var eventLoop: any EventLoop { call.eventLoop }

    init(
        id: WatchStreamID, call: StreamCall, watch: WatchThread, publisher: StorePublisher, authority: Authority,
        audit: AuditTrail?
    ) {
        self.id = id
        self.audit = audit
        self.authority = authority
        self.call = call
        self.watch = watch
        self.publisher = publisher
        watch.openStreams.add(1, ordering: .sequentiallyConsistent)
        watch.send(.open(id, self))
    }

    func received(_ message: [UInt8]) {
        guard !isOver else { return }
        guard let request = try? Etcdserverpb_WatchRequest(serializedBytes: message) else {
            fail(Status(.internal, "grpc: failed to unmarshal the received message"))
            return
        }
        switch request.requestUnion {
        case .createRequest(let create):
            if let refusal = refusal(of: create) {
                audit?.noteRefusal(of: message, on: call, at: EtcdMethod.watch.path, Status(refusal).code, authority)
                watch.send(.refuse(id, "rpc error: code = \(refusal.code.goName) desc = \(refusal.message)"))
            } else {
                watch.send(.create(id, convert(create)))
            }
        case .cancelRequest(let cancel): watch.send(.cancel(id, cancel.watchID))
        case .progressRequest: watch.send(.progress(id))
        case nil: break
        }
        unhandled += 1
        if !call.isWritable || unhandled >= Self.unhandledLimit { call.pauseReading() }
    }

    /// The watchers' thread has taken `count` of this stream's requests. On the event loop.
    func handled(_ count: Int) {
        unhandled -= count
        if !isOver, call.isWritable, unhandled < Self.unhandledLimit { call.resumeReading() }
    }

    /// Why the caller may not have this watch; nil when it may. The range is checked as it was asked: one
    /// without an end takes the permission to read all keys from there on.
    private func refusal(of request: Etcdserverpb_WatchCreateRequest) -> EtcdError? {
        guard authority.isEnabled, request.startRevision >= 0 else { return nil }
        let key = request.key.isEmpty ? [0] : [UInt8](request.key)
        do throws(EtcdError) {
            try authority.permit(call) { state, caller throws(EtcdError) in
                try state.check(caller, .read, key, [UInt8](request.rangeEnd))
            }
            return nil
        } catch {
            let known: [EtcdError] = [.invalidAuthToken, .authOldRevision, .userEmpty]
            return known.contains(error) ? error : .permissionDenied
        }
    }

    private func convert(_ request: Etcdserverpb_WatchCreateRequest) -> WatchCreate {
        var create = WatchCreate(key: [UInt8](request.key), rangeEnd: [UInt8](request.rangeEnd))
        create.watchID = request.watchID
        create.startRevision = request.startRevision
        if request.startRevision == 0 {
            // What was acknowledged before this moment is not news to the client.
            create.startRevision = publisher.latest().currentRevision + 1
        }
        create.progressNotify = request.progressNotify
        create.previousKeyValue = request.prevKv
        create.fragments = request.fragment
        create.excludesPuts = request.filters.contains(.noput)
        create.excludesDeletes = request.filters.contains(.nodelete)
        return create
    }

    /// A client that has no more to ask still wants its events.
    func halfClosed() {}

    func cancelled(_ reason: CancelReason) {
        guard !isOver else { return }
        end()
    }

    func writable() {
        if unhandled < Self.unhandledLimit { call.resumeReading() }
        if let bytes = takeWritten() { watch.send(.written([(id, bytes)])) }
    }

    /// Sends a response and returns how many bytes are on their way since the last report. On the event loop.
    func deliver(_ delivery: WatchDelivery) -> Int? {
        guard !isOver else { return nil }
        call.send(parts: [delivery.head, delivery.body])
        unreported += delivery.byteCount
        return call.isWritable ? takeWritten() : nil
    }

    private func takeWritten() -> Int? {
        guard unreported > 0 else { return nil }
        defer { unreported = 0 }
        return unreported
    }

    /// Ends the stream with an error. Any thread.
    func fail(_ status: Status) {
        call.eventLoop.execute { [self] in
            guard !isOver else { return }
            end()
            call.finish(status)
        }
    }

    private func end() {
        isOver = true
        watch.openStreams.subtract(1, ordering: .sequentiallyConsistent)
        watch.send(.close(id))
    }
}
