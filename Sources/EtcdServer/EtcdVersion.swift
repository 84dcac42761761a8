/// The versions that this member speaks of.
public enum EtcdVersion {
    /// The etcd version whose API this server has.
    public static let server = "3.7.0"
    /// The version that a new cluster of these members records. Members of 3.4 and later open a data directory that says
    /// so; see docs/decisions/0006-cluster-version.md.
    public static let cluster = "3.4.0"
}
