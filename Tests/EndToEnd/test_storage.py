"""Defragmentation under load, and answers that are larger than what the server keeps in memory."""

import json
import random
import socket
import struct
import threading
import time
import urllib.error
import urllib.request

import pytest

from harness import bolt, settings
from harness.api import Client, Failure
from harness.etcdctl import Session
from harness.member import Member
from harness.waiting import wait_until

VALUE = b"v" * 20_000
PAIRS_PER_TXN = 50


def good(answer):
    assert not isinstance(answer, Failure), answer
    return answer


def fill(client: Client, keys: int, value: bytes = VALUE) -> int:
    """Puts `keys` keys and returns the revision."""
    revision = 0
    for start in range(0, keys, PAIRS_PER_TXN):
        answer = good(client.call("KV.Txn", success=[
            {"request_put": {"key": b"fill/%06d" % number, "value": value}}
            for number in range(start, min(keys, start + PAIRS_PER_TXN))
        ]))
        revision = answer.header.revision
    return revision


def resident_anonymous(member: Member) -> int:
    """The process's own memory in bytes, without mapped files."""
    with open(f"/proc/{member.process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


class Writers:
    """Threads that put keys of their own and remember what was acknowledged."""

    def __init__(self, member: Member, count: int = 4):
        self.member = member
        self.acknowledged: dict[bytes, bytes] = {}
        self.tried: dict[bytes, bytes] = {}
        self.refused: list[Failure] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        client = Client(self.member.endpoint)
        step = 0
        while not self._stop.is_set():
            step += 1
            key, value = b"write/%d/%d" % (number, step % 50), b"%d" % step
            self.tried[key] = value
            answer = client.call("KV.Put", key=key, value=value, timeout=20)
            if isinstance(answer, Failure):
                self.refused.append(answer)
                break
            self.acknowledged[key] = value
        client.close()

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.acknowledged) >= count or self.refused, f"{count} keys to be written")

    def finish(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def verify(self, client: Client) -> None:
        found = {kv.key: kv.value for kv in good(client.call("KV.Range", key=b"write/", range_end=b"write0")).kvs}
        for key, value in self.acknowledged.items():
            assert found.get(key) in (value, self.tried[key]), key


def hash_at(client: Client, revision: int) -> int:
    return good(client.call("Maintenance.HashKV", revision=revision)).hash


def test_defragmentation_under_load(member_with):
    """Nobody is refused, no write is lost, the history is the same and the file smaller; genuine etcd goes on with it."""
    member = member_with(None).start()
    client = Client(member.endpoint)
    fill(client, 1000)
    fill(client, 1000, b"w" * 1000)
    revision = good(client.call("KV.Range", key=b"x")).header.revision
    good(client.call("KV.Compact", revision=revision, physical=True))
    hashed = hash_at(client, revision)
    before = good(client.call("Maintenance.Status"))
    writers = Writers(member)
    writers.wait_for(100)
    # Those who come while one runs are answered, too.
    answers: list = []
    others = [
        threading.Thread(target=lambda: answers.append(client.call("Maintenance.Defragment", timeout=60))) for _ in range(3)
    ]
    for thread in others:
        thread.start()
    ctl = Session(member)
    assert ctl("--command-timeout=60s", "defrag").ok
    for thread in others:
        thread.join()
    assert not [answer for answer in answers if isinstance(answer, Failure)], answers
    writers.finish()
    assert not writers.refused, writers.refused
    after = good(client.call("Maintenance.Status"))
    assert after.dbSize < before.dbSize / 4
    assert after.dbSize == (member.data_dir / "member/snap/db").stat().st_size or after.dbSize < 16 << 20
    assert hash_at(client, revision) == hashed
    writers.verify(client)
    newest = good(client.call("KV.Range", key=b"x")).header.revision
    hashed = hash_at(client, newest)
    good(client.call("Maintenance.Downgrade", action=1, version="3.4"))
    wait_until(lambda: "The server is ready to downgrade" in member.log(), "the directory to be ready for 3.4")
    client.close()
    member.stop()
    bolt.check(member.data_dir / "member" / "snap" / "db")
    assert not list((member.data_dir / "member" / "snap").glob("*.tmp"))

    reader = member_with(settings.GENUINE)
    reader.data_dir = member.data_dir
    reader.start()
    client = Client(reader.endpoint)
    writers.verify(client)
    assert hash_at(client, newest) == hashed
    client.close()


def test_kill_during_defragmentation_under_load(member_with):
    """Whenever the process ends, one good file is there, with all that was acknowledged; what is left over goes."""
    choice = random.Random(7)
    member = member_with(None).start()
    client = Client(member.endpoint)
    revision = fill(client, 1000)
    hashed = hash_at(client, revision)
    client.close()
    leftovers = 0
    for round_number in range(6):
        writers = Writers(member)
        writers.wait_for(20)
        asking = Client(member.endpoint)
        # Its answer does not come: the member is killed under it.
        threading.Thread(target=asking.call, args=("Maintenance.Defragment",), daemon=True).start()
        time.sleep(choice.uniform(0, 0.3))
        member.kill()
        writers.finish()
        asking.close()
        directory = member.data_dir / "member" / "snap"
        leftovers += (directory / "db.tmp").exists()
        bolt.check(directory / "db")
        member.start()
        assert not (directory / "db.tmp").exists()
        client = Client(member.endpoint)
        writers.verify(client)
        assert hash_at(client, revision) == hashed
        client.close()
    print(f"{leftovers} of 6 were killed while they copied")


@pytest.mark.parametrize("threshold, shrinks", ((1, True), (500, False)))
def test_defragmentation_at_the_start(member_with, threshold, shrinks):
    member = member_with(None).start()
    client = Client(member.endpoint)
    fill(client, 200)
    good(client.call("Maintenance.Hash"))  # of what is in the file, which it brings there first
    revision = fill(client, 200, b"small")
    good(client.call("KV.Compact", revision=revision, physical=True))
    hashed = hash_at(client, revision)
    before = good(client.call("Maintenance.Status")).dbSize
    client.close()
    member.stop()
    member.flags += ("--bootstrap-defrag-threshold-megabytes", str(threshold))
    member.start()
    client = Client(member.endpoint)
    after = good(client.call("Maintenance.Status")).dbSize
    assert (after < before / 4) == shrinks
    assert hash_at(client, revision) == hashed
    client.close()


# ---- Large answers


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header field in HPACK's plainest form."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


class SlowReader:
    """A client that opens all windows, asks for everything and reads nothing."""

    def __init__(self, member: Member, path: bytes = b"/etcdserverpb.KV/Range"):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        self.socket.connect(("127.0.0.1", member.port))
        head = b"".join(literal(name, value) for name, value in (
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"etcd"),
            (b"content-type", b"application/grpc"), (b"te", b"trailers"),
        ))
        request = b"\x0a\x01\x00\x12\x01\x00"  # from the least key to the last
        windows = frame(4, 0, 0, struct.pack(">HI", 4, 2**31 - 1)) + frame(8, 0, 0, struct.pack(">I", 2**31 - 70_000))
        self.socket.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + windows + frame(1, 4, 1, head)
            + frame(0, 1, 1, b"\x00" + struct.pack(">I", len(request)) + request))

    def read_all(self) -> int:
        """Reads until the answer's end and returns how many bytes of DATA there were."""
        received, count = b"", 0
        self.socket.settimeout(30)
        while True:
            while len(received) < 9 or len(received) < 9 + int.from_bytes(received[:3], "big"):
                received += self.socket.recv(1 << 20)
            length = int.from_bytes(received[:3], "big")
            kind, flags, stream = received[3], received[4], int.from_bytes(received[5:9], "big")
            received = received[9 + length:]
            if stream == 1 and kind == 0:
                count += length
            if stream == 1 and kind in (1, 3) and flags & 1:
                return count

    def close(self) -> None:
        self.socket.close()


@pytest.mark.parametrize("method", ("Range", "RangeStream"))
def test_slow_readers_of_large_ranges(member_with, method):
    """200 clients ask for 100 MB each and read nothing. The member keeps within its bound, and others go on."""
    member = member_with(None).start()
    client = Client(member.endpoint)
    fill(client, 5000)
    whole = good(client.call("KV.Range", key=b"\0", range_end=b"\0", timeout=60))
    assert whole.ByteSize() > 100_000_000 and whole.count == 5000
    quiet = resident_anonymous(member)
    readers = [SlowReader(member, b"/etcdserverpb.KV/" + method.encode()) for _ in range(200)]
    time.sleep(1)
    most = 0
    for number in range(40):
        good(client.call("KV.Put", key=b"other", value=b"%d" % number))
        assert good(client.call("KV.Range", key=b"other")).kvs[0].value == b"%d" % number
        most = max(most, resident_anonymous(member) - quiet)
        time.sleep(0.1)
    # The named limit (LargeReads.memoryLimit), with room for the allocator.
    assert most < 640 << 20, f"{most >> 20} MiB more than before"
    print(f"at most {most >> 20} MiB")
    # One that begins to read gets all of what was there when it asked.
    if method == "Range":
        assert readers[0].read_all() == whole.ByteSize() + 5
    for reader in readers:
        reader.close()
    # Their memory and places are free again.
    assert good(client.call("KV.Range", key=b"\0", range_end=b"\0", timeout=60)).count == 5001
    client.close()


class Flood:
    """A client that makes many calls in one breath, opens all windows and reads nothing."""

    def __init__(self, member: Member, path: bytes, request: bytes, calls: int):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        self.socket.connect(("127.0.0.1", member.port))
        self.socket.settimeout(60)
        head = b"".join(literal(name, value) for name, value in (
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"etcd"),
            (b"content-type", b"application/grpc"), (b"te", b"trailers"),
        ))
        windows = frame(4, 0, 0, struct.pack(">HI", 4, 2**31 - 1)) + frame(8, 0, 0, struct.pack(">I", 2**31 - 70_000))
        message = b"\x00" + struct.pack(">I", len(request)) + request
        try:
            self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + windows + b"".join(
                frame(1, 4, 2 * call + 1, head) + frame(0, 1, 2 * call + 1, message) for call in range(calls)))
        except OSError:
            pass  # cut off


def delimited(field: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([field << 3 | 2, len(content)]) + content


BIG = delimited(1, b"big")
FLOODS = {
    "ranges": (b"/etcdserverpb.KV/Range", BIG, 3000),
    "transactions that read": (b"/etcdserverpb.KV/Txn", delimited(2, delimited(1, BIG)) * 100, 150),
    "transactions that write": (
        b"/etcdserverpb.KV/Txn", delimited(2, delimited(1, BIG)) + delimited(2, delimited(2, delimited(1, b"p"))), 3000),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_many_small_requests_for_a_large_value(member_with, kind):
    """A request of a few bytes may ask for 1.5 MB, or 150 MB. Thousands at a time do not go beyond the bound either."""
    member = member_with(None).start()
    client = Client(member.endpoint)
    good(client.call("KV.Put", key=b"big", value=b"v" * 1_500_000))
    quiet = resident_anonymous(member)
    most = 0
    floods = []
    for _ in range(8):
        floods.append(Flood(member, *FLOODS[kind]))
        most = max(most, resident_anonymous(member) - quiet)
    for number in range(20):
        good(client.call("KV.Put", key=b"other", value=b"%d" % number, timeout=60))
        most = max(most, resident_anonymous(member) - quiet)
        time.sleep(0.05)
    # Replies in queues (LargeReads.memoryLimit), those that one turn makes (MemberCore.replyBytesPerTurn), of which the last
    # may be 150 MB and grows by doubling, with room for the allocator. Without these bounds it was thousands of MiB.
    assert most < 1 << 30, f"{most >> 20} MiB more than before"
    print(f"at most {most >> 20} MiB")
    for flood in floods:
        flood.socket.close()
    # The memory is free again.
    wait_until(lambda: not isinstance(client.call("KV.Range", key=b"big"), Failure), "a large value to be read again")
    client.close()


def test_what_is_refused_when_the_memory_for_replies_is_used_up(member_with):
    """Large reads, and writes that answer with values, before they are carried out. All else goes on."""
    size = 16 << 20  # More than what sockets take of the queues while nobody reads.
    member = member_with(None, "--max-request-bytes", str(2 * size)).start()
    client = Client(member.endpoint)
    good(client.call("KV.Put", key=b"big", value=b"v" * size))
    # Below what a connection may leave unread (256 MiB) each, together above the account.
    floods = [Flood(member, *FLOODS["ranges"][:2], 12) for _ in range(3)]
    refusal = Failure("RESOURCE_EXHAUSTED", "etcdserver: too many requests")

    def is_refused(ask) -> bool:
        floods.append(Flood(member, *FLOODS["ranges"][:2], 2))
        return ask() == refusal

    for ask in (
        lambda: client.call("KV.Range", key=b"big"),
        lambda: client.call("KV.Txn", success=[{"request_range": {"key": b"big"}}]),
        lambda: Failure("RESOURCE_EXHAUSTED", refusal.details) if post(member, {"key": "Ymln"}) == 429 else None,
    ):
        wait_until(lambda: is_refused(ask), "the memory for replies to be used up")
    assert [
        client.call("KV.Txn", success=[{"request_put": {"key": b"p", "value": b"1"}}, {"request_range": {"key": b"big"}}]),
        client.call("KV.Put", key=b"big", value=b"w", prev_kv=True),
        client.call("KV.DeleteRange", key=b"big", prev_kv=True),
    ] == [refusal] * 3
    good(client.call("KV.Put", key=b"small", value=b"1"))
    assert good(client.call("KV.Range", key=b"small")).kvs[0].value == b"1"
    assert good(client.call("KV.Range", key=b"p")).count == 0, "what is refused is not carried out"
    for flood in floods:
        flood.socket.close()
    found = wait_until(lambda: answered(client, "KV.Range", key=b"big"), "the memory to be free again")
    assert len(found.kvs[0].value) == size
    client.close()


def answered(client: Client, method: str, **fields):
    answer = client.call(method, **fields)
    return None if isinstance(answer, Failure) else answer


def post(member: Member, body: dict) -> int:
    """The status of a range in JSON."""
    request = urllib.request.Request(f"http://127.0.0.1:{member.port}/v3/kv/range", json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_large_answers_are_those_of_genuine_etcd(member_with):
    """Sorted, filtered, limited, and inside transactions: what comes in pieces is the same message."""
    members = [member_with(kind).start() for kind in (settings.GENUINE, None)]
    clients = [Client(member.endpoint) for member in members]
    for client in clients:
        fill(client, 300)
        fill(client, 150, b"z" * 9_000)
    everything = {"key": b"\0", "range_end": b"\0"}
    requests = [
        everything, everything | {"keys_only": True}, everything | {"limit": 280}, everything | {"revision": 4},
        everything | {"sort_order": "DESCEND", "sort_target": "MOD"},
        everything | {"sort_order": "ASCEND", "sort_target": "VALUE", "limit": 250},
        everything | {"min_mod_revision": 3, "max_create_revision": 6},
        everything | {"sort_order": "DESCEND"},
    ]
    for request in requests:
        texts = []
        for client in clients:
            answer = good(client.call("KV.Range", **request))
            texts.append((answer.count, answer.more, answer.header.revision, [kv.SerializeToString() for kv in answer.kvs]))
        if request.get("sort_target") in ("MOD", "VALUE"):
            # Pairs that compare alike come in either order.
            texts = [(*head, sorted(pairs)) for *head, pairs in texts] if not request.get("limit") else [
                (*head, len(pairs)) for *head, pairs in texts]
        assert texts[0] == texts[1], request
    for client in clients:
        answer = good(client.call("KV.Txn", success=[
            {"request_range": everything}, {"request_range": everything | {"keys_only": True}},
            {"request_txn": {"success": [{"request_range": everything | {"limit": 200}}]}},
        ]))
        assert [len(r.response_range.kvs) for r in answer.responses[:2]] == [300, 300]
        inner = answer.responses[2].response_txn.responses[0].response_range
        assert (len(inner.kvs), inner.more, inner.count) == (200, True, 300)
        client.close()
