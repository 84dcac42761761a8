"""How members come into a cluster, and which version the cluster speaks: as etcd 3.4 does it, and with it."""

import http.client
import json
import shutil

import pytest

from harness import bolt
from harness.api import Failure
from harness.cluster import GO, OURS
from harness.waiting import wait_until

VALIDATE, ENABLE, CANCEL = range(3)


def version(member) -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=5)
    try:
        connection.request("GET", "/version")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def cluster_version(member) -> str:
    return version(member)["etcdcluster"]


def wait_version(member, expected: str) -> None:
    wait_until(lambda: cluster_version(member) == expected, f"cluster version {expected}")


def refusal(member) -> str:
    """The last line of a member that must end by itself, at its start."""
    member.process.wait(30)
    assert member.process.returncode == 1
    member.process = None
    return member.log().strip().splitlines()[-1]


# ---- The beginning


def log_head(member) -> bytes:
    """The first segment up to the entries of term 1."""
    segment = min((member.data_dir / "member" / "wal").glob("*.wal"))
    contents = segment.read_bytes()[:1 << 20]
    position, records = 0, []
    while position + 8 <= len(contents):
        frame = int.from_bytes(contents[position:position + 8], "little")
        length, padding = frame & ((1 << 56) - 1), (frame >> 56) & 7 if frame >> 63 else 0
        # Type 2 is an entry; its term is field 2 of what it holds.
        record = contents[position:position + 8 + length + padding]
        records.append(record)
        position += len(record)
        # Checksum, metadata, snapshot, and one entry for each of three members.
        if len(records) == 6:
            return b"".join(records)
    raise AssertionError("the log is too short")


@pytest.mark.ours_only
def test_logs_begin_as_genuine_ones(cluster_with):
    """A cluster of both kinds, started at once: the first entries, which each writes for itself, are the same bytes."""
    cluster = cluster_with(OURS, GO, OURS)
    heads = {member.name: log_head(member) for member in cluster.members}
    # The metadata names the member, and later checksums cover it.
    entries = {name: split_entries(head) for name, head in heads.items()}
    assert len(entries["infra2"]) == 3
    assert entries["infra1"] == entries["infra2"] == entries["infra3"]


def split_entries(head: bytes) -> list[bytes]:
    """The payloads of the entry records in a log's head."""
    position, payloads = 0, []
    while position < len(head):
        frame = int.from_bytes(head[position:position + 8], "little")
        length, padding = frame & ((1 << 56) - 1), (frame >> 56) & 7 if frame >> 63 else 0
        record = head[position + 8:position + 8 + length]
        assert record[0] == 0x08
        if record[1] == 2:
            # Type, checksum (a varint), data.
            at = record.index(b"\x1a", 3)
            payloads.append(record[at:])
        position += 8 + length + padding
    return payloads


def test_a_member_is_not_made_twice(cluster_with):
    cluster = cluster_with(OURS, OURS, OURS)
    lost = cluster.members[2]
    identity = lost.id
    lost.stop()
    shutil.move(lost.data_dir, lost.data_dir.with_suffix(".old"))
    lost.launch()
    line = refusal(lost)
    assert line == f"member {identity:x} has already been bootstrapped"
    assert not (lost.data_dir / "member" / "wal").exists()
    # With its directory it comes back, whatever the flags about the beginning say.
    shutil.move(lost.data_dir.with_suffix(".old"), lost.data_dir)
    lost.initial_cluster = "nonsense"
    lost.start()
    lost.put("a", "1")


# ---- Joining


@pytest.mark.parametrize("kinds", [(OURS, OURS), (GO, OURS), (OURS, GO)], ids="-into-".join)
def test_joins(cluster_with, kinds):
    newcomer, present = kinds
    cluster = cluster_with(present)
    cluster.members[0].put("a", "1")
    if present == OURS and newcomer == GO:
        downgrade(cluster.members[0])
    new = cluster.add(newcomer)
    assert new.get("a") == "1"
    assert cluster_version(new) == ("3.4.0" if GO in kinds else "3.7.0")
    names = [member.name for member in new.ask("Cluster.MemberList", linearizable=True).members]
    assert sorted(names) == ["infra1", "infra2"]
    # What it learned it has of its own.
    new.stop()
    new.initial_cluster, new.initial_state = "", "new"
    new.start()
    assert new.get("a", serializable=True) == "1"


MISMATCHES = {
    "too few": (lambda new, there: f"{new.name}={new.peer_url}", "could not retrieve cluster information"),
    "too many": (
        lambda new, there: f"{new.name}={new.peer_url},more=http://127.0.0.1:1,{there}", "member count is unequal"),
    "another URL": (
        lambda new, there: f"{new.name}=http://127.0.0.1:1,{there}", "PeerURLs: no match found for existing member ("),
    "another name": (
        lambda new, there: f"other={new.peer_url},{there}",
        "couldn't find local name \\\"infra2\\\" in the initial cluster configuration"),
    "nobody there": (
        lambda new, there: f"{new.name}={new.peer_url},infra1=http://127.0.0.1:1",
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs"),
}


@pytest.mark.parametrize("kind", [GO, OURS])
@pytest.mark.parametrize("case", MISMATCHES)
def test_mismatches_are_refused(cluster_with, kind, case):
    """In the words of etcd 3.4.23, and nothing is left behind."""
    make, words = MISMATCHES[case]
    cluster = cluster_with(kind)
    there = cluster.members[0]
    new = cluster.add(kind, start=False)
    new.initial_cluster = make(new, f"{there.name}={there.peer_url}")
    new.launch()
    line = refusal(new)
    if kind == OURS:
        words = words.replace("\\\"", "\"")
        if case == "too few":
            words = "--initial-cluster names no other member to ask"
    assert words in line
    assert not (new.data_dir / "member" / "wal").exists()


# ---- Versions


def downgrade(member, target: str = "3.4") -> None:
    """Takes the cluster of `member` back, and waits until the member's directory is ready for it."""
    member.ask("Maintenance.Downgrade", action=ENABLE, version=target)
    wait_version(member, f"{target}.0")
    wait_until(lambda: "The server is ready to downgrade" in member.log(), "the directory to be ready")


def test_three_of_ours_speak_37(cluster_with):
    cluster = cluster_with(OURS, OURS, OURS)
    for member in cluster.members:
        wait_version(member, "3.7.0")
        status = member.ask("Maintenance.Status")
        assert (status.version, status.storageVersion) == ("3.7.0", "3.7.0")


@pytest.mark.parametrize("kinds", [(GO, OURS, OURS), (OURS, GO, GO)], ids="-".join)
def test_a_mixed_cluster_stays_at_34(cluster_with, kinds):
    cluster = cluster_with(*kinds)
    for member in cluster.members:
        wait_version(member, "3.4.0")
        member.put(member.name, "1")
    # Whoever leads: nobody raises it, and nobody writes what 3.4 ends on.
    for member in cluster.members:
        cluster.move_leader(member)
        member.put("led by", member.name)
    for member in cluster.members:
        member.stop()
        member.start()
        assert cluster_version(member) == "3.4.0"


def test_the_version_rises_with_the_last_member(cluster_with):
    cluster = cluster_with(OURS, GO)
    first, second = cluster.members
    wait_version(first, "3.4.0")
    cluster.exchange(second, OURS)
    for member in cluster.members:
        wait_version(member, "3.7.0")


def test_the_way_back_of_a_cluster(cluster_with):
    """Three of ours go back to 3.4, are replaced by genuine members in place, and come again."""
    cluster = cluster_with(OURS, OURS, OURS)
    first = cluster.members[0]
    wait_version(first, "3.7.0")
    assert first.ask("Maintenance.Downgrade", action=VALIDATE, version="3.4").version == "3.7"
    for version_, text in (("3.7", "invalid downgrade target version"), ("3.3.0", "invalid downgrade target version"),
                           ("three", "wrong downgrade target version format")):
        for action in (VALIDATE, ENABLE):
            answer = first.call("Maintenance.Downgrade", action=action, version=version_)
            assert isinstance(answer, Failure) and text in str(answer)
    answer = first.call("Maintenance.Downgrade", action=CANCEL)
    assert "no inflight downgrade job" in str(answer)

    first.put("a", "1")
    first.ask("Maintenance.Downgrade", action=ENABLE, version="3.4.0")
    assert first.ask("Maintenance.Status").downgradeInfo.targetVersion == "3.4.0"
    for member in cluster.members:
        wait_version(member, "3.4.0")
        wait_until(lambda: "The server is ready to downgrade" in member.log(), f"{member} to be ready")
        assert member.ask("Maintenance.Status").storageVersion == "3.5.0"
    for kind in (GO, OURS):
        for member in cluster.members:
            cluster.exchange(member, kind)
            assert member.get("a") == "1"
            assert cluster_version(member) == "3.4.0"
    # It is still on its way back, until somebody says otherwise.
    cluster.members[1].ask("Maintenance.Downgrade", action=CANCEL)
    for member in cluster.members:
        wait_version(member, "3.7.0")
    for member in cluster.members:
        member.stop()
        bolt.check(member.data_dir / "member" / "snap" / "db")


def test_giving_up_the_way_back_beside_genuine_members(cluster_with):
    """The request is in the log of 3.4 members, who must not end on it."""
    cluster = cluster_with(OURS, OURS, OURS)
    first, _, third = cluster.members
    first.ask("Maintenance.Downgrade", action=ENABLE, version="3.4")
    wait_version(third, "3.4.0")
    wait_until(lambda: "The server is ready to downgrade" in third.log(), "the third member to be ready")
    cluster.exchange(third, GO)
    first.ask("Maintenance.Downgrade", action=CANCEL)
    third.put("a", "1")
    assert cluster_version(third) == "3.4.0"
    third.kill()
    third.start()
    assert third.get("a") == "1"
    cluster.exchange(third, OURS)
    wait_version(third, "3.7.0")


# ---- A cluster that is lost


@pytest.mark.parametrize("kinds", [(OURS, OURS), (GO, OURS), (OURS, GO)], ids="-forced-by-".join)
def test_force_new_cluster(cluster_with, kinds):
    """The directory of one of three, made a cluster by itself by either server, in which others can be added again."""
    before, after = kinds
    # Behind a snapshot or not; one genuine member keeps the cluster at 3.4 where genuine etcd comes next.
    cluster = cluster_with(before, GO if GO in kinds else OURS, GO if GO in kinds else OURS, snapshot_count=20)
    survivor = cluster.members[0]
    for number in range(50):
        survivor.put(f"key {number}", "1")
    list_ = survivor.ask("Cluster.MemberList", linearizable=True)
    for member in cluster.members:
        member.kill()
    survivor.kind = after
    survivor.start("--force-new-cluster")
    # What is not known to the log as committed is dropped, by etcd too; the last write may be among it.
    assert survivor.get("key 48") == "1"
    members = survivor.ask("Cluster.MemberList", linearizable=True).members
    assert [(member.name, list(member.peerURLs)) for member in members] == [(survivor.name, [survivor.peer_url])]
    assert survivor.ask("Maintenance.Status").header.cluster_id == list_.header.cluster_id
    wait_version(survivor, "3.4.0" if after == GO else "3.7.0")
    survivor.put("again", "1")
    survivor.stop()
    survivor.start()
    assert survivor.get("again") == "1"
    cluster._gone += cluster.members[1:]
    cluster.members = [survivor]
    new = cluster.add(after)
    assert new.get("again") == "1"
