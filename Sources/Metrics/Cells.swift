import Synchronization

/// A row of numbers that any thread may add to, without a lock.
final class Cells: @unchecked Sendable {
    let count: Int
    private let base: UnsafeMutablePointer<Atomic<UInt64>>

    init(_ count: Int) {
        self.count = count
        base = .allocate(capacity: count)
        for index in 0..<count { (base + index).initialize(to: Atomic(0)) }
    }

    deinit {
        base.deinitialize(count: count)
        base.deallocate()
    }

    func add(_ amount: UInt64, at index: Int) {
        precondition(index >= 0 && index < count, "a number is added to a cell that there is not")
        base[index].wrappingAdd(amount, ordering: .relaxed)
    }

    subscript(index: Int) -> UInt64 {
        precondition(index >= 0 && index < count, "a cell is read that there is not")
        return base[index].load(ordering: .relaxed)
    }
}
