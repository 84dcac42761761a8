"""Requests and starts that nobody sends by mistake for long: extreme values, full disks, streams nobody reads.

ETCD_FUZZ_SECONDS sets how long the random requests are sent (8), ETCD_FUZZ_SEED which ones.
"""

import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Callable

import grpc
import pytest

from harness import bolt
from harness.api import Client, Failure, api, in_parallel
from harness.member import Member, clean_environment
from harness.waiting import wait_until

FUZZ_SECONDS = float(os.environ.get("ETCD_FUZZ_SECONDS", "8"))
SEED = int(os.environ.get("ETCD_FUZZ_SEED", "20261121"))

LARGEST, SMALLEST = 2**63 - 1, -(2**63)
NO_SPACE = Failure("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded")
CORRUPT = Failure("DATA_LOSS", "etcdserver: corrupt cluster")


@pytest.fixture
def client_of():
    """Makes clients that are closed after the test."""
    clients: list[Client] = []

    def make(member: Member) -> Client:
        clients.append(Client(member.endpoint))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def good(answer: Any) -> Any:
    """`answer`, which must not be a failure."""
    assert not isinstance(answer, Failure), answer
    return answer


def restarted(member: Member, client_of: Callable[[Member], Client]) -> Client:
    """A client of `member` after kill -9 and a start over its log."""
    assert member.process.poll() is None, f"ended with {member.process.returncode}:\n{member.log()[-4000:]}"
    member.kill()
    member.start()
    return client_of(member)


def assert_writes(client: Client) -> None:
    good(client.call("KV.Put", key=b"alive", value=b"yes"))
    assert good(client.call("KV.Range", key=b"alive")).kvs[0].value == b"yes"


def hash_of(client: Client) -> tuple[int, int, int]:
    answer = good(client.call("Maintenance.HashKV"))
    return answer.hash, answer.compact_revision, answer.header.revision


# ---- Alarms


@pytest.mark.ours_only
@pytest.mark.parametrize("alarm", (-1, 3, 99, 2**31 - 1, -(2**31)))
@pytest.mark.parametrize("action", ("ACTIVATE", "DEACTIVATE"))
def test_unknown_alarm(member_with, client_of, action, alarm):
    """Refused before it is in the log: an entry that cannot be applied would end every start, too."""
    member: Member = member_with().start()
    client = client_of(member)
    own = good(client.call("KV.Range", key=b"a")).header.member_id
    for target in (0, own, 2**64 - 1):
        answer = client.call("Maintenance.Alarm", action=action, alarm=alarm, memberID=target)
        assert isinstance(answer, Failure) and answer.code == "INVALID_ARGUMENT", answer
    assert_writes(client)
    client = restarted(member, client_of)
    assert_writes(client)
    assert not good(client.call("Maintenance.Alarm", action="GET")).alarms


@pytest.mark.ours_only
def test_corrupt_alarm_refuses_writes(member_with, client_of):
    """Nothing that writes gets through, before and after a restart; disarming ends it."""
    member: Member = member_with().start()
    client = client_of(member)
    own = good(client.call("KV.Put", key=b"a", value=b"1")).header.member_id
    good(client.call("Lease.LeaseGrant", ID=7, TTL=1000))
    good(client.call("Maintenance.Alarm", action="ACTIVATE", alarm="CORRUPT", memberID=own))
    for _ in range(2):
        assert client.call("KV.Put", key=b"a", value=b"2") == CORRUPT
        assert client.call("KV.DeleteRange", key=b"a") == CORRUPT
        assert client.call("KV.Txn", success=[{"request_put": {"key": b"a"}}]) == CORRUPT
        assert client.call("Lease.LeaseGrant", ID=8, TTL=1000) == CORRUPT
        assert client.call("Lease.LeaseRevoke", ID=7) == CORRUPT
        member.kill()
        member.launch()
        # /health says that the member is not well as long as the alarm is there.
        client = client_of(member)
        wait_until(lambda: not isinstance(client.call("Maintenance.Status", timeout=5), Failure), "an answer after the restart")
    good(client.call("Maintenance.Alarm", action="DEACTIVATE", alarm="CORRUPT", memberID=own))
    assert_writes(client)
    assert good(client.call("KV.Range", key=b"a")).kvs[0].value == b"1"


def fill_up(client: Client) -> int:
    """Puts until the quota is reached; the member's id."""
    for number in range(64):
        answer = client.call("KV.Put", key=b"fill/%d" % number, value=b"v" * (512 << 10))
        if isinstance(answer, Failure):
            assert answer == NO_SPACE
            break
        own = answer.header.member_id
    else:
        pytest.fail("the quota was never reached")
    wait_until(lambda: good(client.call("Maintenance.Alarm", action="GET")).alarms, "the NOSPACE alarm")
    return own


@pytest.mark.ours_only
def test_at_the_quota(member_with, client_of):
    """What only deletes works without space; the alarm comes back when it is disarmed and nothing was gained."""
    member: Member = member_with(None, "--quota-backend-bytes", str(4 << 20)).start()
    client = client_of(member)
    own = fill_up(client)

    def delete_only(key: bytes) -> None:
        answer = good(client.call("KV.Txn", success=[{"request_delete_range": {"key": key}}]))
        assert answer.responses[0].response_delete_range.deleted == 1

    delete_only(b"fill/0")
    good(client.call("Maintenance.Alarm", action="DEACTIVATE", alarm="NOSPACE", memberID=own))
    assert not good(client.call("Maintenance.Alarm", action="GET")).alarms
    delete_only(b"fill/1")
    # So little that it would find room in the file, which is what must not count.
    assert client.call("KV.Put", key=b"small", value=b"v") == NO_SPACE
    found = wait_until(lambda: good(client.call("Maintenance.Alarm", action="GET")).alarms, "the NOSPACE alarm, raised again")
    assert [(alarm.memberID, alarm.alarm) for alarm in found] == [(own, 1)]
    mixed = [{"request_delete_range": {"key": b"fill/2"}}, {"request_put": {"key": b"small"}}]
    assert client.call("KV.Txn", success=mixed) == NO_SPACE
    assert good(client.call("KV.Range", key=b"fill/2", count_only=True)).count == 1
    delete_only(b"fill/2")
    # Space won back ends it for good.
    newest = good(client.call("KV.DeleteRange", key=b"fill/", range_end=b"fill0")).header.revision
    good(client.call("KV.Compact", revision=newest, physical=True))
    good(client.call("Maintenance.Defragment"))
    good(client.call("Maintenance.Alarm", action="DEACTIVATE", alarm="NOSPACE", memberID=own))
    assert_writes(client)
    assert not good(client.call("Maintenance.Alarm", action="GET")).alarms


# ---- Ranges


LIMITS = (LARGEST, LARGEST - 1, 2**62, 2**32, 2**31, -1, SMALLEST)


@pytest.mark.parametrize("target", ("KEY", "VERSION", "CREATE", "MOD", "VALUE"))
def test_extreme_limits(member_with, client_of, target):
    """A limit beyond every range, and one below zero, is none: alone, in a writing transaction, and in its replay."""
    member: Member = member_with().start()
    client = client_of(member)
    for key in (b"b", b"a", b"d", b"c", b"a"):
        good(client.call("KV.Put", key=b"r/" + key, value=bytes(reversed(key)) * 3))
    for order in ("NONE", "ASCEND", "DESCEND"):
        fields = {"key": b"r/", "range_end": b"r0", "sort_order": order, "sort_target": target}
        expected = good(client.call("KV.Range", **fields))
        assert expected.count == len(expected.kvs) == 4
        for limit in LIMITS:
            for more in ({}, {"serializable": True}, {"keys_only": True}, {"count_only": True}):
                answer = good(client.call("KV.Range", limit=limit, **fields, **more))
                assert (answer.count, answer.more) == (4, False)
                if "keys_only" not in more and "count_only" not in more:
                    assert list(answer.kvs) == list(expected.kvs)
            written = good(client.call("KV.Txn", success=[
                {"request_put": {"key": b"w/%s" % order.encode(), "value": b"%d" % limit}},
                {"request_range": {"limit": limit, **fields}},
                {"request_range": {"limit": limit, "count_only": True, **fields}},
            ]))
            inner = written.responses[1].response_range
            assert list(inner.kvs) == list(expected.kvs)
            assert (inner.count, inner.more) == (4, False)
            assert written.responses[2].response_range.count == 4
    before = hash_of(client)
    client = restarted(member, client_of)
    assert hash_of(client) == before
    assert_writes(client)


@pytest.mark.parametrize("order, target", [(-1, 0), (3, 0), (1, -1), (2, 5), (99, 99), (-(2**31), 2**31 - 1)])
def test_unknown_sort_orders_and_targets(member_with, client_of, order, target):
    """Answered or refused, but by a member that goes on, and that can replay it."""
    member: Member = member_with().start()
    client = client_of(member)
    for number in range(4):
        good(client.call("KV.Put", key=b"r/%d" % number, value=b"v"))
    for limit in (0, 2, LARGEST):
        fields = {"key": b"r/", "range_end": b"r0", "limit": limit, "sort_order": order, "sort_target": target}
        client.call("KV.Range", **fields)
        client.call("KV.Txn", success=[{"request_put": {"key": b"w"}}, {"request_range": fields}])
    before = hash_of(client)
    client = restarted(member, client_of)
    assert hash_of(client) == before
    assert_writes(client)


@pytest.mark.ours_only
def test_large_range_stream(member_with, client_of):
    """Pieces a client can take in, which merge to the answer of Range."""
    member: Member = member_with().start()
    client = client_of(member)
    value = random.Random(SEED).randbytes(1_000_000)
    in_parallel(4, lambda part: [
        good(client.call("KV.Put", key=b"big/%03d" % number, value=value)) for number in range(part, 100, 4)
    ])
    for extra in ({}, {"limit": 60}, {"revision": 50}):
        fields = {"key": b"big/", "range_end": b"big0", **extra}
        whole = good(client.call("KV.Range", **fields))
        parts = good(client.call("KV.RangeStream", **fields))
        merged = api().messages.RangeResponse()
        for part in parts:
            assert part.ByteSize() < 32 << 20
            merged.MergeFrom(part.range_response)
        assert len(parts) > 1
        # Not compared by ==, whose report would print a hundred megabytes.
        same = merged.SerializeToString(deterministic=True) == whole.SerializeToString(deterministic=True)
        assert same, (merged.header, whole.header, len(merged.kvs), len(whole.kvs), merged.count, whole.count)


# ---- Much at once


@dataclass
class Acknowledged:
    """What the member said it has."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    values: dict[bytes, int] = field(default_factory=dict)

    def add(self, key: bytes, seed: int) -> None:
        with self.lock:
            self.values[key] = seed


@pytest.mark.ours_only
def test_sigterm_under_large_writes(member_with, client_of):
    """Ended in the middle of writes, again and again: exit code 0, and every acknowledged value is there afterwards."""
    member: Member = member_with()
    choice = random.Random(SEED)
    kept = Acknowledged()

    def value_of(seed: int) -> bytes:
        generator = random.Random(seed)
        return generator.randbytes(64) * (generator.randrange(1_000, 1_400_000) // 64)

    def write(writer: int, turn: int) -> None:
        client = Client(member.endpoint)
        try:
            for step in range(10_000):
                key, seed = b"t/%d/%d/%d" % (turn, writer, step), SEED + turn * 1_000_000 + writer * 10_000 + step
                if isinstance(client.call("KV.Put", key=key, value=value_of(seed), timeout=15), Failure):
                    return
                kept.add(key, seed)
        finally:
            client.close()

    for turn in range(4):
        member.start()
        floor = len(kept.values) + choice.randrange(1, 25)
        writers = [threading.Thread(target=write, args=(number, turn), daemon=True) for number in range(4)]
        for writer in writers:
            writer.start()
        wait_until(lambda: len(kept.values) >= floor, f"{floor} acknowledged puts")
        time.sleep(choice.random() * 0.05)
        code = member.stop()
        for writer in writers:
            writer.join(30)
            assert not writer.is_alive(), "a writer hangs"
        assert code == -signal.SIGTERM, f"turn {turn}:\n{member.log()[-4000:]}"
    member.start()
    client = client_of(member)
    for key, seed in kept.values.items():
        found = good(client.call("KV.Range", key=key)).kvs
        assert found and found[0].value == value_of(seed), f"{key} was acknowledged"
    assert member.stop() == -signal.SIGTERM
    bolt.check(member.data_dir / "member" / "snap" / "db")


def test_physical_compaction_of_many_revisions(member_with, client_of):
    """A long one is still answered, and only when it is done."""
    member: Member = member_with(None, "--max-txn-ops", "500").start()
    client = client_of(member)
    for turn in range(200):
        puts = [{"request_put": {"key": b"c/%d" % key, "value": b"%d" % turn}} for key in range(500)]
        newest = good(client.call("KV.Txn", success=puts)).header.revision
    before = good(client.call("Maintenance.HashKV", revision=newest))
    good(client.call("KV.Compact", revision=newest, physical=True))
    after = good(client.call("Maintenance.HashKV", revision=newest))
    assert (before.compact_revision, after.compact_revision) in ((0, newest), (-1, newest))
    old = client.call("KV.Range", key=b"c/1", revision=newest - 1)
    assert isinstance(old, Failure) and old.details == "etcdserver: mvcc: required revision has been compacted"
    everything = good(client.call("KV.Range", key=b"c/", range_end=b"c0"))
    assert {kv.value for kv in everything.kvs} == {b"199"} and everything.count == 500
    assert_writes(client)


@pytest.mark.ours_only
def test_unread_snapshot_streams(member_with, client_of):
    """Clients that ask for a snapshot and read none of it cost no thread each and stop nobody else."""
    member: Member = member_with().start()
    client = client_of(member)
    for number in range(30):
        good(client.call("KV.Put", key=b"s/%d" % number, value=b"v" * 1_000_000))
    readers = [client_of(member) for _ in range(3)]
    request = api().messages.SnapshotRequest()
    unread = [readers[number % 3].method("Maintenance.Snapshot")(request, timeout=120) for number in range(300)]
    most = 0
    for number in range(100):
        good(client.call("KV.Put", key=b"p", value=b"%d" % number, timeout=10))
        most = max(most, member.status_file("Threads"))
        time.sleep(0.01)
    assert most <= 64, f"{most} threads"
    for call in unread:
        call.cancel()
    # Their places are free again, once the member has read of the cancellations.
    def snapshot() -> list | None:
        answer = client.call("Maintenance.Snapshot")
        return None if isinstance(answer, Failure) else answer

    parts = wait_until(snapshot, "a snapshot")
    assert sum(len(part.blob) for part in parts) > 30_000_000
    assert_writes(client)
    assert member.process.poll() is None


# ---- Starts that are refused


def refused(member: Member, *extra: str) -> list[str]:
    """The lines on stderr, warnings about settings aside, of a start that ends with 1 and prints nothing else."""
    done = subprocess.run(
        member.command(*extra), capture_output=True, text=True, timeout=30, cwd=member.directory, env=clean_environment(),
        stdin=subprocess.DEVNULL, check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    return [line for line in done.stderr.strip().split("\n") if '"level":"warn"' not in line]


@pytest.mark.ours_only
@pytest.mark.parametrize("which", ("client", "peer"))
def test_port_in_use_leaves_nothing_behind(member_with, which):
    member: Member = member_with()
    port = member.port if which == "client" else member.peer_port
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        lines = refused(member)
    assert len(lines) == 1, lines
    assert f"127.0.0.1:{port}" in lines[0]
    assert not member.data_dir.exists()


@pytest.mark.ours_only
def test_existing_cluster_without_data(member_with):
    """A member of its own would be a second cluster under the first one's name."""
    member: Member = member_with()
    for prepare in (lambda: None, lambda: member.data_dir.mkdir(mode=0o700, exist_ok=True)):
        prepare()
        lines = refused(member, "--initial-cluster-state", "existing")
        assert len(lines) == 1, lines
        assert "--initial-cluster-state" in lines[0]
    member.start()


@pytest.mark.ours_only
@pytest.mark.parametrize("ended", ("stopped", "killed"))
def test_missing_wal_directory(directory, member_with, client_of, ended):
    """Data without its log is not taken for a new member, however often it is tried."""
    member: Member = member_with()
    wal = ("--wal-dir", str(directory / "elsewhere"))
    member.start(*wal)
    client = client_of(member)
    good(client.call("KV.Put", key=b"a", value=b"1"))
    # What is committed is in the file, and says how far the log had come.
    good(client.call("Maintenance.Defragment"))
    if ended == "stopped":
        member.stop()
    else:
        member.kill()
    for _ in range(2):
        assert "wal" in refused(member)[-1]
    member.start(*wal)
    assert good(client_of(member).call("KV.Range", key=b"a")).kvs[0].value == b"1"


# ---- Random requests


class RandomRequests:
    """Requests with values at and beyond the edges, from one seed."""

    KEYS = (b"a", b"b", b"c", b"\0", b"a\0", b"\xff", b"zz", b"\xff\xff", b"")
    VALUES = (b"", b"v", b"w" * 50, b"\0" * 5000)

    def __init__(self, seed: int):
        self.choice = random.Random(seed)
        self.methods: dict[str, tuple[int, Callable[[], dict]]] = {
            "KV.Range": (20, self.range),
            "KV.RangeStream": (3, self.range),
            "KV.Put": (25, self.put),
            "KV.DeleteRange": (8, self.delete),
            "KV.Txn": (25, lambda: self.transaction(3)),
            "KV.Compact": (2, lambda: self.some(revision=self.number(), physical=self.flag())),
            "Lease.LeaseGrant": (6, lambda: self.some(ID=self.number(), TTL=self.number())),
            "Lease.LeaseRevoke": (3, lambda: self.some(ID=self.number())),
            "Lease.LeaseTimeToLive": (3, lambda: self.some(ID=self.number(), keys=self.flag())),
            "Lease.LeaseLeases": (1, dict),
            "Maintenance.HashKV": (2, lambda: self.some(revision=self.number())),
            "Maintenance.Hash": (1, dict),
            "Maintenance.Status": (1, dict),
            "Maintenance.Defragment": (0.2, dict),
            "Maintenance.Alarm": (1, self.alarm),
            "Maintenance.MoveLeader": (1, lambda: self.some(targetID=self.number() & (2**64 - 1))),
        }

    def next(self) -> tuple[str, bytes]:
        """A method and the bytes of a request; one in a hundred has a bit turned over."""
        names = list(self.methods)
        name = self.choice.choices(names, [self.methods[name][0] for name in names])[0]
        method = api().methods[name]
        request = getattr(api().messages, method.input_type.name)(**self.methods[name][1]())
        body = bytearray(request.SerializeToString())
        if body and self.choice.random() < 0.01:
            body[self.choice.randrange(len(body))] ^= 1 << self.choice.randrange(8)
        return name, bytes(body)

    def some(self, **fields: Any) -> dict[str, Any]:
        """Most of `fields`."""
        return {name: value for name, value in fields.items() if self.choice.random() < 0.7}

    def number(self) -> int:
        small = self.choice.randrange(-3, 300)
        return self.choice.choice([small, small, small, 0, 1, 7, LARGEST, LARGEST - 1, SMALLEST, 2**62, 2**32, 2**31, -(2**31)])

    def enumerated(self, known: int) -> int:
        """An enum's value, now and then one it does not have."""
        return self.choice.choice([*range(known), *range(known), known, -1, 2**31 - 1, -(2**31)])

    def flag(self) -> bool:
        return self.choice.random() < 0.4

    def key(self) -> bytes:
        return self.choice.choice(self.KEYS)

    def range(self) -> dict[str, Any]:
        bounds = self.some(
            min_mod_revision=self.number(), max_mod_revision=self.number(), min_create_revision=self.number(),
            max_create_revision=self.number(),
        ) if self.choice.random() < 0.2 else {}
        revision = {"revision": self.number()} if self.choice.random() < 0.3 else {}
        return self.some(
            key=self.key(), range_end=self.key(), limit=self.number(), sort_order=self.enumerated(3),
            sort_target=self.enumerated(5), serializable=self.flag(), keys_only=self.flag(), count_only=self.flag(),
        ) | bounds | revision

    def put(self) -> dict[str, Any]:
        lease = {"lease": self.number()} if self.choice.random() < 0.3 else {}
        ignored = self.some(ignore_value=True, ignore_lease=True) if self.choice.random() < 0.15 else {}
        return {"key": self.key()} | self.some(value=self.choice.choice(self.VALUES), prev_kv=self.flag()) | lease | ignored

    def delete(self) -> dict[str, Any]:
        return {"key": self.key()} | self.some(range_end=self.key(), prev_kv=self.flag())

    def comparison(self) -> dict[str, Any]:
        union = self.choice.choice([
            {"version": self.number()}, {"create_revision": self.number()}, {"mod_revision": self.number()},
            {"value": self.choice.choice(self.VALUES)}, {"lease": self.number()}, {},
        ])
        return self.some(
            result=self.enumerated(4), target=self.enumerated(5), key=self.key(), range_end=self.key(),
        ) | union

    def operation(self, depth: int) -> dict[str, Any]:
        kind = self.choice.randrange(5 if depth > 0 else 4)
        if kind == 0:
            return {"request_range": self.range()}
        if kind in (1, 2):
            return {"request_put": self.put()}
        if kind == 3:
            return {"request_delete_range": self.delete()} if self.flag() else {}
        return {"request_txn": self.transaction(depth - 1)}

    def transaction(self, depth: int) -> dict[str, Any]:
        return {
            "compare": [self.comparison() for _ in range(self.choice.randrange(3))],
            "success": [self.operation(depth) for _ in range(self.choice.randrange(4))],
            "failure": [self.operation(depth) for _ in range(self.choice.randrange(4))],
        }

    def alarm(self) -> dict[str, Any]:
        return self.some(action=self.enumerated(3), memberID=self.number() & (2**64 - 1), alarm=self.enumerated(3))


def send(client: Client, name: str, body: bytes) -> str:
    """Sends the bytes and reads the answers; the status they ended with."""
    method = api().methods[name]
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.server_streaming:
            for _ in client.channel.unary_stream(path)(body, timeout=15):
                pass
        else:
            client.channel.unary_unary(path)(body, timeout=15)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return "OK"


def disarm(client: Client) -> None:
    for alarm in good(client.call("Maintenance.Alarm", action="GET")).alarms:
        good(client.call("Maintenance.Alarm", action="DEACTIVATE", memberID=alarm.memberID, alarm=alarm.alarm))


# Neither a crash, nor an answer that never comes, nor an error the member has no words for. Bytes that are no message are
# told so with the code that gRPC has for them.
FAULTS = re.compile(
    r"UNAVAILABLE|DEADLINE_EXCEEDED|CANCELLED|UNKNOWN|INTERNAL(?!: grpc: (error unmarshalling|failed to unmarshal))"
)


@pytest.mark.ours_only
@pytest.mark.parametrize("name", ["KV.Range", "KV.RangeStream", "KV.Put", "KV.Txn", "Lease.LeaseGrant"])
def test_bytes_that_are_no_message(member_with, client_of, name):
    """They are told so in gRPC's words and with its code, by every kind of method."""
    client = client_of(member_with(None).start())
    assert re.match("INTERNAL: grpc: (error unmarshalling request|failed to unmarshal)", send(client, name, b"\x0e"))


@pytest.mark.ours_only
def test_random_requests(member_with, client_of):
    """Whatever is asked, the member answers, goes on, and comes back from its log with the same store."""
    member: Member = member_with(None, "--snapshot-count", "1000").start()
    client, requests = client_of(member), RandomRequests(SEED)
    end, sent, statuses = time.monotonic() + FUZZ_SECONDS, 0, Counter()
    newest: deque[str] = deque(maxlen=10)
    while time.monotonic() < end:
        name, body = requests.next()
        newest.append(f"{name} {body!r}"[:2000])
        status = send(client, name, body)
        sent += 1
        statuses[name, status.split(":")[0]] += 1
        recent = "\n".join(newest)
        assert member.process.poll() is None, f"seed {SEED}, request {sent}, the member ended:\n{member.log()[-2000:]}\n{recent}"
        assert not FAULTS.match(status), f"seed {SEED}, request {sent}: {status}\n{recent}"
        if sent % 100 == 0:
            disarm(client)
    # A generator whose requests are all refused, or all taken, would test nothing.
    for name in ("KV.Range", "KV.Put", "KV.Txn", "Lease.LeaseGrant"):
        assert statuses[name, "OK"] > 0 and any(key[0] == name and key[1] != "OK" for key in statuses), statuses
    disarm(client)
    # Leases that run out later would change the store behind the comparison.
    for lease in good(client.call("Lease.LeaseLeases")).leases:
        client.call("Lease.LeaseRevoke", ID=lease.ID)
    before = hash_of(client)
    client = restarted(member, client_of)
    assert hash_of(client) == before
    assert member.stop() == -signal.SIGTERM
    bolt.check(member.data_dir / "member" / "snap" / "db")
    member.start()
    client = client_of(member)
    assert hash_of(client) == before
    assert_writes(client)
