import Membership

/// URLs that a member advertises when nobody said which.
extension MemberConfiguration {
    /// Whether the member listens at all addresses and advertises `localhost`, the default, by which nobody else finds it.
    public var wantsDefaultHost: Bool { wantsDefaultPeerHost || wantsDefaultClientHost }

    private var wantsDefaultPeerHost: Bool {
        initialAdvertisePeerURLs == [Self.peerURL] && listenPeerURLs.first?.host == Self.everywhere
    }

    private var wantsDefaultClientHost: Bool {
        advertiseClientURLs == [Self.clientURL] && listenClientURLs.first?.host == Self.everywhere
    }

    private static let everywhere = "0.0.0.0"

    /// Advertises `defaultHost` and the ports listened at where `localhost` is of no use. An initial cluster that is this
    /// member alone follows.
    public mutating func advertise(defaultHost: String) {
        if wantsDefaultPeerHost, let port = listenPeerURLs.first?.port {
            let url = "http://\(defaultHost):\(port)"
            initialAdvertisePeerURLs = [url]
            if initialClusterText == "\(name)=\(Self.peerURL)" { initialClusterText = "\(name)=\(url)" }
        }
        if wantsDefaultClientHost, let port = listenClientURLs.first?.port {
            advertiseClientURLs = ["http://\(defaultHost):\(port)"]
        }
    }
}
