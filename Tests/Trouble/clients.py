"""Clients that put unique values, read, compare and set, and remember what they were told."""

import random
import threading
import time
from dataclasses import dataclass, field

from harness.api import Client, Failure, api
from members import Cluster
from recording import History, Tally, Violations

TIMEOUT = 3.0
# Pauses between the operations of one client: histories stay small enough to be checked.
PAUSES = (0.002, 0.03)
KEYS = 4
PAIRS = 2
# Answers that say that nothing was done and nothing will be: the request never left this client, or was refused
# before it was proposed.
REFUSALS = ("failed to connect to all addresses", "etcdserver: too many requests", "etcdserver: request is too large")


@dataclass
class Shared:
    """What all clients of a run share."""

    cluster: Cluster
    tally: Tally
    violations: Violations
    history: History
    round: int = 0
    # The last value that somebody saw of a key: what a compare-and-set expects. A guess is enough.
    seen: dict[str, str | None] = field(default_factory=dict)
    # Acknowledged puts of keys that nobody else writes: key to (value, revision).
    ledger: dict[str, tuple[str, int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)


class Writer(threading.Thread):
    """One client, which asks one thing at a time of any member."""

    def __init__(self, number: int, seed: int, shared: Shared):
        super().__init__(name=f"client-{number}", daemon=True)
        self.number = number
        self.random = random.Random(seed * 1000 + number)
        self.shared = shared
        self.clients = [Client(member.endpoint) for member in shared.cluster.members]
        self.count = 0
        # Held while an operation is under way: a round ends between operations.
        self.busy = threading.Lock()

    def run(self) -> None:
        try:
            while not self.shared.stop.is_set():
                with self.busy:
                    self.step()
                time.sleep(self.random.uniform(*PAUSES))
        except Exception as error:  # noqa: BLE001
            if not self.shared.stop.is_set():
                self.shared.violations.add(f"client {self.number} ended: {error!r}")
        for client in self.clients:
            client.close()

    def unique(self) -> str:
        self.count += 1
        return f"{self.number}.{self.count}"

    def key(self) -> str:
        return f"r{self.shared.round}k{self.random.randrange(KEYS)}"

    def step(self) -> None:
        choice = self.random.random()
        if choice < 0.28:
            self.put(self.key(), self.unique())
        elif choice < 0.50:
            self.get(self.key())
        elif choice < 0.60:
            self.get(self.key(), serializable=True)
        elif choice < 0.72:
            key = self.key()
            self.compare_and_set(key, self.shared.seen.get(key), self.unique())
        elif choice < 0.75:
            self.delete(self.key())
        elif choice < 0.85:
            self.pair()
        else:
            self.record_in_ledger()

    def call(self, name: str, **fields) -> tuple[int, int, object]:
        client = self.random.choice(self.clients)
        invoked = self.shared.history.now()
        answer = client.call(name, timeout=TIMEOUT, **fields)
        return invoked, self.shared.history.now(), answer

    def record(self, kind: str, invoked: int, returned: int, operation: str, answer, text=None) -> bool:
        """Writes the operation down; true when it was done."""
        name = f"c{self.number}"
        if isinstance(answer, Failure):
            refused = answer.details and any(answer.details.startswith(refusal) for refusal in REFUSALS)
            # A read that failed did nothing, whatever the reason.
            outcome = "failed" if refused or kind in ("get", "sget") else "unknown"
            self.shared.tally.add(f"operation {kind} {outcome}")
            self.shared.tally.add(f"error {answer.code}: {(answer.details or '')[:60]}")
            self.shared.history.add(name, invoked, None if outcome == "unknown" else returned, operation, outcome)
            return False
        self.shared.tally.add(f"operation {kind} done")
        outcome = f"{text(answer)} rev={answer.header.revision}"
        self.shared.history.add(name, invoked, returned, operation, outcome)
        return True

    def put(self, key: str, value: str) -> None:
        invoked, returned, answer = self.call("KV.Put", key=key.encode(), value=value.encode())
        if self.record("put", invoked, returned, f"put {key} {value}", answer, lambda _: "ok"):
            self.shared.seen[key] = value

    def get(self, key: str, serializable: bool = False) -> None:
        kind = "sget" if serializable else "get"
        invoked, returned, answer = self.call("KV.Range", key=key.encode(), serializable=serializable)
        if self.record(kind, invoked, returned, f"{kind} {key}", answer, lambda done: found(done.kvs)):
            self.shared.seen[key] = answer.kvs[0].value.decode() if answer.kvs else None

    def delete(self, key: str) -> None:
        invoked, returned, answer = self.call("KV.DeleteRange", key=key.encode())
        if self.record("delete", invoked, returned, f"delete {key}", answer, lambda done: str(done.deleted)):
            self.shared.seen[key] = None

    def compare_and_set(self, key: str, expected: str | None, value: str) -> None:
        invoked, returned, answer = self.call(
            "KV.Txn", compare=[comparison(key, expected)], success=[put_request(key, value)],
            failure=[get_request(key)],
        )
        operation = f"txn if {key}={expected or 'nil'} then put {key} {value} else get {key}"
        if self.record("cas", invoked, returned, operation, answer, transaction_outcome):
            if answer.succeeded:
                self.shared.seen[key] = value
            else:
                kvs = answer.responses[0].response_range.kvs
                self.shared.seen[key] = kvs[0].value.decode() if kvs else None

    def pair(self) -> None:
        """A transaction over two keys that are always written together, or a read of both."""
        number = self.random.randrange(PAIRS)
        left, right = f"r{self.shared.round}p{number}a", f"r{self.shared.round}p{number}b"
        if self.random.random() < 0.5:
            value = self.unique()
            success = [put_request(left, value), put_request(right, value)]
            operation = f"txn then put {left} {value} ; put {right} {value}"
        else:
            success = [get_request(left), get_request(right)]
            operation = f"txn then get {left} ; get {right}"
        invoked, returned, answer = self.call("KV.Txn", success=success)
        self.record("txn", invoked, returned, operation, answer, transaction_outcome)

    def record_in_ledger(self) -> None:
        value = self.unique()
        key = f"ledger/{value}"
        _, _, answer = self.call("KV.Put", key=key.encode(), value=value.encode())
        if isinstance(answer, Failure):
            self.shared.tally.add("operation ledger unknown")
            return
        self.shared.tally.add("operation ledger done")
        with self.shared.lock:
            self.shared.ledger[key] = (value, answer.header.revision)


def found(kvs) -> str:
    return f"{kvs[0].value.decode()}@{kvs[0].mod_revision}" if kvs else "nil"


def comparison(key: str, expected: str | None):
    compare = api().messages.Compare
    if expected is None:
        return compare(result=compare.EQUAL, target=compare.CREATE, key=key.encode(), create_revision=0)
    return compare(result=compare.EQUAL, target=compare.VALUE, key=key.encode(), value=expected.encode())


def put_request(key: str, value: str):
    messages = api().messages
    return messages.RequestOp(request_put=messages.PutRequest(key=key.encode(), value=value.encode()))


def get_request(key: str):
    messages = api().messages
    return messages.RequestOp(request_range=messages.RangeRequest(key=key.encode()))


def transaction_outcome(answer) -> str:
    words = ["true" if answer.succeeded else "false"]
    for response in answer.responses:
        kind = response.WhichOneof("response")
        words.append("ok" if kind == "response_put" else found(response.response_range.kvs))
    return " ".join(words)
