"""Members that are added, promoted, updated and removed while the cluster runs, and the leadership that moves."""

import http.client
import json
import signal

import pytest
from harness.api import Client, Failure
from harness.cluster import GO, OURS, Cluster, ClusterMember
from harness.etcdctl import Session
from harness.load import Load
from harness.ports import free_port
from harness.waiting import wait_until

THREE = (OURS, OURS, OURS)
# Peers count as connected after this many seconds (etcd's HealthInterval).
CONNECTED = 5.0
IN_SYNC = "etcdserver: can only promote a learner member which is in sync with leader"
NO_LEARNER_CALL = "etcdserver: rpc not supported for learner"


def wait_connected(cluster: Cluster) -> None:
    """Waits until the strict check of every member finds all connected."""
    for member in cluster.running():
        wait_until(lambda: refusal_of_taken_url(cluster, member) == "etcdserver: Peer URLs already exists",
                   f"{member} to be connected", CONNECTED + 25, interval=0.25)


def refusal_of_taken_url(cluster: Cluster, member: ClusterMember) -> str:
    """An addition that is always refused: by the strict check, or by the check that follows it."""
    return member.call("Cluster.MemberAdd", peerURLs=[cluster.members[0].peer_url]).details


def wait_answers(member: ClusterMember) -> None:
    """A learner answers serializable reads and its status only, so it is not healthy as others are."""
    wait_until(lambda: not isinstance(member.call("Maintenance.Status", timeout=2.0), Failure), f"{member} to answer")
    wait_until(lambda: member.ask("Maintenance.Status").isLearner, f"{member} to know that it learns")


def promote(learner: ClusterMember, by: ClusterMember) -> None:
    identity = learner.id

    def promoted() -> bool:
        answer = by.call("Cluster.MemberPromote", ID=identity)
        assert not isinstance(answer, Failure) or answer.details == IN_SYNC, answer
        return not isinstance(answer, Failure)

    wait_until(promoted, f"{learner} to be promoted", interval=0.1)


def wait_ended(member: ClusterMember) -> int:
    """Waits until a member ends by itself, and returns its exit code."""
    code = wait_until(lambda: (member.process.poll(),) if member.process.poll() is not None else None, f"{member} to end", 30.0)[0]
    member.process = None
    return code


def logged(member: ClusterMember, message: str, **fields: str) -> bool:
    for line in member.log().splitlines():
        if message not in line:
            continue
        entry = json.loads(line)
        if entry["msg"] == message and all(entry.get(key) == value for key, value in fields.items()):
            return True
    return False


class Transcript:
    """What etcdctl says, with ids, ports and the order of lists taken out."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self.names: dict[str, str] = {}
        self.blocks: list[str] = []
        for member in cluster.members:
            self.know(member)

    def know(self, member: ClusterMember) -> None:
        self.names[f"127.0.0.1:{member.port}"] = f"<client of {member.name}>"
        self.names[f"127.0.0.1:{member.peer_port}"] = f"<peer of {member.name}>"

    def know_id(self, identity: int, name: str) -> None:
        self.names[f"{identity:x}"] = f"<id of {name}>"

    def run(self, via: ClusterMember | list[ClusterMember], *arguments: str) -> None:
        first, *rest = via if isinstance(via, list) else [via]
        # A session's commands go to its member, and further endpoints are added to that.
        more = ["--endpoints", ",".join(member.endpoint for member in rest)] if rest else []
        done = Session(first).quiet(*more, "--command-timeout=20s", *arguments)
        errors = [line for line in done.errors.splitlines() if not line.startswith("{")]
        text = "\n".join([f"$ {' '.join(arguments)} [{done.code}]", *done.output.splitlines(), *errors])
        for found, name in self.names.items():
            text = text.replace(found, name)
        # In sentences ids are padded to sixteen places.
        text = text.replace("  ", " ")
        # The members stand in the order of their ids, and that of a new one follows from the time.
        command, *lines = text.splitlines()
        self.blocks.append("\n".join([command, *sorted(lines)]))


def membership_session(cluster: Cluster) -> list[str]:
    """What an administrator may do and may not do."""
    talk = Transcript(cluster)
    wait_connected(cluster)
    leader = cluster.leader()
    followers = cluster.followers()
    everyone = [leader, *followers]
    for role, member in zip(("leader", "one", "other"), everyone):
        talk.know_id(member.id, role)
        talk.names[member.name] = role
    talk.run(leader, "member", "list")
    for member in everyone[:2]:
        talk.run(member, "member", "add", "new", f"--peer-urls={leader.peer_url}")
        talk.run(member, "member", "remove", "1234")
        talk.run(member, "member", "update", "1234", "--peer-urls=http://127.0.0.1:1")
        talk.run(member, "member", "promote", "1234")
        talk.run(member, "member", "promote", f"{followers[1].id:x}")
        talk.run(member, "member", "update", f"{followers[1].id:x}", f"--peer-urls={leader.peer_url}")
        talk.run(member, "member", "update", f"{followers[1].id:x}", f"--peer-urls={followers[1].peer_url}")
    talk.run(leader, "move-leader", "1234")
    talk.run(everyone, "move-leader", f"{leader.id:x}")
    talk.run(followers[0], "move-leader", f"{followers[0].id:x}")

    learner = cluster.add(leader.kind, learner=True, start=False)
    talk.know(learner)
    identity = next(found.ID for found in cluster.listed() if found.isLearner)
    talk.know_id(identity, "learner")
    talk.names[learner.name] = "learner"
    talk.run(leader, "member", "list", "-w", "simple")
    talk.run(followers[0], "member", "add", "more", "--learner", "--peer-urls=http://127.0.0.1:1")
    for member in everyone:
        talk.run(member, "member", "promote", f"{identity:x}")
    talk.run(everyone, "move-leader", f"{identity:x}")
    talk.run(leader, "put", "a", "1")

    learner.launch()
    wait_answers(learner)
    wait_until(lambda: learner.get("a", serializable=True) == "1", "the learner to catch up")
    talk.run(learner, "get", "a", "--consistency=s")
    for command in (["get", "a"], ["put", "a", "2"], ["member", "list"], ["lease", "list"], ["del", "a"], ["compaction", "1"]):
        talk.run(learner, *command)
    talk.run(leader, "member", "list")
    promote(learner, followers[0])
    talk.run(followers[1], "member", "promote", f"{identity:x}")
    talk.run(leader, "member", "list")
    learner.wait_healthy()

    talk.run(leader, "member", "remove", f"{identity:x}")
    talk.blocks.append(f"the removed member ends with {wait_ended(learner)}")
    assert logged(learner, "server error", error="the member has been permanently removed from the cluster")
    assert logged(learner, "data-dir used by this member must be removed")
    learner.launch()
    talk.blocks.append(f"and once more with {wait_ended(learner)}")
    assert logged(learner, "server error", error="the member has been permanently removed from the cluster")
    talk.run(leader, "member", "remove", f"{identity:x}")
    cluster.members.remove(learner)

    followers[1].kill()
    wait_until(lambda: refusal_of_taken_url(cluster, leader) == "etcdserver: unhealthy cluster", "the loss to be seen")
    talk.run(leader, "member", "remove", f"{followers[0].id:x}")
    talk.run(leader, "member", "remove", f"{followers[1].id:x}")
    talk.run(leader, "member", "list")
    talk.run(leader, "put", "a", "3")
    return talk.blocks


def test_what_etcdctl_says_is_genuine_etcds(directory):
    """One cluster runs after the other, on the same ports."""
    genuine = Cluster(directory / "genuine", (GO, GO, GO))
    ours = Cluster(directory / "ours", THREE)
    for one, other in zip(ours.members, genuine.members):
        other.port, other.peer_port = one.port, one.peer_port
        other.initial_cluster = one.initial_cluster
        other.client = Client(other.endpoint)
    transcripts = []
    for cluster in (genuine, ours):
        try:
            cluster.start()
            transcripts.append(membership_session(cluster))
        finally:
            cluster.close()
    for expected, found in zip(*transcripts):
        assert found == expected
    assert len(transcripts[0]) == len(transcripts[1])


def test_a_learner_answers_what_it_may(cluster_with):
    cluster = cluster_with(*THREE)
    cluster.leader().put("a", "1")
    learner = cluster.add(OURS, learner=True, start=False)
    learner.launch()
    wait_answers(learner)
    wait_until(lambda: learner.get("a", serializable=True) == "1", "the learner to catch up")
    refused = [
        ("KV.Range", {"key": b"a"}), ("KV.Put", {"key": b"a"}), ("KV.DeleteRange", {"key": b"a"}), ("KV.Txn", {}),
        ("KV.Compact", {"revision": 1}), ("Lease.LeaseGrant", {"TTL": 10}), ("Lease.LeaseLeases", {}),
        ("Cluster.MemberList", {}), ("Cluster.MemberAdd", {"peerURLs": ["http://127.0.0.1:1"]}),
        ("Maintenance.Alarm", {}), ("Maintenance.HashKV", {}), ("Maintenance.MoveLeader", {"targetID": 1}),
    ]
    for name, fields in refused:
        assert learner.call(name, **fields) == Failure("FAILED_PRECONDITION", NO_LEARNER_CALL), name
    status = learner.ask("Maintenance.Status")
    assert status.isLearner and status.leader == cluster.leader().id
    # Its database may be saved.
    saved = Session(learner).quiet("snapshot", "save", "copy.db")
    assert saved.ok, saved
    promote(learner, cluster.followers()[0])
    learner.wait_healthy()
    learner.put("b", "1")
    assert not learner.ask("Maintenance.Status").isLearner
    cluster.assert_equal_hashes()


def test_the_leadership_moves_and_is_handed_over_before_a_stop(cluster_with):
    cluster = cluster_with(*THREE)
    for _ in range(3):
        target = cluster.followers()[0]
        term = cluster.leader().ask("Maintenance.Status").raftTerm
        cluster.move_leader(target)
        assert target.ask("Maintenance.Status").raftTerm > term
    with Load(cluster) as load:
        for _ in range(2):
            leader = cluster.leader()
            load.wait_progress()
            assert leader.stop() == -signal.SIGTERM
            assert logged(leader, "leadership transfer finished")
            assert cluster.leader() is not leader
            load.wait_progress()
            leader.start()
    load.check_everywhere()


def test_a_removed_leader_leaves_another_one_behind(cluster_with):
    cluster = cluster_with(*THREE)
    wait_connected(cluster)
    leader = cluster.leader()
    rest = cluster.followers()
    with Load(cluster) as load:
        load.wait_progress()
        cluster.remove(leader)
        assert logged(leader, "data-dir used by this member must be removed")
        load.wait_progress()
    assert cluster.leader() in rest
    # Nobody waited for an election timeout.
    assert any("received MsgTimeoutNow" in member.log() for member in rest)
    load.check_everywhere()


@pytest.mark.parametrize("asked", (OURS, GO))
def test_a_member_that_was_removed_while_it_was_down_ends_when_it_comes_back(cluster_with, asked):
    """It has not applied its removal; the others tell it."""
    cluster = cluster_with(asked, asked, OURS)
    wait_connected(cluster)
    member = cluster.members[2]
    identity = member.id
    if cluster.leader() is member:
        cluster.move_leader(cluster.members[0])
    member.stop()
    cluster.leader().ask("Cluster.MemberRemove", ID=identity)
    for _ in range(2):
        member.launch()
        assert wait_ended(member) == 0
        assert logged(member, "server error", error="the member has been permanently removed from the cluster")
    assert identity not in {found.ID for found in cluster.listed()}


def test_a_member_moves_to_another_peer_url(cluster_with):
    cluster = cluster_with(*THREE)
    wait_connected(cluster)
    member = cluster.followers()[0]
    identity = member.id
    member.stop()
    before = member.peer_url
    member.peer_port = free_port()
    cluster.leader().ask("Cluster.MemberUpdate", ID=identity, peerURLs=[member.peer_url])
    listed = {found.ID: list(found.peerURLs) for found in cluster.listed()}
    assert listed[identity] == [member.peer_url] != [before]
    member.start()
    assert member.id == identity
    cluster.leader().put("a", "1")
    cluster.assert_equal_hashes()
    # It is part of the quorum again.
    next(other for other in cluster.members if other not in (member, cluster.leader())).kill()
    cluster.leader()
    member.put("a", "2")


def test_urls_that_are_none_are_refused(cluster_with):
    cluster = cluster_with(OURS)
    member = cluster.members[0]
    invalid = Failure("INVALID_ARGUMENT", "etcdserver: given member URLs are invalid")
    for urls in ([], ["bogus"], ["ftp://a:1"], ["http://a"], ["http://a:1/"], ["http://a:1/path"], ["http://a:1", "x"]):
        assert member.call("Cluster.MemberAdd", peerURLs=urls) == invalid, urls
        assert member.call("Cluster.MemberUpdate", ID=member.id, peerURLs=urls) == invalid, urls


def test_writes_wait_for_the_second_member(cluster_with):
    """From one member to two: the moment the second is added, both are needed."""
    cluster = cluster_with(OURS)
    first = cluster.members[0]
    first.put("a", "1")
    second = cluster.add(OURS, start=False)
    answer = first.call("KV.Put", key=b"a", value=b"2", timeout=1.5)
    assert isinstance(answer, Failure)
    second.start()
    wait_until(lambda: not isinstance(first.call("KV.Put", key=b"a", value=b"3"), Failure), "a write by both")
    assert second.get("a") == "3"
    cluster.assert_equal_hashes()


@pytest.mark.parametrize("kinds", [(GO, OURS, OURS), (OURS, GO, GO)], ids=["go leads", "ours leads"])
def test_changes_among_members_of_both_kinds(cluster_with, kinds):
    """What a member of one kind proposes, those of the other apply alike; each kind proposes, leads, and follows."""
    cluster = cluster_with(*kinds)
    cluster.move_leader(cluster.members[0])
    wait_connected(cluster)
    leader = cluster.leader()

    def same_everywhere() -> bool:
        lists = []
        for member in cluster.running():
            answer = member.call("Cluster.MemberList")
            lists.append(None if isinstance(answer, Failure) else [str(found) for found in answer.members])
        return lists[0] is not None and all(found == lists[0] for found in lists)

    for number, proposer in enumerate((leader, cluster.followers()[0])):
        url = f"http://127.0.0.1:{number + 1}"
        added = proposer.ask("Cluster.MemberAdd", peerURLs=[url], isLearner=True).member
        assert list(added.peerURLs) == [url] and added.isLearner
        # A leader drops a change that comes while it has not applied the last one itself.
        wait_until(same_everywhere, "all to list the same")
        moved = f"http://127.0.0.1:{number + 11}"
        proposer.ask("Cluster.MemberUpdate", ID=added.ID, peerURLs=[moved])
        wait_until(same_everywhere, "all to list the same")
        assert proposer.call("Cluster.MemberPromote", ID=added.ID).details in (
            IN_SYNC, "etcdserver: can only promote a learner member",
        )
        proposer.ask("Cluster.MemberRemove", ID=added.ID)
        wait_until(same_everywhere, "all to list the same")
        again = proposer.call("Cluster.MemberRemove", ID=added.ID)
        assert again.details == "etcdserver: member not found"
    before = [str(found) for found in cluster.listed()]
    for member in cluster.members:
        member.stop()
        member.start()
    assert [str(found) for found in cluster.listed()] == before
    wait_until(same_everywhere, "all to list the same after a restart")
    cluster.assert_equal_hashes()


def test_promotion_over_the_peer_port(cluster_with):
    cluster = cluster_with(OURS)
    member = cluster.members[0]

    def request(method: str, path: str) -> tuple[int, str | None, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", member.peer_port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.getheader("X-Etcd-Cluster-ID"), response.read()
        finally:
            connection.close()

    cluster_id = f"{member.ask('Maintenance.Status').header.cluster_id:x}"
    assert request("GET", "/members/promote/1")[0] == 405
    assert request("POST", "/members/promote/zz") == (404, cluster_id, b"member zz not found in cluster\n")
    assert request("POST", "/members/promote/1") == (404, cluster_id, b"membership: ID not found\n")
    status, _, body = request("POST", f"/members/promote/{member.id}")
    assert (status, body) == (412, b"membership: can only promote a learner member\n")
    learner = cluster.add(OURS, learner=True, start=False)
    identity = next(found.ID for found in cluster.listed() if found.isLearner)
    status, _, body = request("POST", f"/members/promote/{identity}")
    assert (status, body) == (412, (IN_SYNC + "\n").encode())
    learner.launch()
    wait_answers(learner)
    wait_until(lambda: request("POST", f"/members/promote/{identity}")[0] == 200, "the promotion", interval=0.1)
    assert not any(found.isLearner for found in cluster.listed())
