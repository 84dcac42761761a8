"""What clients ask of a cluster works through every member, whoever leads: three of ours, and ours mixed with genuine etcd."""

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.api import Failure, in_parallel
from harness.cluster import GO, OURS, Cluster, ClusterMember
from harness.etcdctl import Session
from harness.waiting import wait_until

# Kinds of the members; the first one leads.
COMPOSITIONS = {
    "three ours": (OURS, OURS, OURS),
    "Go leads two ours": (GO, OURS, OURS),
    "ours leads two Go": (OURS, GO, GO),
}


@pytest.fixture(scope="module", params=COMPOSITIONS)
def running(request, tmp_path_factory):
    """A cluster for all tests of this file: they use keys of their own."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), COMPOSITIONS[request.param])
    try:
        yield cluster.start()
    finally:
        cluster.close()


@pytest.fixture
def cluster(running: Cluster):
    """The cluster, with its first member as the leader; all members are equal after each test."""
    running.move_leader(running.members[0])
    yield running
    running.assert_equal_hashes()


def pairs(cluster: Cluster) -> list[tuple[ClusterMember, ClusterMember]]:
    return [(one, other) for one in cluster.members for other in cluster.members]


def test_a_write_through_any_member_is_read_through_any(cluster):
    for number, (writer, reader) in enumerate(pairs(cluster)):
        revision = writer.put("any", str(number)).header.revision
        # A linearizable read waits for what was acknowledged before it.
        answer = reader.ask("KV.Range", key=b"any")
        assert answer.kvs[0].value == str(number).encode(), f"written through {writer}, read through {reader}"
        assert answer.kvs[0].mod_revision == revision
    for writer, reader in pairs(cluster):
        writer.put("gone", "soon")
        assert writer.ask("KV.DeleteRange", key=b"gone", prev_kv=True).prev_kvs[0].value == b"soon"
        assert reader.get("gone") is None


def test_concurrent_writers_and_readers_on_all_members(cluster):
    """Every reader sees at once what its writer was told, with all members busy."""

    def run(number: int) -> None:
        writer, reader = pairs(cluster)[number % 9]
        for step in range(20):
            writer.put(f"busy/{number}", str(step))
            assert reader.get(f"busy/{number}") == str(step), f"written through {writer}, read through {reader}"

    in_parallel(9, run)


def test_headers_name_the_member_that_answers(cluster):
    answers = [member.ask("KV.Range", key=b"header") for member in cluster.members]
    assert len({answer.header.cluster_id for answer in answers}) == 1
    assert [answer.header.member_id for answer in answers] == [member.id for member in cluster.members]
    assert len({member.id for member in cluster.members}) == 3
    assert len({answer.header.raft_term for answer in answers}) == 1
    assert len({answer.header.revision for answer in answers}) == 1


def test_transactions_through_every_member(cluster):
    cluster.members[0].put("counter", "0")

    def increment(number: int) -> None:
        member = cluster.members[number % 3]
        for _ in range(10):
            while True:
                now = int(member.get("counter"))
                answer = member.ask(
                    "KV.Txn",
                    compare=[{"key": b"counter", "target": "VALUE", "result": "EQUAL", "value": b"%d" % now}],
                    success=[{"request_put": {"key": b"counter", "value": b"%d" % (now + 1)}}],
                    failure=[{"request_range": {"key": b"counter"}}],
                )
                if answer.succeeded:
                    break
                assert int(answer.responses[0].response_range.kvs[0].value) > now

    in_parallel(6, increment)
    assert [member.get("counter") for member in cluster.members] == ["60"] * 3


def test_watches_on_every_member_see_every_write_in_order(cluster):
    streams = [member.client.watch() for member in cluster.members]
    try:
        revision = cluster.revision()
        for stream in streams:
            created = stream.created(key=b"watched/", range_end=b"watched0", start_revision=revision + 1, prev_kv=True)
            assert created.created

        def write(number: int) -> None:
            for step in range(15):
                cluster.members[number].put(f"watched/{step % 5}", f"{number}/{step}")

        in_parallel(3, write)
        seen = [
            [(event.kv.key, event.kv.value, event.kv.mod_revision, event.prev_kv.value) for event in stream.events(45)]
            for stream in streams
        ]
        assert seen[0] == seen[1] == seen[2]
        revisions = [event[2] for event in seen[0]]
        assert revisions == sorted(set(revisions))
        # Of what is past, too.
        late = cluster.members[2].client.watch()
        streams.append(late)
        assert late.created(key=b"watched/", range_end=b"watched0", start_revision=revision + 1).created
        assert [event.kv.mod_revision for event in late.events(45)] == revisions
    finally:
        for stream in streams:
            stream.close()


def test_leases_through_every_member(cluster):
    for number, (member, other) in enumerate(pairs(cluster)):
        lease = 1000 + number
        assert member.ask("Lease.LeaseGrant", ID=lease, TTL=600).TTL == 600
        other.put(f"leased/{number}", "", lease=lease)
        # The leader keeps the time of leases: the others ask it.
        left = member.ask("Lease.LeaseTimeToLive", ID=lease, keys=True)
        assert left.grantedTTL == 600 and 0 < left.TTL <= 600, f"{member}: {left}"
        assert list(left.keys) == [f"leased/{number}".encode()]
        kept = other.ask("Lease.LeaseKeepAlive", ID=lease)
        assert (kept.ID, kept.TTL) == (lease, 600), f"{other}: {kept}"
        assert lease in {found.ID for found in other.ask("Lease.LeaseLeases").leases}
        member.ask("Lease.LeaseRevoke", ID=lease)
        assert other.get(f"leased/{number}") is None
        assert other.ask("Lease.LeaseKeepAlive", ID=lease).TTL == 0
        assert other.ask("Lease.LeaseTimeToLive", ID=lease).TTL == -1


def test_leases_live_while_they_are_kept_alive_and_expire_afterwards(cluster):
    """One lease per member, five seconds each, kept alive through it by a stream."""
    lives = {member.name: 2000 + number for number, member in enumerate(cluster.members)}
    stop = threading.Event()

    def keep(member: ClusterMember) -> int:
        stream, rounds = member.client.stream("Lease.LeaseKeepAlive"), 0
        try:
            while not stop.is_set():
                stream.send(ID=lives[member.name])
                answer = stream.next()
                assert not isinstance(answer, Failure) and answer.TTL == 5, f"{member}: {answer}"
                rounds += 1
                stop.wait(0.3)
        finally:
            stream.close()
        return rounds

    for member in cluster.members:
        member.ask("Lease.LeaseGrant", ID=lives[member.name], TTL=5)
        member.put(f"alive/{member.name}", "", lease=lives[member.name])
    # A lease that nobody keeps alive is the clock of this test: it lives twice as long, then it expires.
    cluster.members[0].ask("Lease.LeaseGrant", ID=2999, TTL=10)
    cluster.members[0].put("clock", "", lease=2999)
    with ThreadPoolExecutor(3) as pool:
        keepers = [pool.submit(keep, member) for member in cluster.members]
        try:
            wait_until(lambda: cluster.members[1].get("clock") is None, "the lease of ten seconds to expire")
            for member in cluster.members:
                for name in lives:
                    assert member.get(f"alive/{name}") is not None, f"{name}'s lease expired, by {member}"
        finally:
            stop.set()
        assert all(keeper.result() > 1 for keeper in keepers)
    for member in cluster.members:
        for name in lives:
            wait_until(lambda: member.get(f"alive/{name}") is None, f"{name}'s lease to expire, by {member}")


def test_compaction_through_every_member(cluster):
    for compactor in cluster.members:
        for step in range(5):
            compactor.put("compacted", str(step))
        revision = cluster.revision() - 2
        compactor.ask("KV.Compact", revision=revision, physical=True)
        for member in cluster.members:
            # Linearizable, so that the member has applied the compaction.
            answer = member.call("KV.Range", key=b"compacted", revision=revision - 1)
            assert isinstance(answer, Failure) and "has been compacted" in answer.details, f"{member}: {answer}"
            assert member.get("compacted", revision=revision) == "2"
            stream = member.client.watch()
            try:
                assert stream.created(key=b"compacted", start_revision=revision - 1).created
                assert stream.next().compact_revision == revision
            finally:
                stream.close()
        answer = compactor.call("KV.Compact", revision=revision)
        assert isinstance(answer, Failure) and "has been compacted" in answer.details
        cluster.assert_equal_hashes()


def test_leadership_goes_around(cluster):
    term = cluster.leader().ask("Maintenance.Status").raftTerm
    for number, target in enumerate(cluster.members[1:] + cluster.members[:1]):
        cluster.move_leader(target)
        for member in cluster.members:
            member.put("around", f"{number}/{member.name}")
            assert {other.get("around") for other in cluster.members} == {f"{number}/{member.name}"}
        now = target.ask("Maintenance.Status")
        assert now.raftTerm > term and now.leader == target.id
        term = now.raftTerm
    # Only the leader moves leadership.
    answer = cluster.members[1].call("Maintenance.MoveLeader", targetID=cluster.members[2].id)
    assert isinstance(answer, Failure) and answer.details == "etcdserver: not leader"


def test_members_list_each_other(cluster):
    lists = [cluster.listed(member) for member in cluster.members]
    assert lists[0] == lists[1] == lists[2]
    assert [found.ID for found in lists[0]] == sorted(member.id for member in cluster.members)
    by_id = {found.ID: found for found in lists[0]}
    for member in cluster.members:
        found = by_id[member.id]
        assert (found.name, list(found.peerURLs), list(found.clientURLs), found.isLearner) == (
            member.name, [member.peer_url], [f"http://{member.endpoint}"], False)


def version(member: ClusterMember) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=10)
    try:
        connection.request("GET", "/version")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_all_name_one_cluster_version(cluster):
    """A member of 3.4 keeps the cluster at 3.4."""
    versions = {member.name: version(member)["etcdcluster"] for member in cluster.members}
    assert len(set(versions.values())) == 1, versions
    if cluster.of_kind(GO):
        assert set(versions.values()) == {"3.4.0"}


def test_etcdctl_against_every_member(cluster):
    for number, member in enumerate(cluster.members):
        session = Session(member)
        try:
            def ctl(*arguments, **options):
                done = session(*arguments, **options)
                assert done.ok, f"{member}: {arguments}: {done.output}{done.errors}"
                return done.output

            key = f"ctl/{number}"
            assert ctl("put", key, "one") == "OK\n"
            assert ctl("get", key) == f"{key}\none\n"
            assert ctl("get", key, "--consistency=s") == f"{key}\none\n"
            watch = session.start("watch", key, "--rev", cluster.revision())
            assert ctl("txn", stdin=f'value("{key}") = "one"\n\nput {key} two\n\n\n').startswith("SUCCESS")
            watch.wait_lines(6)
            watch.stop()
            assert ctl("del", key) == "1\n"
            lease = session.grant(100)
            assert ctl("lease", "keep-alive", lease, "--once") == f"lease {lease:0>16} keepalived with TTL(100)\n"
            assert "granted with TTL(100s)" in ctl("lease", "timetolive", lease)
            ctl("lease", "revoke", lease)
            assert "is healthy" in session("endpoint", "health").errors + session.transcript[-1].output
            assert f"{member.id:x}" in ctl("endpoint", "status")
            assert ctl("member", "list").count("started") == 3
            assert ctl("alarm", "list") == ""
            assert f"Finished defragmenting etcd member[{member.endpoint}]" in ctl("defrag")
            ctl("snapshot", "save", f"saved-{number}.db")
            assert ctl("snapshot", "status", f"saved-{number}.db").count(",") == 3
        finally:
            session.close()


def test_etcdctl_against_all_members_at_once(cluster):
    session = Session(cluster.members[1])
    everyone = ("--endpoints", ",".join(cluster.endpoints()))
    for command, word in ((("endpoint", "health"), "is healthy"), (("endpoint", "health", "--cluster"), "is healthy"),
                          (("endpoint", "status"), "3."), (("endpoint", "status", "--cluster"), "3."),
                          (("endpoint", "hashkv"), ", "), (("endpoint", "hashkv", "--cluster"), ", ")):
        done = session(*everyone, *command)
        assert done.ok, f"{command}: {done.output}{done.errors}"
        shown = done.output + done.errors
        for member in cluster.members:
            assert any(member.endpoint in line and word in line for line in shown.splitlines()), f"{command}: {shown}"
    status = json.loads(session(*everyone, "endpoint", "status", "-w", "json").output)
    assert {one["Status"]["leader"] for one in status} == {cluster.members[0].id}
    target = cluster.members[2]
    done = session(*everyone, "move-leader", f"{target.id:x}")
    assert done.ok and "Leadership transferred" in done.output, done
    assert cluster.leader() is target
