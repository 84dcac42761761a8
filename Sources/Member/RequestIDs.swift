/// Ids for requests and leases that no other member and no earlier run of this one gives: the member's low bits, the
/// time at which the run began, and a count (etcd's `idutil`).
public struct RequestIDs {
    private var last: UInt64

    /// Ids of a run that began at `milliseconds` since 1970.
    public init(memberID: UInt64, startedAt milliseconds: UInt64) {
        let time = milliseconds & 0xff_ffff_ffff
        last = (memberID & 0xffff) << 48 | time << 8
    }

    /// The next id; never zero.
    public mutating func next() -> UInt64 {
        last &+= 1
        return last
    }

    /// The next id for a lease, which is positive as a signed number.
    public mutating func nextLease() -> Int64 {
        Int64(next() & UInt64(Int64.max))
    }
}
