"""What clients and operators see of a follower that gets its leader's snapshot while it runs."""

import os
import signal

import pytest

from harness.cluster import GO, OURS, Cluster, ClusterMember
from harness.waiting import halt, wait_until
from test_mixed_clusters import SNAPSHOTS, snapshots, write_much

# Who leads, and the follower that falls behind.
PAIRS = pytest.mark.parametrize(
    "leading, behind", ((OURS, OURS), (GO, OURS), (OURS, GO)), ids=("ours", "Go's to ours", "ours to Go's"))

# More messages than a leader sends ahead of the answers (512), so that a member which stands still misses some.
MISSED = 700


def put_many(member: ClusterMember, count: int) -> None:
    """Writes `k/N` with the value N, one after the other: what is written at the same time may go in one message."""
    for number in range(count):
        member.put(f"k/{number}", str(number))


def stand_still(cluster: Cluster, member: ClusterMember, action) -> None:
    """Stops a member's process, so that its connections stay, and lets it go on after `action`."""
    before = snapshots(member)
    halt(member.process.pid)
    try:
        action()
    finally:
        os.kill(member.process.pid, signal.SIGCONT)
    cluster.wait_applied(cluster.revision())
    received = [index for index in snapshots(member) if index not in before]
    assert received and received[-1] > (before or [0])[-1] + 200, f"{before}, then {received}: no leader's snapshot"


def three(cluster_with, leading: str, behind: str) -> tuple[Cluster, ClusterMember, ClusterMember]:
    cluster = cluster_with(leading, leading, behind, **SNAPSHOTS)
    cluster.move_leader(cluster.members[0])
    return cluster, cluster.members[0], cluster.members[2]


def told_until(watch, key: bytes, twice: bool) -> list:
    """The events up to the one of `key`; with `twice`, without those that are told again."""
    events: list = []
    while not events or events[-1].kv.key != key:
        for event in watch.next().events:
            if twice and events and event.kv.mod_revision <= events[-1].kv.mod_revision:
                # Genuine etcd 3.4.23 tells some events again after it installed a snapshot.
                continue
            events.append(event)
    return events


@PAIRS
def test_watchers_miss_nothing_and_hear_nothing_twice(cluster_with, leading, behind):
    cluster, leader, follower = three(cluster_with, leading, behind)
    leader.put("k/first", "1")
    cluster.wait_applied(cluster.revision())
    future = leader.ask("KV.Range", key=b"k").header.revision + 1 + MISSED // 2
    synced, late, later = (follower.client.watch() for _ in range(3))
    try:
        assert synced.created(key=b"k/", range_end=b"k0", prev_kv=True).created
        assert late.created(key=b"k/", range_end=b"k0", start_revision=1).created
        assert late.events(1)[0].kv.key == b"k/first"
        # One that waits for a revision which comes in the middle of what the snapshot brings.
        assert later.created(key=b"k/", range_end=b"k0", start_revision=future).created
        stand_still(cluster, follower, lambda: put_many(leader, MISSED))
        leader.put("k/last", "1")
        for watch, first in ((synced, future - MISSED // 2), (late, future - MISSED // 2), (later, future)):
            events = told_until(watch, b"k/last", twice=behind == GO)
            # Each write is a revision of its own.
            assert [event.kv.mod_revision for event in events] == list(range(first, first + len(events)))
            assert len({event.kv.key for event in events}) == len(events)
            assert len(events) == MISSED + 1 - (first - (future - MISSED // 2))
    finally:
        for watch in (synced, late, later):
            watch.close()
    cluster.assert_equal_hashes()


@PAIRS
def test_a_watch_whose_revision_was_compacted_meanwhile_is_cancelled(cluster_with, leading, behind):
    cluster, leader, follower = three(cluster_with, leading, behind)
    cluster.wait_applied(cluster.revision())
    watch = follower.client.watch()
    try:
        assert watch.created(key=b"k/", range_end=b"k0").created

        def compact() -> None:
            put_many(leader, MISSED)
            revision = leader.ask("KV.Range", key=b"k").header.revision
            leader.ask("KV.Compact", revision=revision, physical=True)
            put_many(leader, 200)

        stand_still(cluster, follower, compact)
        compacted = follower.ask("KV.Range", key=b"k").header.revision - 200
        # What had arrived before the snapshot is told in order; then it says how far it is too late.
        told: list[int] = []
        while True:
            response = watch.next()
            if response.canceled:
                break
            told += [event.kv.mod_revision for event in response.events]
        assert response.compact_revision == compacted
        assert told == sorted(set(told)) and len(told) < MISSED
    finally:
        watch.close()
    cluster.assert_equal_hashes()


@pytest.mark.parametrize("leading, joining", ((OURS, GO), (GO, OURS), (OURS, OURS)), ids=("Go joins", "ours joins", "ours"))
def test_the_members_come_with_the_snapshot(cluster_with, leading, joining):
    """Learners and members that are gone, too: what a snapshot says of them holds after a restart."""
    # With one of 3.4 among them the cluster stays at a version that another can join.
    cluster = cluster_with(leading, GO, leading, **SNAPSHOTS)
    cluster.move_leader(cluster.members[0])
    leader, gone = cluster.members[0], cluster.members[2]
    gone_id = gone.id
    cluster.remove(gone)
    # One that never starts.
    learner = cluster.add(GO, learner=True, start=False)
    write_much(leader, "before")
    joined = cluster.add(joining, start=False)
    joined.initial_cluster = ",".join(
        f"{member.name}={member.peer_url}" for member in cluster.members if member is not learner
    ) + f",={learner.peer_url}"
    joined.start()
    cluster.wait_applied(cluster.revision())
    assert snapshots(joined), "it came without a snapshot"

    def members(by: ClusterMember) -> list[tuple]:
        return sorted(
            (found.ID, found.name, tuple(found.peerURLs), tuple(found.clientURLs), found.isLearner)
            for found in cluster.listed(by)
        )

    wait_until(lambda: members(joined) == members(leader) and "" in [m[1] for m in members(leader)], "equal lists")
    assert [found[4] for found in members(joined)].count(True) == 1
    joined.kill()
    joined.start()
    cluster.leader()
    assert members(joined) == members(leader)
    assert gone_id not in [found[0] for found in members(joined)]
    cluster.assert_equal_hashes()
