"""HTTP as it is on the wire: forms of requests, what ends connections, WebSockets that are refused, large answers."""

import gzip
import http.client
import json
import os
import re
import socket
import threading

import pytest

from harness.gateway import Gateway, WebSocket, b64
from harness.member import Member
from harness.pair import Pair, assert_equal_transcripts

PUT = '{"key":"YQ=="}'
LENGTH = f"Content-Length: {len(PUT)}"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket"


def request(line: str, *fields: str, body: str = "", host: str = "Host: a") -> bytes:
    return "\r\n".join([line, *([host] if host else []), *fields, "", body]).encode()


class Wire:
    """One connection, on which bytes are sent and answers read."""

    def __init__(self, member: Member):
        self.socket = socket.create_connection(("127.0.0.1", member.port), timeout=30)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> tuple[str, dict[str, str]]:
        """The next status and fields."""
        status = self.file.readline().decode().strip()
        fields = {}
        while (line := self.file.readline().decode().strip()):
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return status, fields

    def answer(self) -> tuple[str, dict[str, str], bytes]:
        """The next answer, of which the length is said or which ends with the connection."""
        status, fields = self.head()
        body = self.file.read(int(fields["content-length"])) if "content-length" in fields else self.rest()
        return status, fields, body

    def rest(self) -> bytes:
        """What comes until the connection ends, in whatever way."""
        data = b""
        try:
            while piece := self.file.read1():
                data += piece
        except ConnectionResetError:
            pass
        return data

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def compare(pair: Pair, script) -> None:
    def run(member: Member) -> list[str]:
        lines: list[str] = []
        script(member, lines)
        return lines

    assert_equal_transcripts(*pair.both(run))


def test_forms_of_requests(pair):
    """Chunks, HTTP/1.0, requests sent ahead, targets with hosts and escapes, and what breaks the rules."""
    chunks = f"5\r\n{PUT[:5]}\r\n9\r\n{PUT[5:]}\r\n0\r\n"
    get = "GET /version HTTP/1.1"
    put = "POST /v3/kv/put HTTP/1.1"
    cases = [
        request(put, LENGTH, body=PUT),
        request(put, "Transfer-Encoding: chunked", body=chunks + "\r\n"),
        request(put, "Transfer-Encoding: chunked", "Trailer: X-A", body=chunks + "X-A: b\r\n\r\n"),
        request("POST /v3/kv/put HTTP/1.0", LENGTH, body=PUT, host=""),
        request("POST /v3/kv/put HTTP/1.0", LENGTH, "Connection: keep-alive", body=PUT),
        request(put, LENGTH, "Connection: close", body=PUT),
        request(put, LENGTH, "Content-Type: application/x-www-form-urlencoded", body=PUT),
        request(put, LENGTH, "X-HTTP-Method-Override: GET", body=PUT),
        request(put, LENGTH, "Expect: miracles", body=PUT),
        request(get, host=""),
        request(get, "Host: b"),
        request(get, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        request("HEAD /version HTTP/1.1", "Connection: close"),
        request("OPTIONS * HTTP/1.1"),
        request("GET http://b/version?x HTTP/1.1"),
        request("GET /%76ersion HTTP/1.1"),
        request("POST /v3/kv%2Frange?x=y HTTP/1.1", LENGTH, body=PUT),
        request("GET /x%0d%0aSet-Cookie:y//z HTTP/1.1"),
        request("GET /%zz HTTP/1.1"),
        request(put, "Transfer-Encoding: gzip, chunked", body=chunks + "\r\n"),
        request(put, "Transfer-Encoding: Chunked", body=chunks + "\r\n"),
        request(get, host="Host: a b"), request(get, host="Host: a/b"), request(get, host="Host: a\"b"),
        request(get, host="Host: [::1]:80"), request(get, host="Host: A_b-c.~9:0"), request(get, host="Host:"),
        request(put, LENGTH, "Grpc-Timeout: 0S", body=PUT), request(put, LENGTH, "Grpc-Timeout: 1H", body=PUT),
        request(put, LENGTH, "Grpc-Timeout: -1S", body=PUT), request(put, LENGTH, "Grpc-Timeout: S", body=PUT),
    ]

    def script(member: Member, lines: list[str]) -> None:
        for case in cases:
            wire = Wire(member)
            wire.send(case)
            status, fields, body = wire.answer()
            if status.startswith("HTTP/1.1 400"):
                # Go has reasons of its own in this line.
                status = "HTTP/1.1 400"
            text = re.sub(rb'"etcdserver".*|"(cluster_id|member_id|revision|version)":"\d+"', b"", body).decode()
            shown = {name: fields.get(name) for name in ("content-type", "connection", "location")}
            if status.startswith("HTTP/1.0") and shown["connection"] == "close":
                # There it goes without saying.
                shown["connection"] = None
            if status.endswith("417 Expectation Failed"):
                shown["content-type"] = None
            lines.append(f"{case.decode()}\n{status} {shown} {text if case[:4] != b'HEAD' else ''}")
            wire.close()

    compare(pair, script)


def test_requests_ahead_and_permission_to_go_on(pair):
    def script(member: Member, lines: list[str]) -> None:
        wire = Wire(member)
        wire.send(request("POST /v3/kv/put HTTP/1.1", LENGTH, body=PUT) * 3 + request("GET /health HTTP/1.1"))
        for _ in range(4):
            status, fields, _ = wire.answer()
            lines.append(f"{status} {fields.get('connection')}")
            assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", fields["date"])
        wire.send(request("POST /v3/kv/put HTTP/1.1", LENGTH, "Expect: 100-continue"))
        lines.append(wire.head()[0])
        wire.send(PUT.encode())
        lines.append(wire.answer()[0])
        wire.close()

    compare(pair, script)


def test_who_sends_no_more_gets_the_answer(pair):
    """`printf … | nc`: the end of the request is the end of what the client sends."""

    def script(member: Member, lines: list[str]) -> None:
        for path in ("/version", "/health", "/debug/vars"):
            wire = Wire(member)
            wire.send(request(f"GET {path} HTTP/1.1"))
            wire.socket.shutdown(socket.SHUT_WR)
            lines.append(wire.head()[0])
            wire.close()

    compare(pair, script)


def test_websockets_that_cannot_be(pair):
    """What asks for a WebSocket and breaks its rules is answered; one may follow other requests on its connection."""
    good = (UPGRADE, "Sec-WebSocket-Version: 13", KEY)
    cases = [
        request("GET /v3/watch HTTP/1.1", UPGRADE, "Sec-WebSocket-Version: 12", KEY),
        request("GET /v3/watch HTTP/1.1", UPGRADE, "Sec-WebSocket-Version: 13"),
        request("POST /v3/watch HTTP/1.1", *good, "Content-Length: 0"),
        request("GET /v3/nope HTTP/1.1", *good),
        request("GET /nope HTTP/1.1", *good),
        request("GET /v3/watch HTTP/1.1", *good, "Sec-WebSocket-Protocol: other"),
    ]

    def script(member: Member, lines: list[str]) -> None:
        for case in cases:
            wire = Wire(member)
            wire.send(case)
            status, fields = wire.head()
            body = wire.file.read(int(fields.get("content-length", 0)))
            shown = [fields.get(name) for name in ("sec-websocket-version", "sec-websocket-accept", "sec-websocket-protocol")]
            lines.append(f"{case.decode()}\n{status} {shown} {body}")
            if b"/v3/nope" in case:
                lines.append(str(wire.file.read()))
            wire.close()
        wire = Wire(member)
        wire.send(request("GET /health HTTP/1.1") + request("POST /v3/kv/put HTTP/1.1", LENGTH, body=PUT))
        wire.answer(), wire.answer()
        wire.send(request("GET /v3/watch HTTP/1.1", *good))
        lines.append(f"after others: {wire.head()[0]}")
        wire.close()

    compare(pair, script)


def test_log_levels(pair):
    """`/config/local/log` as 3.4 reads it; the names that zap has besides, which 3.4 does not know, are taken too."""
    bodies = [
        *(json.dumps({"level": level}) for level in ("INFO", "debug", "notice", "critical", "trace", "warning", "D", "3", "", "<")),
        '{"LEVEL":"info"}', "{}", "null", "[]", '"x"', '{"level":5}', '{"level":null}', '{"x":{"y":[1]},"level":"info"}',
        '{"level":"info"} trailing', '{"level":"info"}{"level":"nope"}', '{"level":"info","level":"nope"}',
        '{"level":"info",}', "", "{", "5", '{"level":"info"}',
    ]

    def script(member: Member, lines: list[str]) -> None:
        gateway = Gateway(member)
        for body in bodies:
            gateway.ask("PUT", "/config/local/log", body)
        for path in ("/config/local/log/", "/config/local", "/debug/vars/", "/version/", "/metrics/", "/health/"):
            gateway.ask("GET", path)
        lines += gateway.transcript

    compare(pair, script)


def test_compressed_metrics(pair):
    def script(member: Member, lines: list[str]) -> None:
        for encodings in ("gzip", "deflate, gzip;q=1.0", "br", "identity"):
            connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=30)
            connection.request("GET", "/metrics", headers={"Accept-Encoding": encodings, "Accept": "application/openmetrics-text"})
            answer = connection.getresponse()
            body = answer.read()
            encoding = answer.headers.get("Content-Encoding")
            text = gzip.decompress(body) if encoding == "gzip" else body
            assert b"etcd_server_has_leader 1\n" in text
            lines.append(f"{encodings}: {encoding} {answer.headers['Content-Type']}")
            connection.close()

    compare(pair, script)


@pytest.mark.ours_only
def test_the_storage_version_is_told(member_with):
    """Since etcd 3.6."""
    versions = json.loads(Gateway(member_with().start()).ask("GET", "/version")[1])
    assert versions["storage"] == versions["etcdcluster"]


@pytest.mark.ours_only
def test_an_answer_before_the_request_is_whole(member_with):
    """A body that is too large is answered at once. The rest is read nevertheless, or the client would lose the answer."""
    member = member_with().start()
    wire = Wire(member)
    size = 30_000_000
    wire.send(request("POST /v3/kv/put HTTP/1.1", f"Content-Length: {size}"))
    wire.send(b'{"key":"' + b"A" * (size - 10) + b'"}')
    status, fields, body = wire.answer()
    assert status.startswith("HTTP/1.1 429") and fields["connection"] == "close" and b"request larger than max" in body
    assert wire.file.read() == b""
    wire.close()


PAIRS = 12
VALUE = os.urandom(1_000_000)


@pytest.fixture
def full(member_with) -> Member:
    """A member with 12 MB."""
    member = member_with().start()
    connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=60)
    for number in range(PAIRS):
        connection.request("POST", "/v3/kv/put", json.dumps({"key": b64(f"k{number:02}"), "value": b64(VALUE)}))
        assert connection.getresponse().read()
    connection.close()
    return member


EVERY = {"key": b64("k"), "range_end": b64("l")}


def check(answer: dict, pairs: int = PAIRS) -> None:
    assert [pair["key"] for pair in answer["kvs"]] == [b64(f"k{number:02}") for number in range(pairs)]
    assert all(pair["value"] == b64(VALUE) for pair in answer["kvs"])
    assert answer["count"] == str(PAIRS)


@pytest.mark.ours_only
def test_large_answers_are_made_as_they_are_read(full):
    """A client that reads nothing of ten large answers costs the member little, and others are served meanwhile."""
    asked = []
    body = json.dumps({"success": [{"request_range": EVERY}, {"request_range": {**EVERY, "limit": "2"}}]})
    before = full.status_file("VmHWM")
    for _ in range(10):
        wire = Wire(full)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.send(request("POST /v3/kv/txn HTTP/1.1", f"Content-Length: {len(body)}", body=body))
        assert wire.head()[0] == "HTTP/1.1 200 OK"
        asked.append(wire)
    gateway = Gateway(full)
    gateway.post("/v3/kv/put", {"key": b64("small"), "value": b64("1")})
    check(json.loads(gateway.post("/v3/kv/range", EVERY)))
    answer = json.loads(gateway.post("/v3/kv/txn", body))
    check(answer["responses"][0]["response_range"])
    assert len(answer["responses"][1]["response_range"]["kvs"]) == 2
    # Whole, the answers and their JSON would be 280 MB.
    assert full.status_file("VmHWM") - before < 140 << 10
    for wire in asked:
        wire.close()


@pytest.mark.ours_only
def test_a_large_answer_by_websocket(full):
    """One message, in frames, and all of it before the end however slowly it is read."""
    client = WebSocket(full, "/v3/kv/range")
    client.send(json.dumps({**EVERY, "limit": "5"}))
    message = b""
    opcodes = []
    while (frame := client.receive()) is not None:
        opcodes.append(frame[0])
        message += frame[1]
    client.close()
    assert opcodes[0] == 1 and set(opcodes[1:]) == {0}
    check(json.loads(message), 5)


def test_streams_that_end_early_leave_nothing(pair):
    """Clients that go in the middle of a stream: no watcher and no lease keeper stays."""

    def run(member: Member) -> int:
        def watch() -> None:
            wire = Wire(member)
            body = json.dumps({"create_request": {"key": b64("a")}})
            wire.send(request("POST /v3/watch HTTP/1.1", f"Content-Length: {len(body)}", body=body))
            wire.head()
            wire.close()

        threads = [threading.Thread(target=watch) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        def watchers() -> float:
            text = Gateway(member).ask("GET", "/metrics")[1]
            return float(re.search(r"^etcd_debugging_mvcc_watcher_total (\S+)$", text, re.MULTILINE).group(1))

        from harness.waiting import wait_until

        wait_until(lambda: watchers() == 0, "the watchers to go", 30)
        return 0

    pair.both(run)
