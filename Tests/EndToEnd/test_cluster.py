"""Three members of ours: tables as genuine etcd's, failures, restarts, catching up."""

import os
import random

from harness.api import Failure
from harness.cluster import GO, OURS, Cluster
from harness.etcdctl import Session
from harness.load import Load
from test_mixed_clusters import SNAPSHOTS, snapshots, write_much

SEED = int(os.environ.get("ETCD_CLUSTER_SEED", "20261121"))
THREE = (OURS, OURS, OURS)


def table(cluster: Cluster, *command: str) -> str:
    session = Session(cluster.members[0])
    done = session("--endpoints", ",".join(cluster.endpoints()), *command, "-w", "table")
    assert done.ok, done
    return done.output


def test_the_member_list_is_genuine_etcds(directory):
    """The same names, URLs and token give the same ids and the same table. One cluster runs after the other."""
    ours = Cluster(directory / "ours", THREE)
    genuine = Cluster(directory / "genuine", (GO, GO, GO))
    for one, other in zip(ours.members, genuine.members):
        other.port, other.peer_port = one.port, one.peer_port
        other.initial_cluster = one.initial_cluster
    tables = []
    for cluster in (genuine, ours):
        try:
            cluster.start()
            tables.append(table(cluster, "member", "list"))
            # Each member lists the same.
            assert [table(cluster, "--endpoints", endpoint, "member", "list") for endpoint in cluster.endpoints()] == [tables[-1]] * 3
        finally:
            cluster.close()
    assert tables[1] == tables[0]


def test_status_and_health_of_all(cluster_with):
    cluster = cluster_with(*THREE)
    leader = cluster.leader()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(cluster, "endpoint", "status", "--cluster").splitlines()]
    headings = next(row for row in rows if "ENDPOINT" in row)
    by_endpoint = {row[0]: dict(zip(headings, row)) for row in rows if row[0].startswith("http")}
    assert set(by_endpoint) == {f"http://{member.endpoint}" for member in cluster.members}
    for member in cluster.members:
        row = by_endpoint[f"http://{member.endpoint}"]
        assert row["ID"] == f"{member.id:x}"
        assert row["IS LEADER"] == ("true" if member is leader else "false")
        assert row["IS LEARNER"] == "false" and row["ERRORS"] == ""
    assert len({row["RAFT TERM"] for row in by_endpoint.values()}) == 1
    assert table(cluster, "endpoint", "health", "--cluster").count("true") == 3


def test_the_leader_is_killed_again_and_again(cluster_with):
    cluster = cluster_with(*THREE)
    with Load(cluster) as load:
        for _ in range(4):
            leader = cluster.leader()
            load.wait_progress()
            leader.kill()
            assert cluster.leader() is not leader
            load.wait_progress()
            leader.start()
    load.check_everywhere()


def test_all_are_killed_and_come_back(cluster_with):
    choice = random.Random(SEED)
    cluster = cluster_with(*THREE, **SNAPSHOTS)
    cluster.members[0].ask("Lease.LeaseGrant", ID=9, TTL=6000)
    with Load(cluster) as load:
        for _ in range(4):
            load.wait_progress(choice.randrange(1, 120))
            cluster.kill_all()
            for member in cluster.members:
                member.launch()
            cluster.wait_healthy()
            cluster.leader()
        load.wait_progress()
    load.check_everywhere()
    assert [lease.ID for lease in cluster.members[1].ask("Lease.LeaseLeases").leases] == [9]


def test_without_a_majority_nothing_is_acknowledged(cluster_with):
    cluster = cluster_with(*THREE)
    cluster.members[0].put("before", "1")
    cluster.wait_applied(cluster.revision())
    alone, others = cluster.members[0], cluster.members[1:]
    for member in others:
        member.kill()
    answer = alone.call("KV.Put", key=b"alone", value=b"1", timeout=20)
    assert isinstance(answer, Failure) and answer.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"), answer
    answer = alone.call("KV.Range", key=b"before", timeout=20)
    assert isinstance(answer, Failure) and answer.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"), answer
    assert alone.get("before", serializable=True) == "1"
    for member in others:
        member.launch()
    cluster.wait_healthy()
    assert alone.get("before") == "1"
    alone.put("after", "1")
    cluster.assert_equal_hashes()


def test_a_follower_catches_up_from_the_log_and_from_a_snapshot(cluster_with):
    cluster = cluster_with(*THREE, **SNAPSHOTS)
    leader = cluster.leader()
    behind = cluster.followers()[0]
    leader.put("first")
    cluster.wait_applied(cluster.revision())
    behind.kill()
    for number in range(3):
        leader.put(f"few/{number}")
    behind.start()
    cluster.wait_applied(cluster.revision())
    assert not snapshots(behind), "three entries came as a snapshot"
    behind.kill()
    write_much(leader, "much")
    behind.start()
    cluster.wait_applied(cluster.revision())
    assert snapshots(behind)
    cluster.assert_equal_hashes()
    cluster.move_leader(behind)
    behind.put("behind", "leads")
    assert leader.get("behind") == "leads"


def test_a_fourth_and_a_fifth_member_join_and_the_first_leave(cluster_with):
    cluster = cluster_with(*THREE, **SNAPSHOTS)
    first = list(cluster.members)
    write_much(cluster.leader(), "before")
    with Load(cluster) as load:
        cluster.add(OURS)
        cluster.add(OURS)
        load.wait_progress()
        for member in first:
            cluster.remove(member)
            load.wait_progress()
    load.check_everywhere()
    assert len(cluster.listed()) == 2


def test_the_cluster_grows_from_one_member(cluster_with):
    """The step from one to two is the one in which the old member alone is the majority."""
    cluster = cluster_with(OURS)
    write_much(cluster.members[0], "alone")
    for size in (2, 3):
        cluster.add(OURS)
        cluster.members[-1].put(f"size/{size}", "")
        cluster.assert_equal_hashes()
    assert [member.get("size/2") for member in cluster.members] == [""] * 3
