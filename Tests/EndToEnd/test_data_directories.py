"""Data directories travel between etcd 3.4 and the server under test, both ways and back again."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import bolt, settings
from harness.api import Client, Failure
from harness.member import Member
from harness.waiting import wait_until

# A raft snapshot every fifty entries, so that a directory holds snapshots and a log that begins after one.
FLAGS = ("--snapshot-count", "50")

MEBIBYTE = b"v" * (1 << 20)


def call(client: Client, name: str, **fields):
    answer = client.call(name, **fields)
    assert not isinstance(answer, Failure), f"{name}: {answer}"
    return answer


def furnish(client: Client, seed: int, steps: int = 300) -> None:
    """Puts, deletes, transactions, leases, revocations and compactions, the same for the same seed."""
    choice = random.Random(seed)
    leases: list[int] = []
    for step in range(steps):
        kind = choice.random()
        key = b"key/%03d" % choice.randrange(150)
        value = b"%d " % seed + choice.randbytes(choice.randrange(300))
        if kind < 0.5:
            lease = choice.choice(leases) if leases and choice.random() < 0.3 else 0
            call(client, "KV.Put", key=key, value=value, lease=lease)
        elif kind < 0.65:
            call(client, "KV.DeleteRange", key=key)
        elif kind < 0.7:
            call(client, "KV.DeleteRange", key=key, range_end=key + b"\xff")
        elif kind < 0.85:
            numbers = choice.sample(range(150), 5)
            call(client, "KV.Txn", success=[
                {"request_put": {"key": b"key/%03d" % number, "value": value}} for number in numbers[:3]
            ] + [{"request_delete_range": {"key": b"key/%03d" % number}} for number in numbers[3:]])
        elif kind < 0.93:
            lease = seed * 1_000_000 + step + 1
            call(client, "Lease.LeaseGrant", ID=lease, TTL=100_000 + step)
            leases.append(lease)
        elif kind < 0.96 and leases:
            call(client, "Lease.LeaseRevoke", ID=leases.pop(choice.randrange(len(leases))))
        elif step > 50:
            revision = call(client, "KV.Range", key=b"x").header.revision
            # A refusal (compacted already) is as good as a success here.
            client.call("KV.Compact", revision=max(1, revision - choice.randrange(5, 60)), physical=choice.random() < 0.7)


def furnish_large(client: Client, count: int) -> None:
    """Enough for several segments of 64 MB."""
    for number in range(count):
        call(client, "KV.Put", key=b"large/%03d" % (number % 40), value=b"%04d" % number + MEBIBYTE)


@dataclass
class State:
    """All that a store shows of itself."""

    keys: list
    revision: int
    hashes: dict[int, object]
    history: dict[int, list | str]
    leases: dict[int, tuple]
    members: list

    @staticmethod
    def of(client: Client) -> "State":
        everything = call(client, "KV.Range", key=b"\0", range_end=b"\0")
        revision = everything.header.revision
        history: dict[int, list | str] = {}
        newest = call(client, "Maintenance.HashKV")
        hashes: dict[int, object] = {0: (newest.hash, newest.compact_revision)}
        for back in (0, 1, 2, 5, 10, 20, 40, 80, 200):
            at = revision - back
            if at > 0:
                found = client.call("KV.Range", key=b"\0", range_end=b"\0", revision=at)
                history[at] = str(found) if isinstance(found, Failure) else list(found.kvs)
                # At the compacted revision itself etcd 3.4 refuses a hash, and answers since 3.5.
                if at != newest.compact_revision:
                    hashes[at] = State._hash(client, at)
        leases = {}
        for lease in call(client, "Lease.LeaseLeases").leases:
            live = call(client, "Lease.LeaseTimeToLive", ID=lease.ID, keys=True)
            leases[lease.ID] = (live.grantedTTL, sorted(live.keys))
        members = [(member.ID, member.name, list(member.peerURLs), list(member.clientURLs))
                   for member in call(client, "Cluster.MemberList").members]
        return State(list(everything.kvs), revision, hashes, history, leases, members)

    @staticmethod
    def _hash(client: Client, revision: int):
        found = client.call("Maintenance.HashKV", revision=revision)
        return str(found) if isinstance(found, Failure) else (found.hash, found.compact_revision)


def assert_same(before: State, after: State, who: str) -> None:
    assert after.revision == before.revision, who
    assert after.keys == before.keys, who
    assert after.history == before.history, who
    assert after.leases == before.leases, who
    assert after.members == before.members, who
    assert after.hashes == before.hashes, who


class Journey:
    """One data directory, opened by one server after the other."""

    def __init__(self, member_with, directory: Path):
        self.member_with = member_with
        self.data_dir = directory / "travelling.etcd"
        self.hops = 0

    def open(self, binary: str, *flags: str) -> tuple[Member, Client]:
        self.hops += 1
        member = self.member_with(binary, *FLAGS, *flags, name=f"{self.data_dir.parent.name}-hop-{self.hops}")
        member.data_dir = self.data_dir
        member.start()
        return member, Client(member.endpoint)

    def close(self, member: Member, client: Client, killed: bool) -> None:
        if not member.is_genuine:
            self.take_back(member, client)
        client.close()
        if killed:
            member.kill()
        else:
            member.stop()
        bolt.check(self.data_dir / "member" / "snap" / "db")

    @staticmethod
    def take_back(member: Member, client: Client) -> None:
        """Makes the directory one that etcd 3.4 opens: alone, ours speaks for 3.7."""
        client.call("Maintenance.Downgrade", action=1, version="3.4")
        wait_until(lambda: "The server is ready to downgrade" in member.log(), "the directory to be ready for 3.4")

    def segments(self) -> int:
        return len(list((self.data_dir / "member" / "wal").glob("*.wal")))


GENUINE, OURS = settings.GENUINE, settings.UNDER_TEST


@pytest.mark.parametrize("killed", (False, True), ids=("terminated", "killed"))
@pytest.mark.parametrize("first", ("genuine", "ours"))
def test_travels_there_and_back(member_with, directory, first, killed):
    """Written by one, opened by the other, written further, and back, four times."""
    journey = Journey(member_with, directory)
    before: State | None = None
    order = [GENUINE, OURS] if first == "genuine" else [OURS, GENUINE]
    for hop, binary in enumerate(order * 2):
        member, client = journey.open(binary)
        if before is not None:
            assert_same(before, State.of(client), f"hop {hop}: {binary}")
        furnish(client, seed=hop + 1)
        before = State.of(client)
        journey.close(member, client, killed)
    snapshots = list((journey.data_dir / "member" / "snap").glob("*.snap"))
    assert snapshots, "no raft snapshot was made: the journey shows nothing about them"


@pytest.mark.parametrize("first", ("genuine", "ours"))
def test_short_log_without_a_snapshot(member_with, directory, first):
    """A directory so young that all of it is still in the log."""
    journey = Journey(member_with, directory)
    order = [GENUINE, OURS, GENUINE] if first == "genuine" else [OURS, GENUINE, OURS]
    before: State | None = None
    for hop, binary in enumerate(order):
        member, client = journey.open(binary, "--snapshot-count", "100000")
        if before is not None:
            assert_same(before, State.of(client), f"hop {hop}: {binary}")
        furnish(client, seed=10 + hop, steps=40)
        before = State.of(client)
        journey.close(member, client, killed=True)


@pytest.mark.parametrize("first", ("genuine", "ours"))
def test_several_segments(member_with, directory, first):
    """More log than two segments hold, with and without raft snapshots between them."""
    journey = Journey(member_with, directory)
    order = [GENUINE, OURS] if first == "genuine" else [OURS, GENUINE]
    before: State | None = None
    for hop, binary in enumerate(order + order[:1]):
        # The first hop keeps all of its log to be replayed.
        member, client = journey.open(binary, "--snapshot-count", "100000" if hop == 0 else "50")
        if before is not None:
            assert_same(before, State.of(client), f"hop {hop}: {binary}")
        furnish(client, seed=20 + hop, steps=60)
        furnish_large(client, 150 if hop == 0 else 70)
        if hop == 0:
            assert journey.segments() >= 3
        before = State.of(client)
        journey.close(member, client, killed=hop == 0)


@pytest.mark.parametrize("first", ("genuine", "ours"))
def test_defragmented_file(member_with, directory, first):
    journey = Journey(member_with, directory)
    order = [GENUINE, OURS, GENUINE] if first == "genuine" else [OURS, GENUINE, OURS]
    before: State | None = None
    for hop, binary in enumerate(order):
        member, client = journey.open(binary)
        if before is not None:
            assert_same(before, State.of(client), f"hop {hop}: {binary}")
        furnish(client, seed=30 + hop, steps=150)
        revision = call(client, "KV.Range", key=b"x").header.revision
        client.call("KV.Compact", revision=revision, physical=True)
        call(client, "Maintenance.Defragment")
        before = State.of(client)
        journey.close(member, client, killed=False)


def test_torn_tail_is_repaired_by_either(member_with, directory):
    """A log that ends in half a record, as after a power cut: the next server opens it and loses nothing that was
    acknowledged. The torn part is one written after the last acknowledgement."""
    for number, (first, second) in enumerate(((GENUINE, OURS), (OURS, GENUINE))):
        journey = Journey(member_with, directory / f"journey-{number}")
        member, client = journey.open(first, "--snapshot-count", "100000")
        furnish(client, seed=40, steps=60)
        before = State.of(client)
        journey.close(member, client, killed=True)
        last = max((journey.data_dir / "member" / "wal").glob("*.wal"))
        tear(last)
        member, client = journey.open(second, "--snapshot-count", "100000")
        assert_same(before, State.of(client), second)
        journey.close(member, client, killed=False)


def tear(segment: Path) -> None:
    """Puts the frame and first bytes of a long record behind the last one: of its sectors, those that follow were
    never written, which is how etcd tells a torn record from a damaged one."""
    with open(segment, "r+b") as file:
        contents = file.read()
        position = 0
        while position + 8 <= len(contents):
            frame = int.from_bytes(contents[position:position + 8], "little")
            if frame == 0:
                break
            length, padding = frame & ((1 << 56) - 1), (frame >> 56) & 7 if frame >> 63 else 0
            position += 8 + length + padding
        file.seek(position)
        file.write((2000).to_bytes(8, "little") + b"\x08\x02\x10")
