"""Genuine etcd 3.4 and ours in one cluster: members fail, replace each other and catch up under client load.

What clients ask of such clusters is in test_cluster_requests.py. ETCD_MIXED_SEED sets the random choices.
"""

import os
import random

import pytest

from harness.api import Failure
from harness.cluster import GO, OURS, Cluster, ClusterMember
from harness.load import Load
from harness.waiting import wait_until
from test_cluster_requests import version

SEED = int(os.environ.get("ETCD_MIXED_SEED", "20261121"))

# The first one leads.
MIXED = {"Go leads two ours": (GO, OURS, OURS), "ours leads two Go": (OURS, GO, GO)}
EITHER_WAY = pytest.mark.parametrize("joining, leading", ((GO, OURS), (OURS, GO)), ids=("Go joins ours", "ours joins Go"))

# So few that whoever lacks some hundred writes gets a snapshot, and that members write many.
SNAPSHOTS = {"snapshot-count": 50, "snapshot-catchup-entries": 10}


def assert_version_of_3_4(cluster: Cluster) -> None:
    assert {version(member)["etcdcluster"] for member in cluster.running()} == {"3.4.0"}


@pytest.mark.parametrize("kinds", MIXED.values(), ids=MIXED.keys())
def test_leaders_are_killed_under_load(cluster_with, kinds):
    cluster = cluster_with(*kinds)
    with Load(cluster) as load:
        for member in cluster.members:
            cluster.move_leader(member)
            load.wait_progress()
            member.kill()
            assert cluster.leader() is not member
            load.wait_progress()
            member.start()
            load.wait_progress()
    load.check_everywhere()
    assert_version_of_3_4(cluster)


@pytest.mark.parametrize("kinds", MIXED.values(), ids=MIXED.keys())
def test_members_are_killed_at_random_under_load(cluster_with, kinds):
    """Followers, leaders, and now and then all; small snapshots make their writing part of what is interrupted."""
    choice = random.Random(SEED)
    cluster = cluster_with(*kinds, **SNAPSHOTS)
    with Load(cluster) as load:
        for round_number in range(8):
            load.wait_progress(choice.randrange(1, 80))
            victims = cluster.members if round_number % 4 == 3 else [choice.choice(cluster.members)]
            for victim in victims:
                victim.process.kill()
            for victim in victims:
                victim.kill()
            if len(victims) == 1:
                load.wait_progress(choice.randrange(1, 80))
            for victim in victims:
                victim.launch()
            cluster.wait_healthy()
        load.wait_progress()
    load.check_everywhere()
    assert_version_of_3_4(cluster)


def in_turn(cluster: Cluster, step) -> None:
    """Takes each of three Go members to ours and back, with one Go member at any time: without one, the cluster
    would move on to a version that 3.4 does not join."""
    places = [0, 1, 2]
    kinds = {place: GO for place in places}
    for place, kind in ((0, OURS), (1, OURS), (0, GO), (2, OURS), (1, GO), (2, GO)):
        step(place, kind)
        kinds[place] = kind
        assert [member.kind for member in cluster.members].count(OURS) in (list(kinds.values()).count(OURS), 0)
        assert_version_of_3_4(cluster)


@pytest.mark.parametrize("options", ({}, SNAPSHOTS), ids=("log", "snapshots"))
def test_rolling_exchange_on_the_same_data_directories(cluster_with, options):
    """Stop Go, start ours on what it left, and back: the whole cluster under load."""
    cluster = cluster_with(GO, GO, GO, **options)
    identities = [member.id for member in cluster.members]
    with Load(cluster) as load:

        def step(place: int, kind: str) -> None:
            load.wait_progress()
            cluster.exchange(cluster.members[place], kind)
            # Whoever is new takes the lead for a while.
            cluster.move_leader(cluster.members[place])
            load.wait_progress()

        in_turn(cluster, step)
    load.check_everywhere()
    assert [found.ID for found in cluster.listed()] == sorted(identities)


def test_rolling_replacement_by_new_members(cluster_with):
    """Each member is removed and a fresh one added: Go by ours, ours by Go, under load."""
    cluster = cluster_with(GO, GO, GO, **SNAPSHOTS)
    places = list(cluster.members)
    with Load(cluster) as load:

        def step(place: int, kind: str) -> None:
            load.wait_progress()
            places[place] = cluster.replace(places[place], kind)
            load.wait_progress()

        in_turn(cluster, step)
    load.check_everywhere()
    assert [found.ID for found in cluster.listed()] == sorted(member.id for member in cluster.members)


def snapshots(member: ClusterMember) -> list[int]:
    """Indexes of the snapshots that a member has."""
    return sorted(int(file.name[17:33], 16) for file in (member.data_dir / "member" / "snap").glob("*-*.snap"))


def write_much(member: ClusterMember, prefix: str) -> None:
    """Some hundred writes with values large enough that a snapshot takes many packets, and some deletions."""
    for step in range(0, 240, 4):
        member.ask("KV.Txn", success=[
            {"request_put": {"key": f"{prefix}/{step + n}".encode(), "value": bytes([n]) * 10_000}} for n in range(3)
        ])
        member.put(f"{prefix}/{step + 3}", "x" * 10_000)
        if step % 20 == 0:
            member.ask("KV.DeleteRange", key=f"{prefix}/{step}".encode())
        if step % 100 == 40:
            member.ask("KV.Compact", revision=member.put("compact").header.revision)


@EITHER_WAY
def test_a_new_member_joins_from_a_snapshot(cluster_with, joining, leading):
    cluster = cluster_with(leading, GO, **SNAPSHOTS)
    cluster.move_leader(cluster.members[0])
    leader = cluster.members[0]
    leader.ask("Lease.LeaseGrant", ID=77, TTL=6000)
    leader.put("leased", "", lease=77)
    write_much(leader, "before")
    base = snapshots(leader)[-1]
    with Load(cluster, clients=2) as load:
        load.wait_progress(10)
        joined = cluster.add(joining)
        load.wait_progress(10)
        cluster.wait_applied(cluster.revision())
        # Its log begins at a snapshot that the leader made: it has never seen the entries before.
        assert snapshots(joined) and snapshots(joined)[0] >= base
        load.wait_progress(10)
    load.check_everywhere()
    assert joined.get("before/3") == "x" * 10_000
    assert list(joined.ask("Lease.LeaseTimeToLive", ID=77, keys=True).keys) == [b"leased"]
    # What it got holds: as the leader, and after a restart.
    cluster.move_leader(joined)
    joined.put("joined", "leads")
    joined.kill()
    joined.start()
    cluster.leader()
    assert joined.get("joined") == "leads"
    cluster.assert_equal_hashes()
    assert_version_of_3_4(cluster)


@EITHER_WAY
def test_a_member_that_fell_far_behind_catches_up_from_a_snapshot(cluster_with, joining, leading):
    cluster = cluster_with(leading, leading, joining, **SNAPSHOTS)
    leader, behind = cluster.members[0], cluster.members[2]
    cluster.move_leader(leader)
    write_much(leader, "before")
    cluster.wait_applied(cluster.revision())
    behind.kill()
    before = snapshots(behind)
    write_much(leader, "meanwhile")
    behind.start()
    cluster.wait_applied(cluster.revision())
    cluster.assert_equal_hashes()
    received = [index for index in snapshots(behind) if index not in before]
    assert received and received[0] > (before or [0])[-1] + 50, f"{before}, then {received}: no snapshot in between"
    watch = behind.client.watch()
    try:
        # Watches go on from what the snapshot brought.
        assert watch.created(key=b"afterwards").created
        leader.put("afterwards", "seen")
        assert watch.events(1)[0].kv.value == b"seen"
    finally:
        watch.close()
    cluster.move_leader(behind)
    behind.put("behind", "leads")
    assert leader.get("behind") == "leads"


@EITHER_WAY
def test_a_member_that_fell_a_little_behind_catches_up_from_the_log(cluster_with, joining, leading):
    cluster = cluster_with(leading, leading, joining)
    leader, behind = cluster.members[0], cluster.members[2]
    cluster.move_leader(leader)
    leader.put("before")
    cluster.wait_applied(cluster.revision())
    behind.kill()
    write_much(leader, "meanwhile")
    behind.start()
    cluster.wait_applied(cluster.revision())
    cluster.assert_equal_hashes()
    assert not snapshots(behind)


def test_a_learner_of_the_other_kind_catches_up_and_is_promoted(cluster_with):
    for leading, joining in ((GO, OURS), (OURS, GO)):
        cluster = cluster_with(leading, GO)
        cluster.move_leader(cluster.members[0])
        write_much(cluster.members[0], "before")
        learner = cluster.add(joining, learner=True, start=False)
        learner.launch()
        # A learner answers serializable reads and its status only, so it is not healthy as others are.
        wait_until(lambda: not isinstance(learner.call("Maintenance.Status", timeout=2.0), Failure), "the learner to answer")
        identity = learner.id

        def promoted() -> bool:
            answer = cluster.members[0].call("Cluster.MemberPromote", ID=identity)
            text = getattr(answer, "details", None)
            assert text in (None, "etcdserver: can only promote a learner member which is in sync with leader"), answer
            return text is None

        wait_until(promoted, "the learner to be promoted", interval=0.1)
        learner.wait_healthy()
        cluster.move_leader(learner)
        learner.put("promoted", "leads")
        cluster.assert_equal_hashes()
        assert not any(found.isLearner for found in cluster.listed())
        cluster.close()


def test_expiry_goes_on_under_a_new_leader_of_the_other_kind(cluster_with):
    """A new leader gives leases their full time again, and ends them."""
    cluster = cluster_with(GO, OURS, OURS)
    for number, (first, second) in enumerate(((0, 1), (1, 0))):
        one, other = cluster.members[first], cluster.members[second]
        cluster.move_leader(one)
        cluster.members[2].ask("Lease.LeaseGrant", ID=500 + number, TTL=2)
        cluster.members[2].put(f"short/{number}", "", lease=500 + number)
        cluster.move_leader(other)
        wait_until(lambda: one.get(f"short/{number}") is None, f"the lease to expire under {other}")
        cluster.assert_equal_hashes()
        assert 500 + number not in {lease.ID for lease in one.ask("Lease.LeaseLeases").leases}
