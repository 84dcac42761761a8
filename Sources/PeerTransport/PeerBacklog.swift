import RaftMessages
import Synchronization

/// Messages from a peer, and the room that they take until their owner has taken them.
public struct ReceivedMessages: Sendable {
    public let messages: [Message]
    fileprivate let backlog: PeerBacklog
    fileprivate let bytes: Int

    /// Says that the owner is done with them, so that more may come. To be called once. Any thread.
    public func taken() { backlog.release(messages.count, bytes) }
}

/// What has come on one way, such as a stream of a peer, and was not taken by the owner yet. Each way has one, so that what is
/// held back on one holds up no other.
final class PeerBacklog: Sendable {
    /// Messages that may wait: etcd's.
    static let messageLimit = 4096
    /// Bytes that may wait: above what a sender of ours or etcd's keeps for a stream (50 MiB), so that one burst of it fits.
    static let byteLimit = 64 << 20
    /// What a message and an entry take in memory besides their bytes.
    private static let messageCost = 256
    private static let entryCost = 64

    private struct State {
        var messages = 0
        var bytes = 0
        var isHeldBack = false
    }

    private let byteLimit: Int
    private let state = Mutex(State())
    private let readOn: @Sendable () -> Void

    /// - Parameter readOn: called when there is room again after ``holdsBack()`` has said that there is none; on the thread
    ///   of the owner.
    init(byteLimit: Int = PeerBacklog.byteLimit, readOn: @escaping @Sendable () -> Void = {}) {
        self.byteLimit = byteLimit
        self.readOn = readOn
    }

    /// Counts `messages`, which came as `bytes`, until they are taken.
    func add(_ messages: [Message], bytes: Int) -> ReceivedMessages {
        let entries = messages.reduce(0) { $0 + $1.entries.count }
        let cost = bytes + messages.count * Self.messageCost + entries * Self.entryCost
        state.withLock { state in
            state.messages += messages.count
            state.bytes += cost
        }
        return ReceivedMessages(messages: messages, backlog: self, bytes: cost)
    }

    /// Whether there is no room for `message`. One without entries, such as a heartbeat, is only counted.
    func isFull(for message: Message) -> Bool {
        state.withLock { state in
            state.messages >= Self.messageLimit || (!message.entries.isEmpty && state.bytes >= byteLimit)
        }
    }

    /// Whether nothing more should be read. After true, `readOn` is called when half is taken.
    func holdsBack() -> Bool {
        state.withLock { state in
            if state.messages >= Self.messageLimit || state.bytes >= byteLimit { state.isHeldBack = true }
            return state.isHeldBack
        }
    }

    fileprivate func release(_ messages: Int, _ bytes: Int) {
        let hasRoom = state.withLock { state in
            state.messages -= messages
            state.bytes -= bytes
            precondition(state.messages >= 0 && state.bytes >= 0, "messages of a peer were taken twice")
            guard state.isHeldBack, state.messages <= Self.messageLimit / 2, state.bytes <= byteLimit / 2 else {
                return false
            }
            state.isHeldBack = false
            return true
        }
        if hasRoom { readOn() }
    }
}
