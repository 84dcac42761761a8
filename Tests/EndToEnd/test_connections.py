"""What one connection of a client may do and must answer: streams, pings, probes; on both servers alike."""

import socket
import struct
import time
from dataclasses import dataclass

import pytest

from harness import settings
from harness.api import Client, Failure
from harness.member import Member

KINDS = pytest.mark.parametrize("binary", [settings.GENUINE, settings.UNDER_TEST], ids=["genuine", "ours"])

HEADERS, SETTINGS, PING, GOAWAY = 1, 4, 6, 7
ACKNOWLEDGED, END_HEADERS = 1, 4
MAX_CONCURRENT_STREAMS = 3
ENHANCE_YOUR_CALM = 11


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


class Connection:
    """HTTP/2 by hand (RFC 9113), so that nothing is answered unless the test does."""

    def __init__(self, member: Member):
        self.socket = socket.create_connection(("127.0.0.1", member.port), timeout=60)
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.send(SETTINGS)

    def send(self, kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> None:
        self.socket.sendall(struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload)

    def frame(self) -> Frame | None:
        """The next frame; None at the end of the connection. Settings are acknowledged."""
        head = self._bytes(9)
        if head is None:
            return None
        payload = self._bytes(int.from_bytes(head[:3]))
        if payload is None:
            return None
        frame = Frame(head[3], head[4], int.from_bytes(head[5:9]), payload)
        if frame.kind == SETTINGS and not frame.flags & ACKNOWLEDGED:
            self.send(SETTINGS, ACKNOWLEDGED)
        return frame

    def _bytes(self, count: int) -> bytes | None:
        found = b""
        while len(found) < count:
            try:
                piece = self.socket.recv(count - len(found))
            except ConnectionResetError:
                return None
            if not piece:
                return None
            found += piece
        return found

    def next(self, kind: int, *others: int) -> Frame | None:
        """The next frame of one of these kinds."""
        while (frame := self.frame()) is not None and frame.kind not in (kind, *others):
            pass
        return frame

    def open(self, path: str) -> None:
        """Begins a call on stream 1, whose requests stay open."""
        fields = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]
        block = b"".join(
            b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode() for name, value in fields)
        self.send(HEADERS, END_HEADERS, 1, block)

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def connect():
    made: list[Connection] = []

    def make(member: Member) -> Connection:
        made.append(Connection(member))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def announced_limit(connection: Connection) -> int | None:
    """The streams that the server's settings allow; None when they do not say."""
    frame = connection.next(SETTINGS)
    values = dict(struct.iter_unpack(">HI", frame.payload))
    return values.get(MAX_CONCURRENT_STREAMS)


@KINDS
def test_streams_are_limited(member_with, connect, binary):
    """--max-concurrent-streams: one call more waits until another ends; other connections have their own."""
    member = member_with(binary, "--max-concurrent-streams=2").start()
    assert announced_limit(connect(member)) == 2
    client, other = Client(member.endpoint), Client(member.endpoint)
    try:
        watches = [client.watch() for _ in range(2)]
        assert [watch.created(key=b"a").created for watch in watches] == [True, True]
        late = client.call("KV.Range", key=b"a", timeout=2)
        assert isinstance(late, Failure) and late.code == "DEADLINE_EXCEEDED", late
        assert not isinstance(other.call("KV.Range", key=b"a"), Failure)
        watches[0].close()
        assert not isinstance(client.call("KV.Range", key=b"a"), Failure)
        watches[1].close()
    finally:
        client.close()
        other.close()


@KINDS
def test_no_limit_of_streams(member_with, binary):
    """Zero streams would be no service at all: it means what saying nothing means."""
    member = member_with(binary, "--max-concurrent-streams=0").start()
    client = Client(member.endpoint)
    try:
        assert not isinstance(client.call("KV.Range", key=b"a"), Failure)
    finally:
        client.close()


@KINDS
def test_a_silent_client_is_probed(member_with, connect, binary):
    """--grpc-keepalive-interval and -timeout: who answers stays, and who does not is let go of."""
    member = member_with(binary, "--grpc-keepalive-interval=1s", "--grpc-keepalive-timeout=1s").start()
    connection = connect(member)
    for _ in range(2):
        probe = connection.next(PING)
        assert probe is not None and not probe.flags & ACKNOWLEDGED
        connection.send(PING, ACKNOWLEDGED, payload=probe.payload)
    assert connection.next(PING) is not None
    while connection.frame() is not None:
        pass


def pings_taken(connection: Connection, count: int) -> tuple[int, Frame | None]:
    """How many of `count` pings, each sent a while after the answer to the one before, are answered, and the refusal."""
    for number in range(count):
        connection.send(PING, payload=struct.pack(">Q", number))
        while True:
            frame = connection.next(PING, GOAWAY)
            assert frame is not None, "the connection ended without a word"
            if frame.kind == GOAWAY:
                return number, frame
            if frame.flags & ACKNOWLEDGED:
                break
        time.sleep(0.02)
    return count, None


@KINDS
def test_a_client_may_ping_so_often(member_with, connect, binary):
    """--grpc-keepalive-min-time: with a call under way; without one, pings are not wanted at all."""
    patient = member_with(binary, "--grpc-keepalive-min-time=1ms").start()
    busy, idle = connect(patient), connect(patient)
    busy.open("/etcdserverpb.Watch/Watch")
    assert pings_taken(busy, 10) == (10, None)
    strict = member_with(binary, "--grpc-keepalive-min-time=10m").start()
    hasty = connect(strict)
    hasty.open("/etcdserverpb.Watch/Watch")
    for connection in (idle, hasty):
        _, refusal = pings_taken(connection, 10)
        assert refusal is not None
        assert int.from_bytes(refusal.payload[4:8]) == ENHANCE_YOUR_CALM
        assert refusal.payload[8:] == b"too_many_pings"
