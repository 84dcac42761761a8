/// Who asks: the user that a token or a certificate names, and the auth revision against which that was so.
///
/// A proposal carries both in its header, and every member checks them again when it applies it.
public struct Caller: Hashable, Sendable {
    public var user: String
    /// 0 when nobody has logged in.
    public var revision: UInt64

    /// The caller `user`, known at `revision`.
    public init(user: String, revision: UInt64) {
        self.user = user
        self.revision = revision
    }

    /// One who has not logged in.
    public static let nobody = Caller(user: "", revision: 0)
}
