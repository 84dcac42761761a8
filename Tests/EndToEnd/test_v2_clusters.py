"""Version-2 keys in clusters of etcd 3.4 and ours: one state on all, through leaders, snapshots and data directories."""

import random

import pytest

from harness import settings
from harness.api import Client
from harness.cluster import GO, OURS, Cluster, ClusterMember
from harness.v2 import V2, Stream, tree, without_times
from harness.waiting import wait_until

SNAPSHOTS = {"snapshot-count": 50, "snapshot-catchup-entries": 10}
MIXED = {"Go leads": (GO, OURS, OURS), "ours leads": (OURS, GO, GO)}


def furnish(cluster: Cluster, seed: int, steps: int) -> None:
    """Writes of all kinds through all members, which are told apart by nothing."""
    choice = random.Random(seed)
    clients = [V2(member) for member in cluster.running()]
    for step in range(steps):
        v2 = choice.choice(clients)
        key = f"/{choice.choice('abc')}/{choice.choice('xyz_')}" + choice.choice(("", "/deep"))
        kind = choice.random()
        if kind < 0.5:
            v2.put(key, f"{step}", **({"ttl": "1000"} if choice.random() < 0.2 else {}))
        elif kind < 0.6:
            v2.post("/queue", str(step))
        elif kind < 0.7:
            v2.put(key, str(step), prevExist=choice.choice(("true", "false")))
        elif kind < 0.8:
            v2.put(key, str(step), prevValue=str(step - 1))
        else:
            v2.delete(key, recursive="true")


def state(member: ClusterMember) -> tuple:
    answer = V2(member).get("/", recursive="true")
    return answer.index, list(tree(answer.node)), expirations(answer.node)


def expirations(node: dict) -> list[tuple[str, str]]:
    """When each node goes, to the nanosecond: members agree on it."""
    own = [(node["key"], node["expiration"].rstrip("Z").split("+")[0])] if "expiration" in node else []
    return own + [part for child in sorted(node.get("nodes", []), key=lambda child: child["key"]) for part in expirations(child)]


def assert_same_everywhere(cluster: Cluster) -> tuple:
    """Waits for all to have applied as much, and compares all nodes."""
    found = {}

    def agree() -> bool:
        found.update({repr(member): state(member) for member in cluster.running()})
        return len({index for index, *_ in found.values()}) == 1

    wait_until(agree, "all members to be at one index of the version-2 store", 20.0)
    states = list(found.values())
    for name, other in found.items():
        assert other == states[0], name
    return states[0]


@pytest.mark.parametrize("kinds", MIXED.values(), ids=MIXED.keys())
def test_all_members_hold_the_same(cluster_with, kinds):
    cluster = cluster_with(*kinds, **{"enable-v2": True})
    for round_number, leader in enumerate(cluster.members):
        cluster.move_leader(leader)
        furnish(cluster, round_number, 60)
        index, nodes, _ = assert_same_everywhere(cluster)
        assert len(nodes) > 5
    # What expires does so everywhere, by the clock of whoever leads.
    for leader in (cluster.of_kind(GO)[0], cluster.of_kind(OURS)[0]):
        cluster.move_leader(leader)
        created = V2(leader).put("/brief", "x", ttl="1").node["modifiedIndex"]
        for member in cluster.members:
            watcher = Stream(member, "/brief", waitIndex=created + 1)
            assert watcher.next()["action"] == "expire"
            watcher.close()
        assert_same_everywhere(cluster)


@pytest.mark.parametrize("kinds", MIXED.values(), ids=MIXED.keys())
def test_snapshots_carry_the_keys(cluster_with, kinds):
    """Whoever was away for long gets a snapshot, from a leader of either kind, and watchers of old events find them."""
    cluster = cluster_with(*kinds, **SNAPSHOTS, **{"enable-v2": True})
    leader = cluster.members[0]
    cluster.move_leader(leader)
    furnish(cluster, 1, 40)
    late = cluster.members[1]
    late.kill()
    furnish(cluster, 2, 150)
    late.start()
    index, *_ = assert_same_everywhere(cluster)
    told = []
    for member in cluster.running():
        past = Stream(member, "/", recursive="true", waitIndex=index - 100)
        told.append(without_times(past.next()))
        past.close()
    assert told == told[:1] * 3
    # And it goes on from there.
    furnish(cluster, 3, 20)
    assert_same_everywhere(cluster)


@pytest.mark.parametrize("kinds", MIXED.values(), ids=MIXED.keys())
def test_directories_are_exchanged(cluster_with, kinds):
    """Each opens what the other left: snapshots, and the entries behind them."""
    cluster = cluster_with(*kinds, **SNAPSHOTS, **{"enable-v2": True})
    furnish(cluster, 4, 130)
    before = assert_same_everywhere(cluster)
    for member in cluster.members:
        cluster.exchange(member, OURS if member.kind == GO else GO)
        cluster.wait_healthy()
        after = assert_same_everywhere(cluster)
        # The member said its name again, which takes an index.
        assert after[1] == before[1] and after[2] == before[2]
    furnish(cluster, 5, 30)
    assert_same_everywhere(cluster)


def test_a_lone_directory_goes_there_and_back(member_with):
    """Ours takes up a directory of etcd 3.4 with its version-2 keys, restarts with it, and gives it back."""
    flags = ("--enable-v2", "--snapshot-count", "20")
    member = member_with(settings.GENUINE, *flags).start()
    v2 = V2(member)
    for number in range(50):
        v2.put(f"/n/{number % 7}", str(number))
    v2.put("/leased", "x", ttl="1000")

    def nodes() -> list:
        return list(tree(v2.get("/", recursive="true").node))

    before = nodes()
    for binary in (settings.UNDER_TEST, settings.UNDER_TEST, settings.GENUINE):
        if binary == settings.GENUINE:
            client = Client(member.endpoint)
            client.call("Maintenance.Downgrade", action=1, version="3.4")
            wait_until(lambda: "The server is ready to downgrade" in member.log(), "the directory to be ready for 3.4")
            client.close()
        member.stop()
        member.binary = binary
        member.start()
        assert nodes() == before
        v2.put("/after", binary)
        before = nodes()

