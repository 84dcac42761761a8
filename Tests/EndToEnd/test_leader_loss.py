"""What clients are told by a member that has lost its leader."""

import urllib.request

import grpc
import pytest

from harness.api import Failure, Stream, WatchStream, api
from harness.cluster import OURS
from harness.waiting import wait_until

pytestmark = pytest.mark.ours_only

NO_LEADER = Failure("UNAVAILABLE", "etcdserver: no leader")
WITH_LEADER = (("hasleader", "true"),)
# What has waited for a leader until its time was over says so, so the client can be patient.
PATIENCE = 30.0


def alone(cluster, member):
    """Kills all others."""
    for other in cluster.members:
        if other is not member:
            other.kill()


def with_leader(member, name: str, stream=Stream):
    request_class = api().messages.WatchRequest if stream is WatchStream else api().messages.LeaseKeepAliveRequest
    return stream(lambda requests: member.client.method(name)(requests, metadata=WITH_LEADER), request_class)


def get(member, **options):
    request = api().messages.RangeRequest(key=b"a")
    try:
        return member.client.method("KV.Range")(request, timeout=PATIENCE, **options)
    except grpc.RpcError as error:
        return Failure(error.code().name, error.details())


def test_reads_fail_at_once_when_the_leader_finds_itself_alone(cluster_with):
    # A leader steps down one to two election timeouts after it was left alone, and the read must come before.
    cluster = cluster_with(OURS, OURS, OURS, election_timeout=3000)
    leader = cluster.leader()
    leader.put("a", "1")
    alone(cluster, leader)
    assert get(leader) == Failure("UNAVAILABLE", "etcdserver: leader changed")
    with urllib.request.urlopen(f"http://{leader.endpoint}/metrics") as response:
        assert "\netcd_server_read_indexes_failed_total 1\n" in response.read().decode()
    # Without a leader a read waits for one until its time is over; a serializable one does not need any.
    assert leader.call("KV.Range", key=b"a") == Failure("UNAVAILABLE", "etcdserver: request timed out")
    assert leader.get("a", serializable=True) == "1"


def test_writes_without_a_leader_time_out(cluster_with):
    cluster = cluster_with(OURS, OURS, OURS)
    follower = cluster.followers()[0]
    alone(cluster, follower)
    wait_until(lambda: follower.ask("Maintenance.Status").leader == 0, "the leader to be missed")
    answer = follower.call("KV.Put", key=b"a", value=b"1")
    assert answer == Failure("UNAVAILABLE", "etcdserver: request timed out")


def test_calls_that_require_a_leader_are_refused_without_one(cluster_with):
    cluster = cluster_with(OURS, OURS, OURS)
    follower = cluster.followers()[0]
    assert not isinstance(get(follower, metadata=WITH_LEADER), Failure)
    watch = with_leader(follower, "Watch.Watch", WatchStream)
    assert watch.created(key=b"a").created
    lease = with_leader(follower, "Lease.LeaseKeepAlive")
    patient = follower.client.watch()
    assert patient.created(key=b"a").created
    alone(cluster, follower)
    wait_until(lambda: follower.ask("Maintenance.Status").leader == 0, "the leader to be missed")
    assert get(follower, metadata=WITH_LEADER) == NO_LEADER
    assert watch.next() == NO_LEADER
    assert lease.next() == NO_LEADER
    refused = with_leader(follower, "Watch.Watch", WatchStream)
    assert refused.next() == NO_LEADER

    # The stream that asked for nothing is still there when the others come back.
    for member in cluster.members:
        if member is not follower:
            member.launch()
    cluster.wait_healthy()
    cluster.leader().put("a", "2")
    assert patient.events(1)[0].kv.value == b"2"
    for stream in (watch, lease, refused, patient):
        stream.close()


def test_a_write_whose_leader_dies_says_so_or_succeeds(cluster_with):
    """A follower's proposals are lost with the leader they went to; nobody waits longer than a request may."""
    cluster = cluster_with(OURS, OURS, OURS)
    leader = cluster.leader()
    follower = cluster.followers()[0]
    leader.process.kill()
    # The client's own patience is several times that.
    answer = follower.call("KV.Put", key=b"a", value=b"1")
    if isinstance(answer, Failure):
        assert answer.code == "UNAVAILABLE" and answer.details.startswith("etcdserver: request timed out"), answer
    leader.kill()
    cluster.leader().put("a", "2")
    assert follower.get("a") == "2"
