"""What the member answers over HTTP besides the API: checks of its health, variables, and listeners for one use each."""

import http.client
import json
import re
import socket

import pytest

from harness.gateway import Gateway, WebSocket, b64
from harness.member import Member
from harness.ports import free_port
from harness.waiting import wait_until

pytestmark = pytest.mark.ours_only


def ask(port: int, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers.get("Content-Type", ""), response.read().decode()
    finally:
        connection.close()


PLAIN = "text/plain; charset=utf-8"


def test_health_checks(member_with):
    """`/livez` and `/readyz` as etcd has them since 3.5.11, and `/health` with its reasons."""
    member = member_with().start()
    every = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"]
    verbose = "".join(f"[+]{name} ok\n" for name in every) + "ok\n"
    for path, answer in [
        ("/livez", "ok\n"), ("/livez?verbose", "[+]serializable_read ok\nok\n"), ("/readyz", "ok\n"),
        ("/readyz?verbose", verbose), ("/readyz?verbose&exclude=non_learner&exclude=nope",
                                       verbose.replace("[+]non_learner ok\n", "")),
        *((f"/readyz/{name}?verbose=1", f"[+]{name} ok\nok\n") for name in every),
        ("/livez/serializable_read", "ok\n"),
    ]:
        assert ask(member.port, path) == (200, PLAIN, answer), path
    for path in ("/livez/non_learner", "/readyz/", "/readyz/nope", "/livez/serializable_read/x"):
        assert ask(member.port, path) == (404, PLAIN, "404 page not found\n"), path
    assert ask(member.port, "/readyz", "POST")[0] == 405
    assert ask(member.port, "/health") == (200, PLAIN, '{"health":"true","reason":""}')
    metrics = ask(member.port, "/metrics")[2]
    assert re.search(r'^etcd_server_healthcheck{[^}]*"linearizable_read"[^}]*} 1$', metrics, re.MULTILINE)
    assert re.search(r'^etcd_server_healthchecks_total{[^}]*"livez"[^}]*} [1-9]', metrics, re.MULTILINE)


def test_alarms_in_health_checks(member_with):
    member = member_with().start()
    gateway = Gateway(member)
    gateway.post("/v3/maintenance/alarm", {"action": "ACTIVATE", "alarm": "NOSPACE", "memberID": "5"})
    assert ask(member.port, "/health") == (503, PLAIN, '{"health":"false","reason":"ALARM NOSPACE"}\n')
    assert ask(member.port, "/health?exclude=NOSPACE")[0] == 200
    assert ask(member.port, "/readyz")[0] == 200
    gateway.post("/v3/maintenance/alarm", {"action": "ACTIVATE", "alarm": "CORRUPT", "memberID": "5"})
    assert ask(member.port, "/health?exclude=NOSPACE")[2] == '{"health":"false","reason":"ALARM CORRUPT"}\n'
    assert ask(member.port, "/health?exclude=NOSPACE&exclude=CORRUPT")[0] == 200
    status, kind, body = ask(member.port, "/readyz")
    assert (status, kind) == (503, PLAIN)
    assert "[-]data_corruption failed: alarm activated: CORRUPT\n" in body and "[+]linearizable_read ok\n" in body
    assert ask(member.port, "/readyz?exclude=data_corruption")[0] == 200
    assert ask(member.port, "/livez")[0] == 200


def test_health_without_a_leader(cluster_with):
    """Two of three members gone: the third lives, can be read from, and is not ready."""
    cluster = cluster_with("ours", "ours", "ours")
    for member in cluster.members[1:]:
        member.kill()
    port = cluster.members[0].port
    wait_until(lambda: "RAFT NO LEADER" in ask(port, "/health")[2], "the member to miss its leader", 30)
    assert ask(port, "/health?serializable=true")[0] == 200
    assert ask(port, "/livez")[0] == 200
    assert ask(port, "/readyz/serializable_read")[0] == 200
    assert ask(port, "/readyz/data_corruption")[0] == 200
    status, kind, body = ask(port, "/readyz")
    assert (status, kind) == (503, PLAIN)
    assert re.search(r"^\[-\]linearizable_read failed: etcdserver: .+$", body, re.MULTILINE), body
    assert "[+]serializable_read ok\n" in body and "[+]non_learner ok\n" in body
    assert ask(port, "/readyz/linearizable_read")[0] == 503
    assert ask(port, "/readyz?exclude=linearizable_read")[0] == 200


def test_health_of_a_learner(cluster_with):
    """It lives, and is not ready for what clients want of members."""
    cluster = cluster_with("ours")
    port = cluster.add("ours", learner=True).port
    assert ask(port, "/livez")[0] == 200
    status, kind, body = ask(port, "/readyz")
    assert (status, kind) == (503, PLAIN)
    assert "[-]non_learner failed: not supported for learner\n" in body
    assert ask(port, "/readyz/non_learner")[0] == 503
    wait_until(lambda: ask(port, "/readyz?exclude=non_learner")[0] == 200, "the learner to follow", 30)
    wait_until(lambda: ask(port, "/health")[0] == 200, "the learner to be healthy", 30)


def test_debug_variables(member_with):
    member = member_with().start()
    status, kind, body = ask(member.port, "/debug/vars")
    assert (status, kind) == (200, "application/json; charset=utf-8")
    variables = json.loads(body)
    assert variables["cmdline"][0] == member.binary
    assert variables["file_descriptor_limit"] > 0
    assert variables["memstats"]["Alloc"] > 0
    raft = variables["raft.status"]
    assert raft["raftState"] == "StateLeader" and raft["lead"] == raft["id"] and raft["applied"] <= raft["commit"]
    assert raft["progress"][raft["id"]]["state"] == "StateReplicate"


def test_log_level(member_with):
    member = member_with().start()
    assert ask(member.port, "/config/local/log", "PUT", '{"level":"debug"}')[0] == 204
    assert ask(member.port, "/config/local/log", "PUT", '{"Level":5}')[0] == 400


def test_profiles_are_none_of_go(member_with):
    assert ask(member_with().start().port, "/debug/pprof/heap")[0] == 404
    assert ask(member_with(None, "--enable-pprof").start().port, "/debug/pprof/heap")[0] == 501


def test_listeners_for_metrics(member_with):
    """`--listen-metrics-urls`: metrics and health, and nothing else."""
    port = free_port()
    member = member_with(None, "--listen-metrics-urls", f"http://127.0.0.1:{port}").start()
    assert "etcd_server_has_leader 1" in ask(port, "/metrics")[2]
    assert ask(port, "/health")[0] == ask(port, "/readyz")[0] == ask(port, "/livez")[0] == 200
    for path in ("/version", "/v3/kv/range", "/debug/vars", "/v2/keys"):
        assert ask(port, path, "POST", "{}") == (404, PLAIN, "404 page not found\n")
    assert "etcd_server_has_leader 1" in ask(member.port, "/metrics")[2]


def test_listeners_for_http(member_with):
    """`--listen-client-http-urls`: HTTP there, and then nothing but gRPC at the client URLs."""
    import grpc

    port = free_port()
    member = member_with(None, "--listen-client-http-urls", f"http://127.0.0.1:{port}").launch()
    wait_until(lambda: listens(port) and ask(port, "/health")[0] == 200, "the member to be healthy", 30)
    assert ask(port, "/v3/kv/put", "POST", json.dumps({"key": b64("a")}))[0] == 200
    assert ask(port, "/version")[0] == 200
    with socket.create_connection(("127.0.0.1", member.port), timeout=20) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert plain.recv(100) == b""

    def call(port: int) -> bytes:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            method = channel.unary_unary("/etcdserverpb.KV/Range", lambda x: x, lambda x: x)
            return method(b"\x0a\x01a", timeout=20)

    assert call(member.port)
    with pytest.raises(grpc.RpcError):
        call(port)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


def test_a_watch_both_ways_at_once(member_with):
    """Requests of a stream may follow while its answers come, which Go's servers do not do over HTTP/1.1."""
    member = member_with().start()
    with socket.create_connection(("127.0.0.1", member.port), timeout=20) as client:
        file = client.makefile("rb")

        def send(value: dict) -> None:
            data = json.dumps(value).encode()
            client.sendall(b"%x\r\n%s\r\n" % (len(data), data))

        client.sendall(b"POST /v3/watch HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        send({"create_request": {"key": b64("a")}})

        def result() -> dict:
            while True:
                line = file.readline()
                assert line, "the stream ended"
                if line.startswith(b"{"):
                    return json.loads(line)["result"]

        assert result()["created"]
        send({"create_request": {"key": b64("b"), "watch_id": 7}})
        assert result()["watch_id"] == "7"
        Gateway(member).post("/v3/kv/put", {"key": b64("b")})
        assert result()["events"][0]["kv"]["key"] == b64("b")
        send({"cancel_request": {"watch_id": "7"}})
        assert result()["canceled"]


def test_large_values(member_with):
    """A value of 1.5 MB goes both ways; a larger one is refused with gRPC's words, one beyond all bounds by HTTP's."""
    member = member_with().start()
    gateway = Gateway(member)
    value = b64(b"x" * 1_500_000)
    assert gateway.ask("POST", "/v3/kv/put", {"key": b64("a"), "value": value})[0] == 200
    assert json.loads(gateway.post("/v3/kv/range", {"key": b64("a")}))["kvs"][0]["value"] == value
    status, body = gateway.ask("POST", "/v3/kv/put", {"key": b64("a"), "value": b64(b"x" * 1_600_000)})
    assert (status, json.loads(body)["message"]) == (400, "etcdserver: request is too large")
    status, body = gateway.ask("POST", "/v3/kv/put", {"key": b64("a"), "value": b64(b"x" * 2_200_000)})
    assert status == 429 and "received message larger than max" in body
    status, body = gateway.ask("POST", "/v3/kv/put", {"key": b64("a"), "value": "A" * 5_000_000})
    assert status == 429 and "request larger than max" in body


def test_rangestream(member_with):
    """A path that etcd does not have: the pieces of a large range as lines."""
    member = member_with().start()
    gateway = Gateway(member)
    for number in range(40):
        gateway.post("/v3/kv/put", {"key": b64(f"k{number:02}"), "value": b64("v" * 100_000)})
    connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=20)
    connection.request("POST", "/v3/kv/rangestream", json.dumps({"key": b64("k"), "range_end": b64("l")}))
    pieces = [json.loads(line)["result"]["range_response"] for line in connection.getresponse()]
    assert len(pieces) > 2
    keys = [pair["key"] for piece in pieces for pair in piece.get("kvs", [])]
    assert keys == [b64(f"k{number:02}") for number in range(40)]
    assert pieces[-1]["count"] == "40"
    connection.close()


def test_snapshot_in_json(member_with, tmp_path):
    member = member_with().start()
    connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=20)
    connection.request("POST", "/v3/maintenance/snapshot", "{}")
    import base64
    import hashlib

    data = b"".join(base64.b64decode(json.loads(line)["result"].get("blob", "")) for line in connection.getresponse())
    connection.close()
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]


def test_many_requests_on_one_connection(member_with):
    member = member_with().start()
    connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=20)
    connection.connect()
    own = connection.sock.getsockname()
    for number in range(50):
        connection.request("POST", "/v3/kv/put", json.dumps({"key": b64(f"{number}")}))
        assert connection.getresponse().read().startswith(b'{"header"')
        connection.request("POST", "/v3/lease/keepalive", '{"ID":"5"}')
        assert connection.getresponse().read().startswith(b'{"result"')
    assert connection.sock.getsockname() == own
    connection.close()


def test_hostile_websockets(member_with):
    member = member_with().start()
    # A frame that is larger than anything may be, one of no known kind, a continuation of nothing, a half message.
    for frames in ([("x" * 9_000_000, 1, True)], [("a", 3, True)], [("a", 0, True)], [("a", 1, False), ("b", 1, True)],
                   [("\x01", 8, True)], [("", 8, True)]):
        socket = WebSocket(member, "/v3/watch")
        try:
            for payload, opcode, fin in frames:
                socket.send(payload, opcode, fin)
            while (frame := socket.receive()) is not None:
                assert frame[0] in (8, 10), frame
        except (BrokenPipeError, ConnectionResetError):
            pass
        socket.close()
    # A thousand sockets that come and go leave nothing behind.
    for _ in range(1000):
        socket = WebSocket(member, "/v3/watch")
        socket.send(json.dumps({"create_request": {"key": b64("a")}}))
        socket.close()

    def watchers() -> float:
        return next(float(line.split()[1]) for line in ask(member.port, "/metrics")[2].split("\n")
                    if line.startswith("etcd_debugging_mvcc_watcher_total"))

    wait_until(lambda: watchers() == 0, "the watchers of closed sockets to go", 20)
    assert ask(member.port, "/health")[0] == 200


def test_header_floods(member_with):
    member = member_with().start()
    for flood in (b"x: " + b"a" * 200_000, b"".join(b"x%d: y\r\n" % i for i in range(2000))):
        with socket.create_connection(("127.0.0.1", member.port), timeout=20) as client:
            try:
                client.sendall(b"POST /v3/kv/range HTTP/1.1\r\nHost: a\r\n" + flood + b"\r\n\r\n")
                answer = client.recv(1000)
            except (BrokenPipeError, ConnectionResetError):
                answer = b""
            assert answer == b"" or b" 4" in answer.split(b"\r\n")[0]
    assert ask(member.port, "/health")[0] == 200


def test_the_status_of_auth(member_with):
    """A method that came after etcd 3.4."""
    gateway = Gateway(member_with().start())
    answer = json.loads(gateway.post("/v3/auth/status"))
    assert "enabled" not in answer and answer["header"]["cluster_id"]


def test_downgrade_in_json(member_with):
    gateway = Gateway(member_with().start())
    assert json.loads(gateway.post("/v3/maintenance/downgrade", {"action": "VALIDATE", "version": "3.6.0"}))["version"]
    status, body = gateway.ask("POST", "/v3/maintenance/downgrade", {"action": "CANCEL"})
    assert (status, json.loads(body)["code"]) == (412, 9)


def test_errors_of_newer_versions(member_with):
    """`--grpc-gateway-errors=v2`: as etcd 3.6 and 3.7 tell of errors."""
    gateway = Gateway(member_with(None, "--grpc-gateway-errors", "v2").start())
    message = "etcdserver: key is not provided"
    status, body = gateway.ask("POST", "/v3/kv/range", {})
    assert (status, body) == (400, '{"code":3,"message":"%s","details":[]}' % message)
    assert gateway.ask("POST", "/v3/auth/enable", {})[0] == 400
    answer = gateway.stream("/v3/watch", {"create_request": {"key": b64("a")}}, 2, Grpc_Timeout="500m")
    assert answer[1] == '{"error":{"code":4,"message":"context deadline exceeded","details":[]}}\n'


def test_hashes_have_the_paths_of_every_version(member_with):
    """`hash` is HashKV in 3.4 and 3.5, which is `hashkv` in 3.6 and 3.7."""
    member = member_with().start()
    gateway = Gateway(member)
    gateway.post("/v3/kv/put", {"key": b64("k"), "value": b64("v")})
    answers = [ask(member.port, f"/v3/maintenance/{path}", "POST", "{}") for path in ("hash", "hashkv")]
    assert answers[0] == answers[1]
    status, _, body = answers[1]
    assert status == 200 and {"header", "hash", "compact_revision"} <= set(json.loads(body))
