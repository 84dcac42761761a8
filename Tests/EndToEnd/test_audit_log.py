"""The audit log: what is told of calls, what never is, and that nobody waits for it."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import grpc
import pytest

from harness.api import Client, Failure
from harness.member import Member
from harness.waiting import wait_until

pytestmark = pytest.mark.ours_only


@pytest.fixture
def audited(member_with, directory):
    """Makes a started member with an audit log and a client of it."""
    clients: list[Client] = []

    def make(*flags: str) -> tuple[Member, Client, Path]:
        path = directory / "audit.log"
        member = member_with(None, "--audit-log-path", str(path), *flags).start()
        clients.append(Client(member.endpoint))
        return member, clients[-1], path

    yield make
    for client in clients:
        client.close()


def events(path: Path, method: str = "") -> list[dict[str, Any]]:
    # A line that is being written is not whole yet.
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [event for event in map(json.loads, lines) if event["method"].endswith(method)]


def awaited(path: Path, method: str, count: int) -> list[dict[str, Any]]:
    wait_until(lambda: len(events(path, method)) >= count, f"{count} lines of {method}")
    found = events(path, method)
    assert len(found) == count, found
    return found


def good(answer: Any) -> Any:
    assert not isinstance(answer, Failure), answer
    return answer


def test_calls_are_told_with_their_keys_and_their_ends(audited):
    member, client, path = audited()
    good(client.call("KV.Put", key=b"a", value=b"top secret"))
    client.call("KV.Put", key=b"", value=b"x")
    good(client.call("KV.Txn", success=[{"request_put": {"key": b"b", "value": b"top secret"}},
                                        {"request_delete_range": {"key": b"c", "range_end": b"d"}}]))
    good(client.call("KV.Range", key=b"\xff\x00"))
    good(client.call("Lease.LeaseGrant", ID=255, TTL=100))
    good(client.call("Lock.Lock", name=b"l", lease=255))
    put, refused = awaited(path, "KV/Put", 2)
    assert put["about"] == [{"op": "put", "key": "a"}]
    assert (put["stage"], put["code"], put["user"]) == ("call", "OK", "-")
    assert put["remote"].startswith("127.0.0.1:") and put["us"] >= 0 and put["ts"].endswith("Z")
    assert refused["code"] == "InvalidArgument"
    txn, = awaited(path, "KV/Txn", 1)
    assert txn["about"] == [{"op": "put", "key": "b"}, {"op": "delete", "key": "c", "end": "d"}]
    range_, = awaited(path, "KV/Range", 1)
    assert range_["about"] == [{"op": "range", "key": {"hex": "ff00", "bytes": 2}}]
    assert awaited(path, "LeaseGrant", 1)[0]["about"] == [{"lease": "ff", "ttl": 100}]
    # A lock is one line, and not one for each call that it is made of.
    assert awaited(path, "Lock/Lock", 1)[0]["about"] == [{"name": "l"}]
    assert "secret" not in path.read_text()
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_streams_are_told_when_they_ask_and_when_they_end(audited):
    member, client, path = audited()
    watch = client.watch()
    watch.created(key=b"w", range_end=b"x")
    watch.created(key=b"y")
    asked = awaited(path, "Watch/Watch", 2)
    assert [event["about"] for event in asked] == [
        [{"op": "watch", "key": "w", "end": "x"}], [{"op": "watch", "key": "y"}]]
    assert {event["stage"] for event in asked} == {"request"} and "code" not in asked[0]
    watch.close()
    end = awaited(path, "Watch/Watch", 3)[2]
    assert (end["stage"], end["code"]) == ("end", "Canceled")


def test_keys_as_hashes_and_a_sample(audited):
    member, client, path = audited("--audit-log-keys=hash", "--audit-log-sample=5")
    for _ in range(20):
        good(client.call("KV.Range", key=b"private"))
    for _ in range(3):
        assert isinstance(client.call("KV.Range", key=b"private", revision=100), Failure)
    wait_until(lambda: sum(event["code"] != "OK" for event in events(path, "KV/Range")) == 3, "the failures")
    found = events(path, "KV/Range")
    assert sum(event["code"] == "OK" for event in found) == 4
    assert all(event["about"] == [{"op": "range", "key": {"sha256": hashlib.sha256(b"private").hexdigest()}}]
               for event in found)
    assert "private" not in path.read_text()


def test_users_are_told_and_what_they_may_not_do(audited):
    member, client, path = audited()
    good(client.call("Auth.UserAdd", name="root", password="the root's password"))
    good(client.call("Auth.UserGrantRole", user="root", role="root"))
    good(client.call("Auth.UserAdd", name="ann", password="ann's password"))
    good(client.call("Auth.AuthEnable"))
    client.call("Auth.Authenticate", name="ann", password="a wrong password")
    token = good(client.call("Auth.Authenticate", name="ann", password="ann's password")).token
    with pytest.raises(grpc.RpcError):
        client.channel.unary_unary("/etcdserverpb.KV/Put")(b"\x0a\x01k", metadata=[("token", token)], timeout=10)
    put, = awaited(path, "KV/Put", 1)
    assert (put["user"], put["code"]) == ("ann", "PermissionDenied")
    wrong, right = awaited(path, "Authenticate", 2)
    assert wrong["about"] == right["about"] == [{"name": "ann"}]
    assert (wrong["code"], right["code"]) == ("InvalidArgument", "OK")
    text = path.read_text()
    assert "password" not in text.lower().replace("userchangepassword", "") and token not in text


def test_full_files_move_aside(audited, directory):
    member, client, path = audited("--audit-log-max-megabytes=1", "--audit-log-max-files=2")
    key = b"k" * 1000
    # Some 130 kB a line, so that three files hold them all.
    for _ in range(15):
        good(client.call("KV.Txn", success=[{"request_range": {"key": key, "range_end": key}}] * 64))
    wait_until(
        lambda: sum(len(events(Path(f"{path}{suffix}"), "KV/Txn")) for suffix in ("", ".1", ".2")) == 15,
        "every call to be told in one of the files")
    assert Path(f"{path}.1").exists()
    assert all(file.stat().st_size <= 1 << 20 for file in directory.glob("audit.log*"))


def test_a_path_that_cannot_be_written_is_refused_at_the_start(member_with, directory):
    member = member_with(None, "--audit-log-path", "/nowhere/audit.log").launch()
    assert member.process.wait(30) == 1
    assert "/nowhere/audit.log: No such file or directory" in member.log()
    assert not member.data_dir.exists()
    member.process = None
