"""Clients that write without a pause and remember what they were told."""

import threading
from dataclasses import dataclass, field

from .api import Client, Failure
from .cluster import Cluster, ClusterMember
from .waiting import wait_until

# What a write may end with while leaders and members come and go. Anything else is a fault of its own.
PASSING = ("UNAVAILABLE", "UNKNOWN", "CANCELLED", "DEADLINE_EXCEEDED")

# Longer than a member keeps a proposal (5 s and two election timeouts).
WRITE_TIMEOUT = 10.0


@dataclass
class Journal:
    """What one client was told: every write has a key and a value of its own."""

    acknowledged: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    unknown: dict[bytes, bytes] = field(default_factory=dict)


class Load:
    """Threads that put unique keys through all running members in turn, each write through one of them.

    A write without an answer stays unknown and is not tried again. As a context manager it writes from entry to exit.
    """

    def __init__(self, cluster: Cluster, clients: int = 4, prefix: bytes = b"load/"):
        self.cluster = cluster
        self.prefix = prefix
        self.journals = [Journal() for _ in range(clients)]
        self._problems: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, problem, trace) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a client hangs"
        if self._problems and problem is None:
            raise self._problems[0]

    def acknowledged(self) -> int:
        return sum(len(journal.acknowledged) for journal in self.journals)

    def unknown(self) -> int:
        return sum(len(journal.unknown) for journal in self.journals)

    def wait_progress(self, writes: int = 40, timeout: float = 60.0) -> None:
        """Waits until that many more writes are acknowledged."""
        goal = self.acknowledged() + writes

        def reached() -> bool:
            if self._problems:
                raise self._problems[0]
            return self.acknowledged() >= goal

        wait_until(reached, f"{writes} more acknowledged writes", timeout)

    def _run(self, number: int) -> None:
        journal, step = self.journals[number], number
        clients: dict[str, Client] = {}
        try:
            while not self._stop.is_set():
                endpoints = self.cluster.endpoints()
                if not endpoints:
                    self._stop.wait(0.02)
                    continue
                step += 1
                endpoint = endpoints[step % len(endpoints)]
                if endpoint not in clients:
                    clients[endpoint] = Client(endpoint)
                key = self.prefix + b"%d/%06d" % (number, step)
                value = b"%d by way of %s" % (step, endpoint.encode())
                answer = clients[endpoint].call("KV.Put", key=key, value=value, timeout=WRITE_TIMEOUT)
                if not isinstance(answer, Failure):
                    journal.acknowledged[key] = (value, answer.header.revision)
                    continue
                assert answer.code in PASSING, answer
                journal.unknown[key] = value
                # The member may be gone: the next one is asked, and not in a busy loop.
                self._stop.wait(0.02)
        except BaseException as problem:  # noqa: BLE001 - raised again by those who wait
            self._problems.append(problem)
        finally:
            for client in clients.values():
                client.close()

    def check(self, member: ClusterMember, serializable: bool = False) -> None:
        """Holds a member's store against what the clients were told."""
        end = self.prefix[:-1] + bytes([self.prefix[-1] + 1])
        answer = member.ask("KV.Range", key=self.prefix, range_end=end, serializable=serializable)
        store = {kv.key: kv for kv in answer.kvs}
        revisions: dict[int, bytes] = {}
        for journal in self.journals:
            for key, (value, revision) in journal.acknowledged.items():
                assert key in store, f"{key!r}, acknowledged at revision {revision}, is not at {member}"
                assert (store[key].value, store[key].mod_revision, store[key].version) == (value, revision, 1)
                assert revision not in revisions, f"revision {revision} for {key!r} and {revisions[revision]!r}"
                revisions[revision] = key
                del store[key]
            for key, value in journal.unknown.items():
                if key in store:
                    assert (store[key].value, store[key].version) == (value, 1)
                    del store[key]
        assert not store, f"keys that nobody wrote: {sorted(store)[:10]}"

    def check_everywhere(self) -> None:
        """No member lacks an acknowledged write, and all have one hash."""
        self.cluster.wait_applied(self.cluster.revision())
        for member in self.cluster.running():
            self.check(member, serializable=True)
        self.cluster.assert_equal_hashes()
