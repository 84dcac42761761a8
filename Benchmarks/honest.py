"""An honest client beside hostile ones, and the process that an attack runs in. Python's standard library only."""

import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

import attacks
import load
from http2 import ACK, DATA, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, frame


class HonestClient:
    """One request at a time over one connection, timed."""

    def __init__(self, port: int, token: bytes | None = None, timeout: float = 5):
        self.socket = attacks.connect(port)
        self.socket.settimeout(timeout)
        self.more = () if token is None else ((b"token", token),)
        self.stream, self.received = 1, b""
        self.socket.sendall(
            attacks.PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1))
            + frame(attacks.WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1 - 65535)))

    def call(self, path: bytes, message: bytes) -> bytes:
        stream, self.stream = self.stream, self.stream + 2
        self.socket.sendall(attacks.request(stream, path, message, *self.more))
        answer = b""
        while True:
            while len(self.received) >= 9 and len(self.received) >= 9 + int.from_bytes(self.received[:3], "big"):
                length = int.from_bytes(self.received[:3], "big")
                kind, flags = self.received[3], self.received[4]
                payload, self.received = self.received[9:9 + length], self.received[9 + length:]
                if kind == DATA:
                    answer += payload
                elif kind == SETTINGS and not flags & ACK:
                    self.socket.sendall(frame(SETTINGS, ACK, 0))
                elif kind == PING and not flags & ACK:
                    self.socket.sendall(frame(PING, ACK, 0, payload))
                elif kind in (RST_STREAM, GOAWAY):
                    raise RuntimeError(f"the honest client's call was ended by a frame of kind {kind}")
                if kind == HEADERS and flags & END_STREAM:
                    if not answer:
                        raise RuntimeError("the honest client's call was refused")
                    return answer
            try:
                chunk = self.socket.recv(1 << 16)
            except socket.timeout:
                raise RuntimeError("the honest client's call was not answered") from None
            if not chunk:
                raise RuntimeError("the honest client's connection was closed")
            self.received += chunk

    def put_and_get(self, number: int) -> None:
        """Puts a value, or reads it, in turn."""
        if number % 2:
            self.call(attacks.PUT, load.put_request(b"honest", b"v" * 100))
        else:
            self.call(attacks.RANGE, load.range_request(b"honest", False))

    def p99(self, seconds: float, rate: int) -> float:
        """Milliseconds that 99 of 100 requests stay under."""
        times, begin, number = [], time.monotonic(), 0
        while (now := time.monotonic()) < begin + seconds:
            due = begin + number / rate
            if now < due:
                time.sleep(due - now)
            number += 1
            start = time.monotonic()
            self.put_and_get(number)
            times.append(time.monotonic() - start)
        return statistics.quantiles(times, n=100)[98] * 1000


def begin_attack(name: str, port: int, seconds: float, seed: int, scale: float = 1, idle: bool = True) -> subprocess.Popen:
    """The process of an attack; what it did is the line that it prints.

    An attacker somewhere else would not take the member's cores, so here it has idle priority: the time nobody else wants.
    """
    return subprocess.Popen(
        [*(["chrt", "--idle", "0"] if idle else []), sys.executable, str(Path(attacks.__file__)), name, str(port), str(seconds), str(seed), str(scale)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
