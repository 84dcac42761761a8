import NIOCore

/// What the connections of one event loop share: a buffer to write from, and the list of connections that have
/// something to send. However many connections are touched during one turn of the loop, each is flushed once.
///
/// Belongs to its event loop.
final class EventLoopContext: @unchecked Sendable {
    let eventLoop: any EventLoop
    /// Every flush fills this buffer; it is used again as soon as the socket has taken the bytes.
    var scratch: ByteBuffer
    private let readBatchEnded: (@Sendable (any EventLoop) -> Void)?
    private var dirty: [HTTP2Connection] = []
    private var isTurnScheduled = false
    private var hasDispatched = false

    /// How many bytes one write to a socket holds at most: four full DATA frames and some heads.
    static let writeSize = 80 * 1024

    init(eventLoop: any EventLoop, readBatchEnded: (@Sendable (any EventLoop) -> Void)?) {
        self.eventLoop = eventLoop
        self.readBatchEnded = readBatchEnded
        scratch = ByteBufferAllocator().buffer(capacity: Self.writeSize)
    }

    /// `connection` has something to send by the end of this turn.
    func markDirty(_ connection: HTTP2Connection) {
        dirty.append(connection)
        scheduleTurn()
    }

    /// A request went to its handler during this turn.
    func noteDispatch() {
        guard readBatchEnded != nil, !hasDispatched else { return }
        hasDispatched = true
        scheduleTurn()
    }

    private func scheduleTurn() {
        guard !isTurnScheduled else { return }
        isTurnScheduled = true
        eventLoop.execute { self.endTurn() }
    }

    private func endTurn() {
        isTurnScheduled = false
        if hasDispatched {
            hasDispatched = false
            readBatchEnded?(eventLoop)
        }
        var list: [HTTP2Connection] = []
        swap(&list, &dirty)
        for connection in list { connection.flushIfDirty() }
        // The capacity is kept for the next turn, unless handlers have begun a new list meanwhile.
        list.removeAll(keepingCapacity: true)
        if dirty.isEmpty { swap(&list, &dirty) }
    }
}
