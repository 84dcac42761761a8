"""Maintenance and Cluster calls beyond what etcdctl asks: every field, every refusal."""

import hashlib
import threading
from typing import Any

import grpc
import pytest

from harness import bolt
from harness.api import Calls, Client, Failure, api
from harness.cluster import GO, OURS
from harness.waiting import wait_until


def good(answer: Any) -> Any:
    assert not isinstance(answer, Failure), answer
    return answer


@pytest.fixture
def client_of():
    clients: list[Client] = []

    def make(member: Any) -> Client:
        clients.append(Client(member.endpoint))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.mark.ours_only
def test_every_field_of_status(member_with, client_of):
    member = member_with().start()
    client = client_of(member)
    for number in range(50):
        good(client.call("KV.Put", key=b"%d" % number, value=b"v" * 10_000))
    wait_until(lambda: good(client.call("Maintenance.Status")).dbSize > 500_000, "the puts to be in the file")
    status = good(client.call("Maintenance.Status"))
    assert status.header.revision == 51 and status.header.raft_term == status.raftTerm
    assert status.leader == status.header.member_id == good(client.call("Cluster.MemberList")).members[0].ID
    assert 0 < status.dbSizeInUse <= status.dbSize
    assert status.raftIndex >= status.raftAppliedIndex > 50
    assert (status.version, status.storageVersion, status.isLearner) == ("3.7.0", "3.7.0", False)
    assert status.dbSizeQuota == 2 << 30
    assert status.HasField("downgradeInfo") and not status.downgradeInfo.enabled
    assert list(status.errors) == []


@pytest.mark.ours_only
def test_status_of_a_member_without_a_leader(cluster_with):
    cluster = cluster_with(OURS, OURS, OURS)
    last = cluster.members[2]
    for member in cluster.members[:2]:
        member.kill()
    wait_until(lambda: last.ask("Maintenance.Status").leader == 0, "the leader to be given up")
    assert list(last.ask("Maintenance.Status").errors) == ["etcdserver: no leader"]
    # What the member has itself it tells; what all must agree on it cannot.
    assert len(last.ask("Cluster.MemberList", linearizable=False).members) == 3
    answer = last.call("Cluster.MemberList", linearizable=True, timeout=30.0)
    assert isinstance(answer, Failure) and answer.code == "UNAVAILABLE", answer
    assert last.call("Maintenance.MoveLeader", targetID=last.id) == Failure("FAILED_PRECONDITION", "etcdserver: not leader")


def test_alarms_of_every_kind(pair):
    """etcd lists them in the order of a map, so the order is not compared."""

    def script(calls: Calls) -> None:
        for action, alarm, member in (
            ("GET", "NONE", 0), ("ACTIVATE", "CORRUPT", 3), ("ACTIVATE", "CORRUPT", 2), ("ACTIVATE", "NOSPACE", 3),
            ("ACTIVATE", "NOSPACE", 3), ("GET", "NOSPACE", 0), ("GET", "CORRUPT", 0), ("GET", "CORRUPT", 2),
            ("DEACTIVATE", "CORRUPT", 9), ("DEACTIVATE", "CORRUPT", 3), ("GET", "CORRUPT", 0),
            ("DEACTIVATE", "CORRUPT", 2), ("DEACTIVATE", "NONE", 3), ("DEACTIVATE", "NOSPACE", 3), ("GET", "NONE", 0),
        ):
            answer = good(calls.quiet("Maintenance.Alarm", action=action, alarm=alarm, memberID=member))
            calls.note(f"{action} {alarm} {member}", str(sorted((each.memberID, each.alarm) for each in answer.alarms)))
        # An alarm of no member is told without one.
        for member in (0, 5):
            good(calls.quiet("Maintenance.Alarm", action="ACTIVATE", alarm="NOSPACE", memberID=member))
        calls.note("Status", str(sorted(good(calls.quiet("Maintenance.Status")).errors)))

    pair.compare_calls(script)


@pytest.mark.ours_only
def test_no_alarm_is_none_and_answers_have_headers(member_with, client_of):
    """As since etcd 3.5."""
    client = client_of(member_with().start())
    answer = good(client.call("Maintenance.Alarm", action="ACTIVATE", alarm="NONE", memberID=1))
    assert list(answer.alarms) == [] and answer.header.revision == 1 and answer.header.member_id != 0
    assert list(good(client.call("Maintenance.Alarm", action="GET")).alarms) == []
    assert client.call("Maintenance.Alarm", action="ACTIVATE", alarm=9, memberID=1).code == "INVALID_ARGUMENT"


def test_changes_of_the_only_member(pair):
    def script(calls: Calls) -> None:
        own = good(calls.quiet("Cluster.MemberList")).members[0].ID
        calls("Cluster.MemberRemove", ID=own)
        calls("Cluster.MemberPromote", ID=own)
        for method in ("MemberRemove", "MemberPromote"):
            calls(f"Cluster.{method}", ID=5)
        for urls in ([], ["x"], ["http://localhost:2380"], ["http://localhost:2380", "http://localhost:2390"]):
            calls("Cluster.MemberAdd", peerURLs=urls)
            calls("Cluster.MemberAdd", peerURLs=urls, isLearner=True)
        calls("Cluster.MemberUpdate", ID=5, peerURLs=["http://localhost:2390"])
        for target in (0, 1, own):
            calls("Maintenance.MoveLeader", targetID=target)

    pair.compare_calls(script)


def test_requests_that_do_not_decode(pair):
    """Requests without fields too."""
    paths = [
        f"/{method.containing_service.full_name}/{method.name}"
        for name, method in api().methods.items() if not method.client_streaming and name.split(".")[0] != "Auth"
        # Not there in 3.4.
        and name not in ("KV.RangeStream", "Maintenance.Downgrade")
    ]
    assert len(paths) > 25
    for member in (pair.genuine, pair.ours):
        client = Client(member.endpoint)
        for path in paths:
            answer = client.raw(path, b"\xff\xff")
            assert isinstance(answer, Failure) and answer.code == "INTERNAL", f"{path}: {answer}"
        client.close()


@pytest.mark.ours_only
def test_a_snapshot_of_a_store_that_is_written_to(member_with, client_of, directory):
    """It is the state of one moment, says its version, and its reader's pace is its pace."""
    member = member_with().start()
    client = client_of(member)
    for number in range(60):
        good(client.call("KV.Put", key=b"k/%03d" % number, value=b"v" * 200_000))
    size = good(client.call("Maintenance.Status")).dbSize
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            good(client.call("KV.Put", key=b"w", value=b"%d" % number))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    stream = iter(client.method("Maintenance.Snapshot")(api().messages.SnapshotRequest(), timeout=60))
    parts = [next(stream)]
    before = member.status_file("VmRSS")
    # While nobody reads, the member goes on, and does not read the file ahead into its memory.
    for _ in range(50):
        good(client.call("KV.Put", key=b"x"))
    assert member.status_file("VmRSS") - before < 32_000
    parts += list(stream)
    stop.set()
    writer.join()
    assert {part.version for part in parts} == {"3.7.0"}
    whole = b"".join(part.blob for part in parts)
    assert hashlib.sha256(whole[:-32]).digest() == whole[-32:]
    assert len(whole) - 32 >= size // 2
    copy = directory / "copy.db"
    copy.write_bytes(whole[:-32])
    bolt.check(copy)


@pytest.mark.ours_only
def test_more_snapshots_than_may_run_at_once(member_with, client_of):
    client = client_of(member_with().start())
    for number in range(40):
        good(client.call("KV.Put", key=b"%d" % number, value=b"v" * 500_000))
    open_snapshot = client.method("Maintenance.Snapshot")
    streams = [iter(open_snapshot(api().messages.SnapshotRequest(), timeout=60)) for _ in range(9)]
    refused = 0
    for stream in streams:
        try:
            next(stream)
        except grpc.RpcError as error:
            assert (error.code().name, error.details()) == ("RESOURCE_EXHAUSTED", "etcdserver: too many requests")
            refused += 1
    assert refused == 1
    for stream in streams[:8]:
        stream.cancel()


@pytest.mark.ours_only
@pytest.mark.parametrize("kinds", ((OURS, OURS, OURS), (OURS, GO, OURS)))
def test_who_may_lead(cluster_with, kinds):
    cluster = cluster_with(*kinds)
    cluster.move_leader(cluster.members[0])
    leader, follower = cluster.members[0], cluster.members[2]
    assert follower.call("Maintenance.MoveLeader", targetID=follower.id) == Failure(
        "FAILED_PRECONDITION", "etcdserver: not leader")
    for target in (0, 12345):
        assert leader.call("Maintenance.MoveLeader", targetID=target) == Failure(
            "FAILED_PRECONDITION", "etcdserver: bad leader transferee")
    leader.ask("Maintenance.MoveLeader", targetID=leader.id)
    assert cluster.leader() is leader
    leader.ask("Maintenance.MoveLeader", targetID=follower.id)
    assert cluster.leader() is follower


@pytest.mark.ours_only
@pytest.mark.parametrize("flag", ("--feature-gates=StopGRPCServiceOnDefrag=true", "--experimental-stop-grpc-service-on-defrag"))
def test_health_says_that_the_member_defragments(member_with, client_of, flag):
    member = member_with(None, flag).start()
    client = client_of(member)
    good(client.call("KV.Put", key=b"a"))
    watch = iter(client.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30))
    assert next(watch) == b"\x08\x01"
    good(client.call("Maintenance.Defragment"))
    assert [next(watch), next(watch)] == [b"\x08\x02", b"\x08\x01"]


@pytest.mark.ours_only
def test_a_member_that_stops_while_it_defragments_does_not_serve_again(member_with, client_of):
    """A defragmentation that ends while connections are let go of must not call clients back."""
    member = member_with(None, "--feature-gates=StopGRPCServiceOnDefrag=true").start()
    client = client_of(member)
    for number in range(120):
        good(client.call("KV.Put", key=b"%d" % number, value=b"v" * 500_000))
    watch = iter(client.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=60))
    assert next(watch) == b"\x08\x01"
    done = threading.Thread(target=client.call, args=("Maintenance.Defragment",), kwargs={"timeout": 60})
    done.start()
    assert next(watch) == b"\x08\x02"
    member.process.terminate()
    told = []
    try:
        told.extend(watch)
    except grpc.RpcError:
        pass  # The member is gone.
    done.join(60)
    # That it does not serve was said before.
    assert told == []
    member.process.wait(30)
    member.process = None


@pytest.mark.ours_only
def test_health_says_nothing_of_it_when_not_asked_to(member_with, client_of):
    member = member_with().start()
    client = client_of(member)
    watch = client.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)
    told = iter(watch)
    assert next(told) == b"\x08\x01"
    good(client.call("Maintenance.Defragment"))
    member.process.terminate()
    # The next that is said is the stop.
    assert next(told) == b"\x08\x02"
    member.process.wait(30)
    member.process = None
