import Glibc

/// A queue by which threads hand work to one owner, who takes all that has come at once.
///
/// It has no bound of its own: what goes in is bounded by those who send (calls under way, writes under way).
final class Mailbox<Element: Sendable>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var elements: [Element] = []
    private var isWaiting = false

    init() {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Puts `element` behind the others. Any thread.
    func send(_ element: Element) {
        pthread_mutex_lock(mutex)
        elements.append(element)
        let wake = isWaiting
        isWaiting = false
        pthread_mutex_unlock(mutex)
        if wake { pthread_cond_signal(condition) }
    }

    /// Waits until there is something or the clock reads `deadline`, then exchanges all there is for `emptied`, whose
    /// storage is used for what comes next. Only the owner.
    func receive(into taken: inout [Element], until deadline: Int64?) {
        taken.removeAll(keepingCapacity: true)
        pthread_mutex_lock(mutex)
        while elements.isEmpty {
            isWaiting = true
            if let deadline {
                var time = timespec(tv_sec: Int(deadline / 1000), tv_nsec: Int(deadline % 1000) * 1_000_000)
                if pthread_cond_timedwait(condition, mutex, &time) == ETIMEDOUT { break }
            } else {
                pthread_cond_wait(condition, mutex)
            }
        }
        isWaiting = false
        swap(&elements, &taken)
        pthread_mutex_unlock(mutex)
    }
}
