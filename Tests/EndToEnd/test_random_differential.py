"""Random requests, the same to genuine etcd 3.4 and to the server under test: every answer must be equal.

ETCD_RANDOM_SEEDS (5) runs of ETCD_RANDOM_STEPS (1200) requests; a run is repeated by its seed in the test's name.
"""

import os
import random
from typing import Any

import pytest

from harness.api import Calls

SEEDS = range(int(os.environ.get("ETCD_RANDOM_SEEDS", "5")))
STEPS = int(os.environ.get("ETCD_RANDOM_STEPS", "1200"))


class Requests:
    """Requests over few keys, few values and few leases, so that they meet."""

    def __init__(self, seed: int):
        self.choice = random.Random(seed)
        # As far as the requests themselves tell; only to aim revisions near it.
        self.revision = 1
        self.compacted = 0

    def key(self) -> bytes:
        return self.choice.choice((b"a", b"b", b"c", b"aa", b"ab", b"b\0", b"k/1", b"k/2", b"k/3", b"\xff", b"\0", b""))

    def bounds(self) -> dict[str, bytes]:
        end = self.choice.choice((b"", b"", b"", b"\0", b"c", b"k0", b"\xff", self.key()))
        return {"key": self.key(), "range_end": end}

    def near(self) -> int:
        return max(-1, self.revision + self.choice.choice((-30, -10, -5, -2, -1, 0, 0, 1, 3)))

    def sometimes(self, chance: float, **fields: Any) -> dict[str, Any]:
        return fields if self.choice.random() < chance else {}

    def range(self) -> dict[str, Any]:
        choice = self.choice
        return {
            **self.bounds(),
            **self.sometimes(0.3, limit=choice.choice((1, 2, 3, 100, -1))),
            **self.sometimes(0.3, revision=self.near()),
            **self.sometimes(0.4, sort_order=choice.randrange(3), sort_target=choice.randrange(5)),
            **self.sometimes(0.3, serializable=True),
            **self.sometimes(0.15, keys_only=True),
            **self.sometimes(0.15, count_only=True),
            **self.sometimes(0.1, min_mod_revision=self.near()),
            **self.sometimes(0.1, max_mod_revision=self.near()),
            **self.sometimes(0.1, min_create_revision=self.near()),
            **self.sometimes(0.1, max_create_revision=self.near()),
        }

    def put(self) -> dict[str, Any]:
        return {
            "key": self.key(),
            **self.sometimes(0.9, value=self.choice.choice((b"", b"1", b"2", b"value", bytes(300)))),
            **self.sometimes(0.25, lease=self.choice.randrange(1, 8)),
            **self.sometimes(0.4, prev_kv=True),
            **self.sometimes(0.1, ignore_value=True),
            **self.sometimes(0.1, ignore_lease=True),
        }

    def delete(self) -> dict[str, Any]:
        return {**self.bounds(), **self.sometimes(0.4, prev_kv=True)}

    def compare(self) -> dict[str, Any]:
        choice = self.choice
        target = choice.choice(("VERSION", "CREATE", "MOD", "VALUE", "LEASE"))
        value: dict[str, Any] = {
            "VERSION": {"version": choice.randrange(4)}, "CREATE": {"create_revision": max(0, self.near())},
            "MOD": {"mod_revision": max(0, self.near())}, "VALUE": {"value": choice.choice((b"", b"1", b"2"))},
            "LEASE": {"lease": choice.randrange(4)},
        }[target]
        bounds = self.bounds() if choice.random() < 0.3 else {"key": self.key()}
        return {"target": target, "result": choice.choice(("EQUAL", "GREATER", "LESS", "NOT_EQUAL")), **value, **bounds}

    def operation(self, depth: int) -> dict[str, Any]:
        kind = self.choice.random()
        if kind < 0.35:
            return {"request_put": self.put()}
        if kind < 0.65:
            return {"request_range": self.range()}
        if kind < 0.85 or depth == 0:
            return {"request_delete_range": self.delete()}
        return {"request_txn": self.txn(depth - 1)}

    def txn(self, depth: int = 2) -> dict[str, Any]:
        return {
            "compare": [self.compare() for _ in range(self.choice.randrange(3))],
            "success": [self.operation(depth) for _ in range(self.choice.randrange(4))],
            "failure": [self.operation(depth) for _ in range(self.choice.randrange(3))],
        }

    def next(self) -> tuple[str, dict[str, Any]]:
        kind = self.choice.random()
        if kind < 0.25:
            return "KV.Range", self.range()
        if kind < 0.5:
            return "KV.Put", self.put()
        if kind < 0.6:
            return "KV.DeleteRange", self.delete()
        if kind < 0.86:
            return "KV.Txn", self.txn()
        if kind < 0.9:
            return "Lease.LeaseGrant", {"ID": self.choice.randrange(1, 8), "TTL": 10_000}
        if kind < 0.93:
            return "Lease.LeaseRevoke", {"ID": self.choice.randrange(1, 8)}
        if kind < 0.95:
            return "KV.Compact", {"revision": self.near() - 5, "physical": True}
        revision = max(0, self.near())
        # At the compacted revision itself etcd 3.4 refuses, and answers since 3.5.
        return "Maintenance.HashKV", {} if revision == self.compacted else {"revision": revision}


@pytest.mark.parametrize("seed", SEEDS)
def test_random_requests(pair, seed):
    def script(calls: Calls) -> None:
        requests = Requests(seed)
        watch = calls.watch()
        watch.created(key=b"\0", range_end=b"\0", prev_kv=True)
        for _ in range(STEPS):
            name, fields = requests.next()
            answer = calls(name, **fields)
            header = getattr(answer, "header", None)
            if header is not None and header.revision:
                requests.revision = header.revision
                if name == "KV.Compact":
                    requests.compacted = fields["revision"]
        newest = calls.everything().header.revision
        calls("Maintenance.HashKV")
        calls.note("leases", str(sorted(lease.ID for lease in calls.quiet("Lease.LeaseLeases").leases)))
        assert newest > 1
        events: list = []
        while not events or events[-1].kv.mod_revision < newest:
            events += watch.next().events
        calls.note("watched", events)

    transcript = pair.compare_calls(script)
    refused = sum(": etcdserver" in text for text in transcript)
    assert 0 < refused < len(transcript) / 2, "requests should mostly be taken, and some refused"
