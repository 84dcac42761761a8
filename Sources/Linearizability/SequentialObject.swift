/// An object as one client alone would see it. A concurrent history is linearizable when its operations can be put in
/// one order that this object allows and that keeps what was over before what had not begun (Herlihy and Wing, 1990).
public protocol SequentialObject {
    /// All that the object remembers. Two equal states behave alike for ever.
    associatedtype State: Hashable
    /// What a client asks.
    associatedtype Call
    /// What a client is told.
    associatedtype Outcome

    /// The state before the first call.
    var initialState: State { get }

    /// The state after `call`, or nil when the object in `state` would not have answered `outcome`. Without an outcome
    /// (the client was never told) there always is a next state, which may be the same.
    func apply(_ call: Call, outcome: Outcome?, to state: State) -> State?

    /// Whether `call`, without an outcome, may have to come before `next` in an order. False promises that an order with
    /// `call` directly before `next` can do as well with `call` directly behind it, or without it. True is always safe;
    /// false where it holds saves the search a lot.
    func isNeeded(_ call: Call, before next: Call) -> Bool

    /// Whether a call that was answered so never changes the state. Such a call is placed as soon as it can be. False is
    /// always safe.
    func isObservation(_ call: Call, outcome: Outcome) -> Bool
}

extension SequentialObject {
    public func isNeeded(_ call: Call, before next: Call) -> Bool { true }

    public func isObservation(_ call: Call, outcome: Outcome) -> Bool { false }
}

/// A call with the time at which it was made and the time at which its outcome was known.
public struct TimedCall<Object: SequentialObject> {
    /// What was asked.
    public var call: Object.Call
    /// What was answered; nil when that is unknown, so that the call took effect at some time after it was made or never.
    public var outcome: Object.Outcome?
    /// When the call was made, in any unit.
    public var invoked: Int64
    /// When the answer came, not before `invoked`. Without an outcome it says nothing.
    public var returned: Int64
    /// A guess at the place in the order: calls with lower ranks are tried first. It is never trusted.
    public var rank: Int64

    public init(
        _ call: Object.Call, outcome: Object.Outcome?, invoked: Int64, returned: Int64, rank: Int64 = .max
    ) {
        self.call = call
        self.outcome = outcome
        self.invoked = invoked
        self.returned = returned
        self.rank = rank
    }
}

extension TimedCall: Sendable where Object.Call: Sendable, Object.Outcome: Sendable {}
