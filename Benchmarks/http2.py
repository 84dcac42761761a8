"""gRPC puts over one HTTP/2 connection, with frames made by hand, so that a write is timed to the moment of its answer.

Python's standard library only. It does what a failover measurement needs and no more: requests with small bodies are sent
without waiting, answers are told by their DATA frames (a refused call has none), and flow control is left at what the
protocol starts with, which some thousand small answers do not use up.
"""

import select
import socket
import time

import load

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
ACK, END_STREAM, END_HEADERS = 0x1, 0x1, 0x4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header field in HPACK's plainest form: a literal without indexing, name and value as they are."""
    assert len(name) < 127 and len(value) < 127
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


class Connection:
    """A connection to one member."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.headers = b"".join(literal(name, value) for name, value in (
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/etcdserverpb.KV/Put"),
            (b":authority", b"127.0.0.1:%d" % port), (b"content-type", b"application/grpc"), (b"te", b"trailers"),
        ))
        self.next_stream = 1
        self.received = b""
        # When each request was sent that has no answer so far.
        self.sent: dict[int, float] = {}
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))

    def put(self, key: bytes, value: bytes) -> None:
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.sent[stream] = time.monotonic()
        self.socket.sendall(
            frame(HEADERS, END_HEADERS, stream, self.headers) + frame(DATA, END_STREAM, stream, load.put_request(key, value)))

    def receive(self, timeout: float) -> list[float]:
        """When the requests were sent that have been answered with success within `timeout` seconds."""
        if not select.select([self.socket], [], [], timeout)[0]:
            return []
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError("the member closed the connection")
        self.received += chunk
        answered = []
        while len(self.received) >= 9:
            length = int.from_bytes(self.received[:3], "big")
            if len(self.received) < 9 + length:
                break
            kind, flags = self.received[3], self.received[4]
            stream = int.from_bytes(self.received[5:9], "big") & 0x7FFFFFFF
            payload, self.received = self.received[9:9 + length], self.received[9 + length:]
            if kind == DATA and length and stream in self.sent:
                answered.append(self.sent.pop(stream))
            elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
                self.sent.pop(stream, None)
            elif kind == SETTINGS and not flags & ACK:
                self.socket.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.socket.sendall(frame(PING, ACK, 0, payload))
            elif kind == GOAWAY:
                raise ConnectionError("the member goes away")
        return answered

    def close(self) -> None:
        self.socket.close()
