"""kill -9 at random moments under concurrent writers: what was acknowledged stays, and stays once.

ETCD_CRASH_KILLS sets the number of kills (25), ETCD_CRASH_SEED the random choices.
"""

import os
import random
import threading
import time
from dataclasses import dataclass, field

import pytest

from harness import bolt, settings
from harness.api import Client, Failure
from harness.member import Member
from harness.waiting import wait_until

KILLS = int(os.environ.get("ETCD_CRASH_KILLS", "25"))
SEED = int(os.environ.get("ETCD_CRASH_SEED", "20261121"))
WRITERS = 8

# A small count makes raft snapshots and log truncation part of what is interrupted.
FLAGS = ("--snapshot-count", "500")


@dataclass
class Journal:
    """What one writer was told."""

    # Keys written once: value and revision of each acknowledged put.
    once: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    # Keys written again and again: the newest acknowledged value and revision, and the values tried since.
    newest: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    tried: dict[bytes, list[bytes]] = field(default_factory=dict)
    # Leases granted, with the keys put on them, and those whose revocation was acknowledged or tried.
    leases: dict[int, set[bytes]] = field(default_factory=dict)
    revoked: set[int] = field(default_factory=set)
    revoking: set[int] = field(default_factory=set)
    acknowledged: int = 0


class Writers:
    """Threads that write whenever the member answers."""

    def __init__(self, member: Member, seed: int):
        self.member = member
        self.journals = [Journal() for _ in range(WRITERS)]
        self._stop = threading.Event()
        self._up = threading.Event()
        self._problems: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number, random.Random(seed * 1000 + number)), daemon=True)
            for number in range(WRITERS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def resume(self) -> None:
        self._up.set()

    def pause(self) -> None:
        self._up.clear()

    def finish(self) -> None:
        self._stop.set()
        self._up.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a writer hangs"
        if self._problems:
            raise self._problems[0]

    def acknowledged(self) -> int:
        return sum(journal.acknowledged for journal in self.journals)

    def _run(self, number: int, choice: random.Random) -> None:
        journal, step = self.journals[number], 0
        try:
            while not self._stop.is_set():
                self._up.wait()
                client = Client(self.member.endpoint)
                try:
                    while self._up.is_set() and not self._stop.is_set():
                        step += 1
                        if not self._step(client, journal, number, step, choice):
                            break
                finally:
                    client.close()
        except BaseException as problem:  # noqa: BLE001 - shown by finish()
            self._problems.append(problem)

    def _step(self, client: Client, journal: Journal, number: int, step: int, choice: random.Random) -> bool:
        """One write; False when the member is gone."""
        value = b"%d/%d/%d" % (number, step, choice.getrandbits(64))
        kind = choice.random()
        if kind < 0.5:
            key = b"once/%d/%06d" % (number, step)
            answer = client.call("KV.Put", key=key, value=value, timeout=10)
            if not isinstance(answer, Failure):
                journal.once[key] = (value, answer.header.revision)
        elif kind < 0.75:
            key = b"again/%d/%d" % (number, step % 20)
            journal.tried.setdefault(key, []).append(value)
            answer = client.call("KV.Put", key=key, value=value, timeout=10)
            if not isinstance(answer, Failure):
                journal.newest[key] = (value, answer.header.revision)
                journal.tried[key] = []
        elif kind < 0.9:
            # Two keys that only ever change together.
            pair = [b"pair/%d/left" % number, b"pair/%d/right" % number]
            answer = client.call("KV.Txn", timeout=10, success=[{"request_put": {"key": key, "value": value}} for key in pair])
        elif kind < 0.97:
            lease = number * 1_000_000 + step
            key = b"leased/%d/%d" % (number, step)
            answer = client.call("Lease.LeaseGrant", ID=lease, TTL=100_000, timeout=10)
            if not isinstance(answer, Failure):
                journal.leases[lease] = set()
                answer = client.call("KV.Put", key=key, value=value, lease=lease, timeout=10)
                if not isinstance(answer, Failure):
                    journal.leases[lease].add(key)
        else:
            candidates = [lease for lease in journal.leases if lease not in journal.revoking]
            if not candidates:
                return True
            lease = choice.choice(candidates)
            journal.revoking.add(lease)
            answer = client.call("Lease.LeaseRevoke", ID=lease, timeout=10)
            if not isinstance(answer, Failure):
                journal.revoked.add(lease)
        if isinstance(answer, Failure):
            # A server that is there and refuses would be a fault of its own.
            assert answer.code in ("UNAVAILABLE", "UNKNOWN", "CANCELLED", "DEADLINE_EXCEEDED"), answer
            return False
        journal.acknowledged += 1
        return True


def read_all(client: Client) -> tuple[dict[bytes, object], int]:
    answer = client.call("KV.Range", key=b"\0", range_end=b"\0")
    assert not isinstance(answer, Failure), answer
    return {kv.key: kv for kv in answer.kvs}, answer.header.revision


def verify(client: Client, writers: Writers, floor: int) -> int:
    """Holds the store against what the writers were told; returns its revision."""
    store, revision = read_all(client)
    assert revision >= floor, f"the revision went back from {floor} to {revision}"
    alive = {lease.ID for lease in client.call("Lease.LeaseLeases").leases}
    revisions: dict[int, bytes] = {}
    for number, journal in enumerate(writers.journals):
        for key, (value, acknowledged) in journal.once.items():
            assert key in store, f"{key!r}, acknowledged at revision {acknowledged}, is gone"
            assert store[key].value == value
            assert store[key].mod_revision == acknowledged, f"{key!r} moved from {acknowledged}"
            assert acknowledged not in revisions, f"revision {acknowledged} was given twice"
            revisions[acknowledged] = key
        for key, (value, acknowledged) in journal.newest.items():
            found = store[key]
            assert found.mod_revision >= acknowledged
            assert found.value == value or found.value in journal.tried[key], f"{key!r} holds {found.value!r}"
        left, right = (store.get(b"pair/%d/%s" % (number, side)) for side in (b"left", b"right"))
        assert (left is None) == (right is None)
        if left is not None:
            assert (left.value, left.mod_revision) == (right.value, right.mod_revision)
        for lease, keys in journal.leases.items():
            if lease in journal.revoked:
                assert lease not in alive, f"lease {lease} came back"
                assert not keys & store.keys(), f"keys of the revoked lease {lease} came back"
            elif lease not in journal.revoking:
                assert lease in alive, f"lease {lease} is gone"
                assert keys <= store.keys(), f"keys of lease {lease} are gone"
                assert all(store[key].lease == lease for key in keys)
            else:
                # Its revocation was under way: all or nothing.
                assert (lease in alive) or not keys & store.keys()
    return revision


def verify_history(client: Client, writers: Writers, revision: int) -> None:
    """Every acknowledged put is the event of its revision, and no revision of the history is missing."""
    stream = client.watch()
    assert stream.created(key=b"\0", range_end=b"\0", start_revision=1).created
    history: dict[int, dict[bytes, bytes]] = {}
    while max(history, default=0) < revision:
        for event in stream.next().events:
            history.setdefault(event.kv.mod_revision, {})[event.kv.key] = event.kv.value
    stream.close()
    assert sorted(history) == list(range(2, revision + 1))
    for journal in writers.journals:
        for key, (value, acknowledged) in (journal.once | journal.newest).items():
            assert history[acknowledged] == {key: value}


def test_acknowledged_writes_survive_kills(member_with):
    choice = random.Random(SEED)
    member = member_with(None, *FLAGS).start()
    writers = Writers(member, SEED)
    writers.start()
    floor = 1
    try:
        for _ in range(KILLS):
            before = writers.acknowledged()
            writers.resume()
            # The moment of the kill is the one thing here that is left to chance and time.
            time.sleep(choice.uniform(0.02, 0.6))
            member.kill()
            writers.pause()
            bolt.check(member.data_dir / "member" / "snap" / "db")
            member.start()
            client = Client(member.endpoint)
            floor = verify(client, writers, floor)
            client.close()
            assert writers.acknowledged() >= before
    finally:
        writers.finish()
    assert writers.acknowledged() > KILLS * 10, "the writers hardly wrote"
    client = Client(member.endpoint)
    revision = verify(client, writers, floor)
    verify_history(client, writers, revision)
    hashed = client.call("Maintenance.HashKV").hash
    # Alone, ours speaks for 3.7, which 3.4 does not open.
    client.call("Maintenance.Downgrade", action=1, version="3.4")
    wait_until(lambda: "The server is ready to downgrade" in member.log(), "the directory to be ready for 3.4")
    client.close()
    member.stop()
    bolt.check(member.data_dir / "member" / "snap" / "db")

    # Genuine etcd finds the same in what is left on the disk.
    reader = member_with(settings.GENUINE, *FLAGS)
    reader.data_dir = member.data_dir
    reader.start()
    client = Client(reader.endpoint)
    assert verify(client, writers, revision) == revision
    assert client.call("Maintenance.HashKV").hash == hashed
    client.close()


@pytest.mark.parametrize("moment", ("compaction", "defragmentation"))
def test_kill_in_the_midst_of_maintenance(member_with, moment):
    """A compaction that was cut short is finished after the restart; a defragmentation leaves the old file or the new."""
    choice = random.Random(SEED)
    member = member_with(None, *FLAGS).start()
    compacted = 0
    for round_number in range(4):
        client = Client(member.endpoint)
        for start in range(0, 1000, 100):
            answer = client.call("KV.Txn", success=[
                {"request_put": {"key": b"key/%04d" % n, "value": b"%d" % round_number * 200}} for n in range(start, start + 100)
            ])
        revision = answer.header.revision
        if moment == "compaction":
            answer = client.call("KV.Compact", revision=revision - 5)
            assert not isinstance(answer, Failure), answer
            compacted = revision - 5
        else:
            # Its answer does not come: the member is killed under it.
            threading.Thread(target=client.call, args=("Maintenance.Defragment",), daemon=True).start()
        time.sleep(choice.uniform(0, 0.05))
        member.kill()
        client.close()
        bolt.check(member.data_dir / "member" / "snap" / "db")
        member.start()
        client = Client(member.endpoint)
        store, found = read_all(client)
        assert found == revision
        assert len(store) == 1000 and all(kv.value == b"%d" % round_number * 200 for kv in store.values())
        if compacted:
            answer = client.call("KV.Range", key=b"key/0001", revision=compacted - 1)
            assert isinstance(answer, Failure) and "has been compacted" in answer.details
            assert client.call("KV.Range", key=b"key/0001", revision=compacted).count == 1
        client.close()

