import Membership
import Testing

@Suite struct ClusterVersionTests {
    @Test(
        arguments: [
            ("3.4.23", "3.4"), ("3.6.0-rc.1+git", "3.6"), ("10.20.0", "10.20"), ("3.4", nil), ("3.4.", nil),
            ("v3.4.0", nil), ("not_decided", nil), ("", nil), ("3.-4.0", nil), ("3.4.0.0", nil),
            ("99999999999999999999.0.0", nil),
        ] as [(String, String?)])
    func parsing(text: String, expected: String?) {
        #expect(ClusterVersion(text)?.series == expected)
    }

    @Test func peopleMayLeaveThePatchOut() {
        #expect(ClusterVersion("3.4", isLenient: true) == ClusterVersion(3, 4))
        #expect(ClusterVersion("3", isLenient: true) == nil)
    }

    @Test func theWayBackEndsAt34() {
        #expect(ClusterVersion(3, 7).canGoBack(to: ClusterVersion(3, 6)))
        #expect(ClusterVersion(3, 7).canGoBack(to: ClusterVersion(3, 4)))
        #expect(!ClusterVersion(3, 7).canGoBack(to: ClusterVersion(3, 3)))
        #expect(!ClusterVersion(3, 7).canGoBack(to: ClusterVersion(3, 7)))
        #expect(!ClusterVersion(3, 4).canGoBack(to: ClusterVersion(3, 5)))
    }

    /// A row: the cluster's version, those of the servers (`?` for one that does not answer), the target of a downgrade,
    /// and what the leader proposes.
    @Test(
        arguments: [
            // A cluster gets the version that all its servers have, and 3.0 while one is unknown.
            ("-", "3.7", "-", "3.7"), ("-", "3.7 3.4 3.7", "-", "3.4"), ("-", "3.7 ?", "-", "3.0"),
            // It rises when all have risen, and never falls by itself.
            ("3.0", "3.7 3.7", "-", "3.7"), ("3.4", "3.7 3.4", "-", "-"), ("3.4", "3.7 ?", "-", "-"),
            ("3.4", "3.7 3.7", "-", "3.7"), ("3.7", "3.7 3.4", "-", "-"), ("3.7", "4.0", "-", "-"),
            // It goes back to the target and stays there.
            ("3.7", "3.7 3.7", "3.4", "3.4"), ("3.4", "3.7 3.7", "3.4", "-"), ("3.7", "3.7 ?", "3.4", "-"),
            ("3.4", "3.7", "3.6", "-"),
        ])
    func theLeadersDecision(cluster: String, servers: String, target: String, expected: String) {
        func version(_ text: String) -> ClusterVersion? { ClusterVersion(text, isLenient: true) }
        let next = VersionDecision.next(
            cluster: version(cluster), servers: servers.split(separator: " ").map { version(String($0)) },
            target: version(target))
        #expect(next?.series ?? "-" == expected)
    }

    @Test func theStateOfADowngradeIsEtcdsJSON() throws {
        let state = DowngradeState(target: ClusterVersion(3, 6))
        #expect(String(decoding: state.encoded, as: UTF8.self) == #"{"target-version":"3.6.0","enabled":true}"#)
        let none = DowngradeState(target: nil)
        #expect(String(decoding: none.encoded, as: UTF8.self) == #"{"target-version":"","enabled":false}"#)
        for state in [state, none] { #expect(DowngradeState(state.encoded) == state) }
        #expect(DowngradeState(Array(#"{"target-version":"x","enabled":true}"#.utf8)) == nil)
        #expect(DowngradeState(inAttributes: Array(#"{"name":"a"}"#.utf8)) == nil)
        let carried = #"{"name":"a","downgrade":{"target-version":"","enabled":false}}"#
        #expect(DowngradeState(inAttributes: Array(carried.utf8)) == none)
    }
}

@Suite struct RunningClusterTests {
    private let running = RunningCluster(
        id: 9, members: [Member(id: 2, peerURLs: ["http://b:1"]), Member(id: 1, name: "a", peerURLs: ["http://a:1"])])

    private func own(_ initial: String, name: String = "b", addresses: [String: String] = [:]) throws -> UInt64 {
        try running.member(
            name, of: try InitialCluster(parsing: initial), by: URLComparison(addresses: addresses)
        ).id
    }

    @Test func membersAreFoundByTheirURLs() throws {
        #expect(try own("b=http://b:1,a=http://a:1") == 2)
        #expect(try own("x=http://b:1,b=http://a:1") == 1, "names do not count")
        #expect(try own("b=http://10.0.0.2:1,a=http://a:1", addresses: ["b": "10.0.0.2"]) == 2)
    }

    @Test(
        arguments: [
            (
                "b=http://b:1",
                "member count is unequal: the cluster has 2, --initial-cluster 1 (b=http://b:1)"
            ),
            (
                "b=http://b:2,a=http://a:1",
                "PeerURLs: no match found for existing member (2, [http://b:1]) in --initial-cluster "
                    + "a=http://a:1,b=http://b:2, last resolver error (lookup b: no such host)"
            ),
        ])
    func aMismatchNamesTheDifference(initial: String, expected: String) {
        do {
            _ = try own(initial)
            Issue.record("accepted \(initial)")
        } catch {
            #expect(
                "\(error)" == "error validating peerURLs {ClusterID:9 Members:[1 a=[http://a:1], 2 =[http://b:1]]}: "
                    + expected)
        }
    }

    @Test func onlyNamesThatDifferAreResolved() throws {
        let initial = try InitialCluster(parsing: "b=http://10.0.0.2:1,a=http://a:1")
        #expect(running.namesToResolve(for: initial) == ["b"])
        #expect(URLComparison.namesToResolve(["http://localhost:1"], ["http://127.0.0.1:1"]) == [])
        #expect(URLComparison.namesToResolve(["http://a:1", "http://b:1"], ["http://a:1"]) == [])
    }

    @Test func theOthersVersionsDecideWhoMayJoin() {
        let ours = ClusterVersion.server
        let next = ClusterVersion(ours.major, ours.minor + 1)
        #expect(RunningCluster.isCompatible([ClusterVersion(3, 4), ours], isDowngrading: false))
        #expect(!RunningCluster.isCompatible([], isDowngrading: false), "nobody tells")
        #expect(!RunningCluster.isCompatible([ours, next], isDowngrading: false))
        #expect(RunningCluster.isCompatible([ours, next], isDowngrading: true))
        #expect(!RunningCluster.isCompatible([ClusterVersion(2, 3)], isDowngrading: false))
    }
}
