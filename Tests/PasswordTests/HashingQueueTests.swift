import Testing

@testable import Password

/// Who hashes what and when; the numbers are milliseconds.
@Suite struct HashingQueueTests {
    private final class Job {}

    @Test func idleThreadsTakeJobsInOrder() {
        var queue = HashingQueue<Job>()
        let jobs = [Job(), Job(), Job()]
        for (index, job) in jobs.enumerated() { queue.add(job, now: Int64(index)) }
        for job in jobs { #expect(queue.next(now: 10) === job) }
        #expect(queue.next(now: 10) == nil)
    }

    @Test func theRescuerLeavesWorkThatGoesOnAlone() {
        var queue = HashingQueue<Job>()
        #expect(queue.nextRescue == nil)
        let job = Job()
        queue.add(job, now: 100)
        #expect(queue.rescue(now: 2_099) == nil)
        #expect(queue.next(now: 150) === job)
        queue.ended(job)
        #expect(queue.nextRescue == nil)
        #expect(queue.rescue(now: 100_000) == nil)
    }

    @Test func theRescuerTakesWhatWaitedLong() {
        var queue = HashingQueue<Job>()
        let (first, second) = (Job(), Job())
        queue.add(first, now: 100)
        queue.add(second, now: 200)
        #expect(queue.nextRescue == 2_100)
        #expect(queue.rescue(now: 2_100) === first)
        #expect(queue.next(now: 2_100) === second)
    }

    /// An idle thread that gets no time would keep its job for ever.
    @Test func theRescuerDoesOnceWhatIsStuck() {
        var queue = HashingQueue<Job>()
        let (stuck, other) = (Job(), Job())
        queue.add(stuck, now: 0)
        queue.add(other, now: 1_000)
        #expect(queue.next(now: 500) === stuck)
        #expect(queue.rescue(now: 2_499) == nil)
        #expect(queue.rescue(now: 2_500) === stuck)
        queue.rescued(began: 2_500, now: 2_500)
        #expect(queue.rescue(now: 2_999) == nil)
        #expect(queue.rescue(now: 3_000) === other)
        queue.ended(stuck)
        #expect(queue.nextRescue == nil)
    }

    @Test func theRescuerTakesAHundredthOfItsTime() {
        var queue = HashingQueue<Job>()
        for _ in 0..<1_000 { queue.add(Job(), now: 0) }
        var busy: Int64 = 0
        var now: Int64 = 2_000
        let end: Int64 = 1_000_000
        while let due = queue.nextRescue, due < end {
            now = max(now, due)
            #expect(queue.rescue(now: now) != nil)
            queue.rescued(began: now, now: now + 50)
            busy += 50
            now += 50
        }
        #expect(busy * 100 <= end)
        #expect(busy * 110 >= end)
    }
}
