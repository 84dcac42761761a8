/// Flags of the cluster: its members at first, its elections, and how it is found.
extension MemberConfiguration {
    static let clusteringFlags: [FlagDefinition] = [
        .unsigned(
            "heartbeat-interval", 100, upTo: UInt64(Int32.max), "Milliseconds between heartbeats of the leader."),
        .unsigned(
            "election-timeout", 1000, upTo: UInt64(Int32.max),
            "Milliseconds without a leader after which an election starts."),
        .toggle(
            "initial-election-tick-advance", true,
            "Whether a starting member shortens its first wait for a leader once its peers are connected."),
        .toggle("pre-vote", true, "Whether an election is preceded by a trial vote."),
        .urls("initial-advertise-peer-urls", peerURL, "This member's peer URLs, told to the other members."),
        .text("initial-cluster", "Members to bootstrap with, as name=URL,…; this member alone when empty."),
        .choice("initial-cluster-state", ["new", "existing"], "new", "Whether the cluster is 'new' or 'existing'."),
        .text("initial-cluster-token", "etcd-cluster", "Token that keeps clusters apart."),
        .urls("advertise-client-urls", clientURL, "This member's client URLs, told to clients."),
        .toggle(
            "strict-reconfig-check", true,
            "Whether changes of the members that would put the quorum at risk are refused."),
        .signed("max-learners", 1, "Most learners in the cluster; the same on all members.")
            .formerly("experimental-max-learners"),
        .duration("downgrade-check-time", "5s", "Time between two looks at a downgrade.")
            .formerly("experimental-downgrade-check-time")
            .withoutEffect("a downgrade is followed as it happens, without a timer"),
        .duration("experimental-wait-cluster-ready-timeout", "5s", "How long a start waits for the cluster.")
            .withoutEffect("a member serves its clients as soon as it has joined its cluster"),
        .toggle(
            "experimental-set-member-localaddr", false,
            "Connect to other members from the first address in initial-advertise-peer-urls that is not loopback."
        )
        .switching("SetMemberLocalAddr"),
    ]
}
