"""The audit log: what is told of calls, what never is, and that nobody waits for it."""

import hashlib
import http.client
import json
import os
from pathlib import Path
from typing import Any

import grpc
import pytest

from harness import settings
from harness.api import Client, Failure, api
from harness.auth import READWRITE, UserCalls, set_up
from harness.certificates import Authority
from harness.gateway import Gateway, b64
from harness.member import Member
from harness.secure import SecureClient, SecureMember, context
from harness.v2 import V2, Stream
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


def test_a_watch_is_told_however_it_is_written(audited):
    """A request whose first field is none that etcd knows still creates a watch."""
    member, client, path = audited()
    create = api().messages.WatchRequest(create_request={"key": b"w"}).SerializeToString()
    requests = [b"\x7a\x00" + api().messages.WatchRequest(progress_request={}).SerializeToString(), b"\x7a\x00" + create]
    replies = client.channel.stream_stream("/etcdserverpb.Watch/Watch")(iter(requests), timeout=30)
    created = api().messages.WatchResponse.FromString(next(replies))
    while not created.created:
        created = api().messages.WatchResponse.FromString(next(replies))
    replies.cancel()
    wait_until(
        lambda: [{"op": "watch", "key": "w"}] in [event.get("about") for event in events(path, "Watch/Watch")],
        "the watch to be told")


def test_requests_in_json_and_of_version_2_are_told(audited):
    member, client, path = audited("--enable-v2", "--host-whitelist", "127.0.0.1")
    gateway = Gateway(member)
    gateway.post("/v3/kv/put", {"key": b64("j"), "value": b64("top secret")})
    gateway.post("/v3beta/kv/range", {"key": b64("j"), "revision": "99"})
    gateway.stream("/v3/watch", {"create_request": {"key": b64("j"), "range_end": b64("k")}}, 1)
    v2 = V2(member)
    v2.put("/dir/v%C3%A9", "top secret")
    v2.put("/dir", "top secret")
    v2.post("/queue", "top secret")
    v2.get("/", recursive="true")
    v2.delete("/none")
    watch = Stream(member, "/dir", recursive="true")
    watch.close()
    v2.request("GET", "/v2/members")
    v2.request("PUT", "/config/local/log", json.dumps({"Level": "INFO"}))
    v2.request("PUT", "/v2/keys/x", headers={"Host": "elsewhere"})
    v2.request("GET", "/metrics")

    wait_until(lambda: any(event.get("code") == "421" for event in events(path)), "the last of them")
    wait_until(lambda: len(events(path, "Watch/Watch")) == 2, "the watch and its end")
    told = [(event["method"], event.get("about"), event.get("code")) for event in events(path)]
    key = lambda op, key: [{"op": op, "key": key}]
    assert ("/etcdserverpb.KV/Put", key("put", "j"), "OK") in told
    assert ("/etcdserverpb.KV/Range", key("range", "j"), "OutOfRange") in told
    assert ("/etcdserverpb.Watch/Watch", [{"op": "watch", "key": "j", "end": "k"}], None) in told
    assert [line for line in told if not line[0].startswith("/")] == [
        ("PUT /v2/keys", key("put", "/dir/vé"), "201"), ("PUT /v2/keys", key("put", "/dir"), "403"),
        ("POST /v2/keys", key("put", "/queue"), "201"), ("GET /v2/keys", key("range", "/"), "200"),
        ("DELETE /v2/keys", key("delete", "/none"), "404"), ("GET /v2/keys", key("watch", "/dir"), "200"),
        ("GET /v2/members", None, "200"), ("PUT /config/local/log", None, "204"),
        ("PUT /v2/keys", key("put", "/x"), "421"),
    ]
    assert all(event["remote"].startswith("127.0.0.1:") and event["user"] == "-" for event in events(path))
    assert "secret" not in path.read_text()


def test_keys_of_version_2_as_hashes_and_a_sample(audited):
    member, client, path = audited("--enable-v2", "--audit-log-keys=hash", "--audit-log-sample=4")
    v2 = V2(member)
    for _ in range(8):
        v2.get("/")
    v2.get("/private")
    wait_until(lambda: any(event["code"] == "404" for event in events(path)), "the failure")
    found = events(path, "/v2/keys")
    assert [event["code"] for event in found] == ["200", "200", "404"]
    digest = hashlib.sha256(b"/private").hexdigest()
    assert found[2]["about"] == [{"op": "range", "key": {"sha256": digest}}]
    assert "private" not in path.read_text()


def test_certificates_are_told_whose_requests_they_come_with(directory):
    """Over TLS the name in the certificate stands beside the user, for requests in JSON too, where it names nobody."""
    authority = Authority(directory / "certificates")
    server = authority.issue("server")
    shown = {name: authority.issue(name) for name in ("root", "ann", "")}
    path = directory / "audit.log"
    member = SecureMember(
        settings.UNDER_TEST, directory / "ours",
        ("--cert-file", server.cert_file, "--key-file", server.key_file, "--trusted-ca-file", authority.cert_file,
         "--client-cert-auth", "--audit-log-path", str(path), "--bcrypt-cost", "4", "--enable-v2"),
        context(authority, shown["root"]))

    def ask(who: str, address: str, **headers: str) -> int:
        connection = http.client.HTTPSConnection("127.0.0.1", member.port, timeout=30, context=context(authority, shown[who]))
        connection.request("POST", address, json.dumps({"key": b64("a")}), {"Accept": "*/*", **headers})
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    clients = {}
    try:
        member.start()
        clients = {name: SecureClient(member.endpoint, authority, certificate) for name, certificate in shown.items()}
        good(clients["ann"].call("KV.Put", key=b"a"))
        assert ask("ann", "/v3/kv/range") == 200
        assert ask("ann", "/v2/keys/q") == 201
        good(clients["root"].call("Auth.UserAdd", name="root", password="p"))
        good(clients["root"].call("Auth.UserGrantRole", user="root", role="root"))
        good(clients["root"].call("Auth.AuthEnable"))
        token = good(clients["ann"].call("Auth.Authenticate", name="root", password="p")).token
        good(clients["root"].call("KV.Put", key=b"b"))
        assert clients["ann"].call("KV.Put", key=b"c").code == "PERMISSION_DENIED"
        assert clients[""].call("KV.Put", key=b"d").code == "PERMISSION_DENIED"
        assert ask("ann", "/v3/kv/put", Authorization=token) == 400
        assert ask("", "/v3/kv/put", Authorization=token) == 200
        wait_until(lambda: len(events(path, "KV/Put")) == 5, "all puts")
        of = lambda event: (event["user"], event.get("cn"), event["code"])
        assert sorted(map(of, events(path, "KV/Put"))) == sorted([
            ("-", "ann", "OK"), ("root", "root", "OK"), ("ann", "ann", "PermissionDenied"), ("", "", "PermissionDenied"),
            ("root", "", "OK")])
        assert of(events(path, "KV/Range")[0]) == ("-", "ann", "OK")
        assert of(events(path, "POST /v2/keys")[0]) == ("-", "ann", "201")
        assert of(events(path, "POST /v3/kv/put")[0]) == ("-", "ann", "400")
    finally:
        for client in clients.values():
            client.close()
        member.close()


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


def test_what_is_refused_is_told_whatever_the_sample(audited):
    """A refused watch, whose stream goes on, streams that end refused, and requests that are refused before anybody reads
    them: each with who asked and for what, as far as that is known."""
    member, client, path = audited("--audit-log-sample=1000000", "--bcrypt-cost=4")
    calls = UserCalls(member)
    set_up(calls, ("bob", [(READWRITE, "b")]))
    calls("root", "Lease.LeaseGrant", ID=255, TTL=600)
    good(calls("root", "KV.Put", key=b"secret", lease=255))
    # The one success of the sample is long past.
    watch = calls.watch("bob")
    assert not watch.created(key=b"b").canceled
    for key, end in ((b"secret", b""), (b"b", b"\0")):
        assert watch.created(key=key, range_end=end).canceled
    assert not watch.created(key=b"b").canceled
    assert calls.quiet("bob", "KV.RangeStream", key=b"secret").code == "PERMISSION_DENIED"
    stream = calls.client("bob").stream("Lease.LeaseKeepAlive")
    stream.send(ID=255)
    assert stream.next().code == "PERMISSION_DENIED"
    assert calls.quiet("bob", "KV.Put", key=b"b", value=b"x" * 3_000_000).code == "RESOURCE_EXHAUSTED"
    calls.close()
    told = lambda method: [
        (event["stage"], event["user"], event.get("about"), event.get("code")) for event in awaited_end(method)]

    def awaited_end(method: str) -> list[dict[str, Any]]:
        wait_until(lambda: any(event["stage"] in ("end", "call") for event in events(path, method)), f"the end of {method}")
        return events(path, method)

    assert told("Watch/Watch") == [
        ("refusal", "bob", [{"op": "watch", "key": "secret"}], "PermissionDenied"),
        ("refusal", "bob", [{"op": "watch", "key": "b", "end": "\x00"}], "PermissionDenied"),
        ("end", "bob", None, "Canceled")]
    assert told("KV/RangeStream") == [("end", "bob", [{"op": "range", "key": "secret"}], "PermissionDenied")]
    assert told("Lease/LeaseKeepAlive") == [("end", "bob", [{"lease": "ff"}], "PermissionDenied")]
    assert told("KV/Put") == [("call", "bob", None, "ResourceExhausted")]


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
