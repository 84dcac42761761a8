"""What the peer port answers besides streams: the same as genuine etcd's, refusals included."""

import http.client
import json

import pytest

from harness.api import Client, Failure

# Of the cluster that a default member makes, and of one that this is not.
OWN, OTHER = "cdf818194e3a8c32", "12"
STREAMS = "/raft/stream"


def headers(cluster: str = OWN, version: str = "3.4.23", minimum: str = "3.0.0") -> dict[str, str]:
    return {"X-Etcd-Cluster-ID": cluster, "X-Server-Version": version, "X-Min-Cluster-Version": minimum}


QUESTIONS = (
    ("GET", "/members", {}, b""), ("POST", "/members", {}, b"x"), ("POST", "/version", {}, b""),
    ("GET", "/raft", {}, b""), ("POST", "/raft", {}, b"x"), ("POST", "/raft", headers(), b"x"),
    ("POST", "/raft", headers(OTHER), b"x"), ("POST", "/raft", headers(version="2.0.0"), b"x"),
    ("POST", "/raft", headers(minimum="9.0.0"), b"x"),
    ("GET", f"{STREAMS}/msgapp/12", headers(), b""), ("GET", f"{STREAMS}/message/12", headers(OTHER), b""),
    ("GET", f"{STREAMS}/message/zz", headers(), b""), ("GET", f"{STREAMS}/nothing/12", headers(), b""),
    ("GET", f"{STREAMS}/message/12", headers(version="2.0.0"), b""), ("POST", f"{STREAMS}/message/12", headers(), b""),
    ("GET", "/raft/snapshot", headers(), b""), ("POST", "/raft/snapshot", headers(OTHER), b"x"),
    ("GET", "/leases", {}, b""), ("GET", "/leases/internal", {}, b""), ("POST", "/leases/internal", {}, b"\xff"),
    ("GET", "/members/promote/12", {}, b""), ("POST", "/members/promote/12", {}, b""),
    ("POST", "/members/promote/zz", {}, b""), ("GET", "/nothing", {}, b""), ("GET", "/raft/", {}, b""),
)


def ask(member, method: str, path: str, fields: dict[str, str], body: bytes) -> tuple:
    connection = http.client.HTTPConnection("127.0.0.1", member.peer_port, timeout=30)
    try:
        connection.request(method, path, body=body, headers=fields)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("Content-Type"), answer.getheader("X-Etcd-Cluster-Id")
    finally:
        connection.close()


def test_answers_are_genuine_etcds(pair):
    different = {
        f"{method} {path} {fields}": answers
        for method, path, fields, body in QUESTIONS
        if len(set(answers := [ask(member, method, path, fields, body) for member in (pair.genuine, pair.ours)])) > 1
    }
    assert different == {}
    versions = [json.loads(ask(member, "GET", "/version", {}, b"")[1]) for member in (pair.genuine, pair.ours)]
    # Since 3.6 the version of the storage is told too.
    assert [list(version) for version in versions] == [["etcdserver", "etcdcluster"], ["etcdserver", "etcdcluster", "storage"]]
    for member in (pair.genuine, pair.ours):
        status, answer, kind, _ = ask(member, "GET", "/raft/probing", {}, b"")
        assert (status, kind) == (200, "text/plain; charset=utf-8")
        assert answer.startswith(b'{"OK":true,"Now":"') and answer.endswith(b'Z"}\n')


@pytest.mark.ours_only
def test_whether_the_cluster_is_being_taken_back(member_with):
    """Asked by members of 3.6 and later; 3.4 does not know the question."""
    member = member_with().start()
    client = Client(member.endpoint)
    for action, answer in ((None, b"false"), ("ENABLE", b"true"), ("CANCEL", b"false")):
        if action:
            done = client.call("Maintenance.Downgrade", action=action, version="3.6.0")
            assert not isinstance(done, Failure), done
        assert ask(member, "GET", "/downgrade/enabled", {}, b"") == (200, answer, "text/plain", OWN)
    client.close()
