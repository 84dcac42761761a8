import Membership

/// The version that this member tells.
public enum EtcdVersion {
    /// The etcd version whose API this server has.
    public static let server = ClusterVersion.server.description
}
