/// A register that is read, written, and changed by compare-and-set: the smallest object worth checking.
public struct Register: SequentialObject {
    public enum Call: Hashable, Sendable {
        case read
        case write(Int)
        case compareAndSet(expected: Int, new: Int)
    }

    public enum Outcome: Hashable, Sendable {
        case value(Int)
        case written
        case swapped(Bool)
    }

    public let initialState: Int

    public init(initially value: Int = 0) {
        initialState = value
    }

    public func apply(_ call: Call, outcome: Outcome?, to state: Int) -> Int? {
        let (answer, next) = run(call, on: state)
        return outcome == nil || outcome == answer ? next : nil
    }

    public func isNeeded(_ call: Call, before next: Call) -> Bool {
        // A write makes forgotten what was before it.
        if case .write = next { return false }
        return call != .read
    }

    public func isObservation(_ call: Call, outcome: Outcome) -> Bool {
        call == .read || outcome == .swapped(false)
    }

    /// What one client alone would be answered, and the value afterwards.
    public func run(_ call: Call, on state: Int) -> (Outcome, Int) {
        switch call {
        case .read: (.value(state), state)
        case .write(let value): (.written, value)
        case .compareAndSet(let expected, let new):
            state == expected ? (.swapped(true), new) : (.swapped(false), state)
        }
    }
}
