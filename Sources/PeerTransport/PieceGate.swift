import Dispatch
import Synchronization

/// Holds a reading thread back until the network has taken some of what it read.
final class PieceGate: Sendable {
    /// The network takes nothing any more.
    struct Closed: Error {}

    private let permits = DispatchSemaphore(value: 0)
    private let isClosed = Atomic(false)

    /// Lets `count` pieces through at first.
    init(_ count: Int) {
        for _ in 0..<count { permits.signal() }
    }

    /// Waits until one more piece may go.
    func pass() throws(Closed) {
        permits.wait()
        if isClosed.load(ordering: .acquiring) {
            permits.signal()
            throw Closed()
        }
    }

    /// One piece has gone.
    func open() { permits.signal() }

    /// Nobody takes anything any more.
    func close() {
        isClosed.store(true, ordering: .releasing)
        permits.signal()
    }
}
