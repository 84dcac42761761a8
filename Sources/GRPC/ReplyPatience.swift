import NIOCore

/// Watches that a client takes what is sent to it piece by piece, where what that is read from cannot be kept for ever.
///
/// Belongs to one event loop.
public final class ReplyPatience: @unchecked Sendable {
    /// How long a client may take.
    public struct Limits: Sendable {
        /// From one piece to the next.
        public var piece: TimeAmount
        /// For all pieces together; nil when only ``piece`` counts.
        public var whole: TimeAmount?

        /// Limits for each piece and for all of them.
        public init(piece: TimeAmount, whole: TimeAmount? = nil) {
            self.piece = piece
            self.whole = whole
        }
    }

    private let eventLoop: any EventLoop
    private let limits: Limits
    private let started: NIODeadline
    private var last: NIODeadline
    private var timer: Scheduled<Void>?

    /// Begins now. `tooSlow` is called once, when the client is, unless ``end()`` was called.
    public init(_ eventLoop: any EventLoop, _ limits: Limits, tooSlow: @escaping @Sendable () -> Void) {
        self.eventLoop = eventLoop
        self.limits = limits
        started = eventLoop.now
        last = started
        watch(tooSlow)
    }

    private var due: NIODeadline {
        let next = last + limits.piece
        return limits.whole.map { min(next, started + $0) } ?? next
    }

    private func watch(_ tooSlow: @escaping @Sendable () -> Void) {
        timer = eventLoop.scheduleTask(deadline: due) { [weak self] in
            guard let self else { return }
            if eventLoop.now >= due { tooSlow() } else { watch(tooSlow) }
        }
    }

    /// A piece was taken.
    public func note() { last = eventLoop.now }

    /// All was taken, or nobody is there any more.
    public func end() {
        timer?.cancel()
        timer = nil
    }
}
