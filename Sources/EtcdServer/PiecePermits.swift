import Glibc

/// Holds a producing thread back until the consumer has room.
final class PiecePermits: @unchecked Sendable {
    /// The consumer is gone.
    struct Closed: Error {}

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var hasRoom = true
    private var isClosed = false

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Waits for room and takes it.
    func wait() throws(Closed) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !hasRoom && !isClosed { pthread_cond_wait(condition, mutex) }
        if isClosed { throw Closed() }
        hasRoom = false
    }

    /// There is room again.
    func open() { change { hasRoom = true } }

    /// Nobody takes anything any more.
    func close() { change { isClosed = true } }

    private func change(_ body: () -> Void) {
        pthread_mutex_lock(mutex)
        body()
        pthread_mutex_unlock(mutex)
        pthread_cond_signal(condition)
    }
}
