"""Leases in a cluster: any member is asked, the leader answers; genuine etcd 3.4 and ours ask each other."""

import pytest

from harness.cluster import GO, OURS
from harness.waiting import wait_until

# The first one leads.
KINDS = {
    "three ours": (OURS, OURS, OURS), "Go leads two ours": (GO, OURS, OURS), "ours leads two Go": (OURS, GO, GO),
}
KINDS_OF_CLUSTERS = pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS.keys())
TTL = 600


def led_by_first(cluster_with, kinds):
    cluster = cluster_with(*kinds)
    cluster.move_leader(cluster.members[0])
    return cluster


def keep_alive(member, *leases: int) -> list[int]:
    """Renews leases on one stream and returns the times to live that the member answers."""
    stream = member.client.stream("Lease.LeaseKeepAlive")
    for lease in leases:
        stream.send(ID=lease)
    answers = [stream.next() for _ in leases]
    stream.close()
    assert {answer.header.member_id for answer in answers} == {member.id}, answers
    found = {answer.ID: answer.TTL for answer in answers}
    return [found[lease] for lease in leases]


@KINDS_OF_CLUSTERS
def test_every_member_renews_leases(cluster_with, kinds):
    cluster = led_by_first(cluster_with, kinds)
    for number, member in enumerate(cluster.members):
        member.ask("Lease.LeaseGrant", ID=number + 1, TTL=TTL)
    for member in cluster.members:
        assert keep_alive(member, 1, 2, 3, 99) == [TTL, TTL, TTL, 0], member


@KINDS_OF_CLUSTERS
def test_every_member_knows_the_time_that_is_left(cluster_with, kinds):
    cluster = led_by_first(cluster_with, kinds)
    cluster.members[1].ask("Lease.LeaseGrant", ID=7, TTL=TTL)
    cluster.members[2].put("a", lease=7)
    cluster.members[2].put("b", lease=7)
    # So that less is left than was granted: a follower that answered for itself would say the whole time.
    wait_until(lambda: cluster.members[0].ask("Lease.LeaseTimeToLive", ID=7).TTL < TTL - 1, "time to pass")
    for member in cluster.members:
        answer = member.ask("Lease.LeaseTimeToLive", ID=7, keys=True)
        # Genuine etcd tells the keys in any order.
        assert (answer.ID, answer.grantedTTL, sorted(answer.keys)) == (7, TTL, [b"a", b"b"]), member
        assert 0 < answer.TTL < TTL - 1, member
        assert answer.header.member_id == member.id
        gone = member.ask("Lease.LeaseTimeToLive", ID=8, keys=True)
        assert (gone.ID, gone.TTL, gone.grantedTTL, list(gone.keys)) == (8, -1, 0, []), member


@KINDS_OF_CLUSTERS
def test_many_renewals_through_followers(cluster_with, kinds):
    cluster = led_by_first(cluster_with, kinds)
    leases = list(range(1, 301))
    cluster.each(lambda lease: cluster.members[0].ask("Lease.LeaseGrant", ID=lease, TTL=TTL), leases[:50])
    for lease in leases[50:]:
        cluster.members[0].ask("Lease.LeaseGrant", ID=lease, TTL=TTL)
    for follower in cluster.members[1:]:
        assert keep_alive(follower, *leases) == [TTL] * len(leases), follower


@KINDS_OF_CLUSTERS
def test_renewals_wait_for_the_next_leader(cluster_with, kinds):
    cluster = led_by_first(cluster_with, kinds)
    follower = cluster.members[1]
    follower.ask("Lease.LeaseGrant", ID=7, TTL=TTL)
    stream = follower.client.stream("Lease.LeaseKeepAlive")
    stream.send(ID=7)
    assert stream.next().TTL == TTL
    cluster.members[0].kill()
    stream.send(ID=7)
    assert stream.next().TTL == TTL
    assert follower.ask("Lease.LeaseTimeToLive", ID=7).grantedTTL == TTL
    stream.close()


@KINDS_OF_CLUSTERS
def test_a_lease_ends_everywhere(cluster_with, kinds):
    cluster = led_by_first(cluster_with, kinds)
    cluster.members[1].ask("Lease.LeaseGrant", ID=7, TTL=1)
    cluster.members[2].put("a", lease=7)
    for member in cluster.members:
        wait_until(lambda: member.get("a", serializable=True) is None, f"the key of the lease to go at {member}")
    assert [list(member.ask("Lease.LeaseLeases").leases) for member in cluster.members] == [[], [], []]
    cluster.assert_equal_hashes()
