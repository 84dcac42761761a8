/// Ids for requests and leases that no other member and no earlier run of this one gives: the member's low bits, the
/// time at which the run began, and a count (etcd's `idutil`).
///
/// A member has two such series, which never meet: one for what it proposes itself and one for its clients' requests.
public struct RequestIDs: Sendable {
    /// Who the ids are for.
    public enum Series: UInt64, Sendable {
        case clients = 0
        case member = 1
    }

    private var last: UInt64

    /// Ids of a run that began at `milliseconds` since 1970.
    public init(memberID: UInt64, startedAt milliseconds: UInt64, series: Series) {
        let time = milliseconds & 0xff_ffff_ffff
        last = (memberID & 0xffff) << 48 | time << 8 | series.rawValue
    }

    /// The distance between two ids of a series.
    public static let stride: UInt64 = 2

    /// The last id that was given; the next is ``stride`` above.
    public var current: UInt64 { last }

    /// The next id; never zero.
    public mutating func next() -> UInt64 {
        last &+= Self.stride
        return last
    }
}
