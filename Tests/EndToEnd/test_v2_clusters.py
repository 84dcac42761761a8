"""Version-2 keys in clusters of etcd 3.4 and ours: one state on all, through leaders, snapshots and data directories."""

import base64
import json
import random
import re

import pytest

from harness import settings
from harness.api import Client
from harness.cluster import GO, OURS, Cluster, ClusterMember
from harness.v2 import V2, Answer, Stream, tree, without_times
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



def test_changes_of_members(cluster_with):
    """Members are added, changed and removed over this API as over etcd's."""
    def run(kind: str) -> list[str]:
        cluster = cluster_with(kind, kind, kind, **{"enable-v2": True})
        leader = cluster.leader()
        v2 = V2(leader)
        told = []

        def ask(method: str, path: str, body: str | None = None) -> Answer:
            found = []

            def answered() -> bool:
                # The strict check wants every connection to be some seconds old.
                answer = v2.request(method, path, body, headers={"Content-Type": "application/json"} if body else None)
                found.append(answer)
                return answer.status != 500

            wait_until(answered, f"{method} {path}", 40.0, interval=0.25)
            text = found[-1].body
            for number, member in enumerate(cluster.members):
                text = text.replace(f"{member.id:x}", f"ID{number}").replace(member.endpoint, f"CLIENT{number}").replace(member.peer_url, f"PEER{number}")
            told.append(f"{found[-1].status} {re.sub('[0-9a-f]{14,16}', 'NEW', text)}")
            return found[-1]

        follower = next(member for member in cluster.members if member is not leader)
        ask("GET", "/v2/members")
        ask("POST", "/v2/members", f'{{"peerURLs":["{follower.peer_url}"]}}')
        added = ask("POST", "/v2/members", '{"peerURLs":["http://127.0.0.1:9"]}').json()["id"]
        ask("GET", "/v2/members")
        ask("PUT", f"/v2/members/{added}", '{"peerURLs":["http://127.0.0.1:10","http://127.0.0.1:9"]}')
        ask("PUT", f"/v2/members/{added}", f'{{"peerURLs":["{follower.peer_url}"]}}')
        ask("DELETE", f"/v2/members/{added}")
        ask("DELETE", f"/v2/members/{added}")
        gone = v2.request("PUT", f"/v2/members/{added}", '{"peerURLs":["http://127.0.0.1:11"]}', headers={"Content-Type": "application/json"})
        told.append(f"{gone.status} {gone.body}")
        ask("GET", "/v2/members")
        return told

    by_order = [sorted_members(run(kind)) for kind in (GO, OURS)]
    assert by_order[0] == by_order[1]


def sorted_members(texts: list[str]) -> list[str]:
    """Lists of members are in the order of ids, which two clusters do not share."""
    sorted_texts = []
    for text in texts:
        status, _, body = text.partition(" ")
        if body.startswith('{"members"'):
            members = sorted(json.loads(body)["members"], key=lambda member: member["peerURLs"])
            body = json.dumps([{name: value for name, value in member.items() if name != "id"} for member in members])
        sorted_texts.append(f"{status} {body}")
    return sorted_texts


def test_users_of_version_2_are_not_passed_over(member_with):
    """Where etcd 3.4 asks for its v2 users, ours, which has none, lets nobody in: it answers as etcd does who says no name."""
    member = member_with(settings.GENUINE, "--enable-v2").start()
    v2 = V2(member)
    v2.put("/a", "1")
    root = {"Authorization": "Basic " + base64.b64encode(b"root:pw").decode(), "Content-Type": "application/json"}
    assert v2.request("PUT", "/v2/auth/users/root", '{"user":"root","password":"pw"}', headers=root).status == 201
    assert v2.request("PUT", "/v2/auth/enable", "", headers=root).status == 200
    assert v2.request("DELETE", "/v2/auth/roles/guest", headers=root).status == 200

    def ask() -> list[str]:
        del v2.transcript[:]
        v2.get("/a")
        v2.get("/a", quorum="true")
        v2.get("/a", wait="true")
        v2.put("/a", "2")
        v2.post("/a", "2")
        v2.delete("/a")
        for method in ("POST", "PUT", "DELETE"):
            path = "/v2/members" if method == "POST" else "/v2/members/8e9e05c52164694d"
            v2.request(method, path, '{"peerURLs":["http://localhost:2390"]}', headers={"Content-Type": "application/json"})
        v2.request("GET", "/v2/members")
        v2.request("GET", "/v2/machines")
        return list(v2.transcript)

    asked = ask()
    member.stop()
    member.binary = settings.UNDER_TEST
    member.start()
    assert ask() == asked
    # By no name either.
    assert v2.request("GET", "/v2/keys/a", headers=root).status == 401
