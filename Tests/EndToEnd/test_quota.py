"""The quota of the backend: what is refused and what goes on, the alarm over all members, and requests that a member which
is behind turns away."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from harness.api import Calls, Client, Failure, api
from harness.cluster import GO, OURS, Cluster
from harness.v2 import V2
from harness.waiting import halt, wait_until
from test_disk_trouble import Mount, frozen_image

NO_SPACE = Failure("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded")
TOO_MANY = Failure("RESOURCE_EXHAUSTED", "etcdserver: too many requests")
QUOTA = 4 << 20
# What etcd counts a put with besides its key and value.
PUT_OVERHEAD = 256


def good(answer: Any) -> Any:
    assert not isinstance(answer, Failure), answer
    return answer


def fill(client: Client, key: bytes = b"big") -> None:
    """Writes until the quota refuses."""
    for _ in range(200):
        answer = client.call("KV.Put", key=key, value=b"v" * (200 << 10))
        if isinstance(answer, Failure):
            assert answer == NO_SPACE
            return
    raise AssertionError("the quota refuses nothing")


def alarms(client: Client) -> list[tuple[int, int]]:
    found = good(client.call("Maintenance.Alarm", action="GET")).alarms
    return sorted((alarm.memberID, alarm.alarm) for alarm in found)


def win_space_back(client: Client, key: bytes = b"big") -> None:
    good(client.call("KV.DeleteRange", key=key))
    revision = good(client.call("KV.Range", key=key)).header.revision
    good(client.call("KV.Compact", revision=revision, physical=True))


def disarm(client: Client) -> None:
    for member, _ in alarms(client):
        good(client.call("Maintenance.Alarm", action="DEACTIVATE", alarm="NOSPACE", memberID=member))


def test_what_is_refused_and_what_goes_on(pair_with):
    pair = pair_with("--quota-backend-bytes", str(QUOTA))

    def script(calls: Calls) -> None:
        calls("Lease.LeaseGrant", ID=7, TTL=100)
        calls("KV.Put", key=b"small", value=b"1", lease=7)
        for number in range(100):
            calls.quiet("KV.Put", key=b"step/%d" % number)
        fill(calls.client)
        # The files grow differently, and so many puts that fit: from here on both are at one revision again.
        for number in range(100):
            if calls.quiet("KV.DeleteRange", key=b"step/%d" % number).header.revision >= 180:
                break
        # Whoever is refused finds the alarm.
        calls("Maintenance.Alarm", action="GET")
        calls("KV.Put", key=b"a", value=b"1")
        calls("KV.Put", key=b"a", value=b"1", lease=99)
        calls("KV.Txn", success=[{"request_put": {"key": b"a"}}])
        # The branch that is not taken counts too.
        calls("KV.Txn", failure=[{"request_put": {"key": b"a"}}])
        calls("Lease.LeaseGrant", ID=8, TTL=100)
        calls("Lock.Lock", name=b"l", lease=7)
        calls("Election.Campaign", name=b"e", lease=7)
        calls("KV.Range", key=b"small")
        calls("KV.Range", key=b"small", serializable=True)
        calls("KV.Txn", success=[{"request_range": {"key": b"small"}}])
        calls("KV.Txn", success=[{"request_delete_range": {"key": b"none"}}])
        calls.time_to_live(ID=7, keys=True)
        calls("Lease.LeaseRevoke", ID=7)
        calls("KV.Range", key=b"small", count_only=True)
        calls.quiet("KV.DeleteRange", key=b"big")
        win_space_back(calls.client)
        good(calls.quiet("Maintenance.Defragment"))
        # Space alone does not end the alarm.
        calls.note("put", calls.quiet("KV.Put", key=b"a", value=b"1"))
        disarm(calls.client)
        calls("Maintenance.Alarm", action="GET")
        assert not isinstance(calls.quiet("KV.Put", key=b"a", value=b"1"), Failure)

    pair.compare_calls(script)


def test_the_cost_of_a_put_is_etcds(pair_with):
    """The last byte decides, on both sides alike."""
    pair = pair_with("--quota-backend-bytes", str(1 << 20))
    for member in (pair.genuine, pair.ours):
        client = Client(member.endpoint)

        def settled_size() -> int:
            sizes = {good(client.call("Maintenance.Status")).dbSize for _ in range(20)}
            good(client.call("Maintenance.Defragment"))
            sizes.add(good(client.call("Maintenance.Status")).dbSize)
            return sizes.pop() if len(sizes) == 1 else 0

        size = wait_until(settled_size, "the file's size to stay", interval=0.2)
        room = (1 << 20) - size - PUT_OVERHEAD - len(b"k")
        assert client.call("KV.Put", key=b"k", value=b"v" * room) == NO_SPACE
        disarm(client)
        assert good(client.call("KV.Put", key=b"k", value=b"v" * (room - 1))).header.revision == 2
        client.close()


@pytest.mark.ours_only
def test_puts_inside_nested_transactions_are_no_way_around(member_with):
    """etcd does not count them."""
    member = member_with(None, "--quota-backend-bytes", str(QUOTA)).start()
    client = Client(member.endpoint)
    fill(client)
    # Larger than the put that did not fit: the alarm alone does not refuse it.
    nested = {"request_txn": {"success": [{"request_put": {"key": b"n", "value": b"v" * (201 << 10)}}]}}
    assert client.call("KV.Txn", success=[nested]) == NO_SPACE
    client.close()


@pytest.mark.ours_only
def test_quotas_of_every_kind(member_with):
    for flag, quota, line in (
        ("0", 2 << 30, "enabled backend quota with default value"), ("-1", -1, "disabled backend quota"),
        (str(9 << 30), 9 << 30, "quota exceeds the maximum value"), (str(1 << 30), 1 << 30, "enabled backend quota"),
    ):
        member = member_with(None, f"--quota-backend-bytes={flag}").start()
        client = Client(member.endpoint)
        assert good(client.call("Maintenance.Status")).dbSizeQuota == quota
        good(client.call("KV.Put", key=b"a"))
        assert f'"msg":"{line}"' in member.log()
        client.close()
        member.close()


@pytest.mark.ours_only
def test_the_alarm_survives_a_crash(member_with):
    member = member_with(None, "--quota-backend-bytes", str(QUOTA)).start()
    client = Client(member.endpoint)
    fill(client)
    raised = alarms(client)
    assert len(raised) == 1
    member.kill()
    member.launch()
    # With an alarm it does not call itself healthy.
    wait_until(lambda: not isinstance(client.call("KV.Range", key=b"a", timeout=1.0), Failure), "the member to answer")
    assert alarms(client) == raised
    assert client.call("KV.Put", key=b"a") == NO_SPACE
    assert good(client.call("Maintenance.Status")).errors[0].startswith(f"memberID:{raised[0][0]} alarm:NOSPACE")
    client.close()


@pytest.mark.ours_only
@pytest.mark.parametrize("kinds", ((OURS, OURS, OURS), (OURS, GO, OURS)))
def test_the_alarm_is_the_whole_clusters(cluster_with, kinds):
    cluster = cluster_with(*kinds, quota_backend_bytes=QUOTA)
    through = cluster.followers()[0]
    fill(through.client)
    for member in cluster.members:
        wait_until(lambda: alarms(member.client), f"the alarm at {member}")
        assert member.call("KV.Put", key=b"a") == NO_SPACE
        assert member.get("big") is not None
        assert isinstance(member.call("KV.Range", key=b"big", serializable=True).kvs[0].value, bytes)
    win_space_back(through.client)
    for member in cluster.members:
        member.ask("Maintenance.Defragment")
    disarm(cluster.members[1].client)

    def all_write() -> bool:
        # A member that writes again has heard that the alarm is over.
        answers = [member.call("KV.Put", key=b"after") for member in cluster.members]
        if not any(isinstance(answer, Failure) for answer in answers) and alarms(cluster.leader().client) == []:
            return True
        # The compaction of one may have ended behind its defragmentation: then it has raised the alarm again, when it was
        # asked or, as others' puts are applied, at any time after.
        for member in cluster.members:
            member.ask("Maintenance.Defragment")
        disarm(cluster.members[1].client)
        return False

    wait_until(all_write, "all members to write", 60.0)
    cluster.assert_equal_hashes()


@pytest.mark.ours_only
def test_members_of_both_kinds_decide_alike_under_the_alarm(cluster_with):
    """Each member decides as it applies: they must not come apart over what etcd does not count."""
    cluster = cluster_with(OURS, GO, OURS)
    leader = cluster.leader()
    leader.ask("Maintenance.Alarm", action="ACTIVATE", alarm="NOSPACE", memberID=leader.id)
    nested = {"request_txn": {"success": [{"request_put": {"key": b"n", "value": b"1"}}]}}
    delete = {"request_delete_range": {"key": b"n"}}
    put = {"request_put": {"key": b"p"}}
    for member in cluster.members:
        answers = [member.call("KV.Txn", success=operations) for operations in ([nested], [nested, put], [put], [delete])]
        assert [answer == NO_SPACE for answer in answers] == [False, True, True, False], f"{member}: {answers}"
    cluster.assert_equal_hashes()


@pytest.mark.ours_only
def test_a_follower_with_a_smaller_quota_raises_the_alarm(cluster_with):
    """It sees its file fill up with what others write."""
    cluster = cluster_with(OURS, OURS, OURS)
    follower = cluster.followers()[0]
    follower.stop()
    follower.options["quota-backend-bytes"] = QUOTA
    follower.start()
    leader = cluster.leader()
    fill(leader.client)
    assert alarms(leader.client) == [(follower.id, 1)]


@pytest.fixture
def slow_disk(directory: Path):
    """A started cluster whose last member, a follower, has its data on a file system that can be frozen."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts file systems")
    mount = Mount(directory / "disk")
    cluster = None
    try:
        frozen_image(mount, directory)
        cluster = Cluster(
            directory / "cluster", [OURS] * 3, snapshot_count=1_000_000, snapshot_catchup_entries=1_000_000, enable_v2=True)
        cluster.members[2].data_dir = mount.path / "data"
        cluster.start()
        cluster.move_leader(cluster.members[0])
        yield cluster, mount
    finally:
        mount.thaw()
        if cluster:
            cluster.close()
        subprocess.run(["sync"], check=False)
        mount.close()


def unread(port: int) -> int:
    """The bytes that have come to connections of a port and that its process has not read."""
    fields = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(entry[4].split(":")[1], 16) for entry in fields if entry[1].endswith(f":{port:04X}"))


@pytest.mark.ours_only
@pytest.mark.xdist_group("frozen disks")
def test_a_member_that_is_behind_takes_no_requests(slow_disk):
    """It knows of more than 5000 committed entries that it cannot apply, since its own disk does not take them."""
    cluster, mount = slow_disk
    leader, _, follower = cluster.members
    follower.put("before", "1")
    mount.freeze()
    put = leader.client.method("KV.Put")
    requests = [api().messages.PutRequest(key=b"k", value=b"%d" % number) for number in range(7000)]
    # Raft has at most 512 messages on the way to a follower that does not acknowledge, so entries must share them: the
    # leader stands still while requests come, and finds all of them at once.
    for start in range(0, len(requests), 500):
        halt(leader.process.pid)
        futures = [put.future(request, timeout=60) for request in requests[start:start + 500]]
        stood_still = time.monotonic()
        while unread(leader.port) < 15_000 and time.monotonic() < stood_still + 0.3:
            time.sleep(0.002)
        leader.process.send_signal(signal.SIGCONT)
        for future in futures:
            future.result()

    def behind() -> int:
        status = follower.ask("Maintenance.Status")
        return status.raftIndex - status.raftAppliedIndex

    wait_until(lambda: behind() > 5000, "the follower to be behind")
    for method, fields in (
        ("KV.Put", {"key": b"a"}), ("KV.DeleteRange", {"key": b"a"}), ("KV.Txn", {"success": [{"request_put": {"key": b"a"}}]}),
        ("KV.Compact", {"revision": 1}), ("Lease.LeaseGrant", {"TTL": 10}),
    ):
        assert follower.call(method, timeout=5.0, **fields) == TOO_MANY, method
    v2 = V2(follower)
    for answer in (v2.put("/a", "1"), v2.post("/q", "1"), v2.delete("/a"), v2.get("/a", quorum="true")):
        assert answer.status == 500
        assert answer.json() == {"errorCode": 300, "message": "Raft Internal Error", "cause": "etcdserver: too many requests", "index": 0}
    assert v2.get("/").status == 200
    # What asks nothing of the log is answered as before.
    assert follower.get("before", serializable=True) == "1"
    assert leader.get("k") == "6999"
    mount.thaw()
    wait_until(lambda: behind() < 100, "the follower to catch up", 60.0)
    wait_until(lambda: not isinstance(follower.call("KV.Put", key=b"a"), Failure), "the follower to take requests")
    cluster.assert_equal_hashes()
