import GRPC
import Membership
import NIOCore
import StoreV2

/// A request that waits for a change of a version-2 key, or with `stream` for one after the other.
///
/// Belongs to the connection's event loop, but for what it hears on the member's thread and passes on.
final class StoreV2Watch: HTTPStreamHandler, StoreV2Watcher, @unchecked Sendable {
    /// A stream whose client leaves this many bytes unread is ended: etcd ends one that is a hundred events behind.
    private static let unreadLimit = 4 << 20

    private let call: HTTPCall
    private let request: StoreV2Request
    private let member: MemberThread
    private let status: MemberStatus
    private let memory: ResponseMemory
    private var watcher: UInt64?
    private var isOver = false
    private var hasBegun = false

    init(_ call: HTTPCall, _ request: StoreV2Request, service: StoreV2Service) {
        self.call = call
        self.request = request
        member = service.member
        status = service.status
        memory = service.large.memory
    }

    func received(_ bytes: [UInt8]) {}
    func writable() {}

    func ended() {
        guard !hasBegun else { return }
        hasBegun = true
        member.perform { [self] member in start(member) }
    }

    func cancelled() {
        isOver = true
        stopWatching()
    }

    // MARK: On the member's thread

    private func start(_ member: MemberThread) {
        do throws(StoreV2Error) {
            let place = StoreV2Service.Place(member)
            let headers = place.headers(
                storeIndex: member.core.applier.keyTree.index, clusterID: status.clusterID)
            let id = try member.watch(request, self) {
                call.eventLoop.execute { [self] in
                    if !isOver { call.begin(status: 200, headers: headers) }
                }
            }
            guard let id else { return }
            call.eventLoop.execute { [self] in
                watcher = id
                if isOver { stopWatching() }
            }
        } catch {
            let refusal = StoreV2Service.refusal(error, clusterID: status.clusterID)
            call.eventLoop.execute { [self] in
                if isOver { return }
                isOver = true
                call.begin(status: refusal.status, headers: refusal.headers)
                call.write(refusal.body)
                call.end()
            }
        }
    }

    func happened(_ message: StoreV2Message) {
        call.eventLoop.execute { [self] in
            guard !isOver else { return }
            // As etcd ends a wait that takes too long: the client asks again, from the index that it has.
            if memory.isUsedUp { return finish() }
            call.write(message.line)
            if !request.stream || call.pendingBytes > Self.unreadLimit { finish() }
        }
    }

    func abandoned() {
        call.eventLoop.execute { [self] in finish() }
    }

    // MARK: On the event loop

    private func finish() {
        guard !isOver else { return }
        isOver = true
        call.end()
        stopWatching()
    }

    private func stopWatching() {
        guard let id = watcher else { return }
        watcher = nil
        member.perform { $0.endStoreV2Watch(id) }
    }
}
