"""One run: starts everything, makes faults in turn, checks, and says what happened."""

import argparse
import random
import subprocess
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from clients import Shared, Writer, found
from faults import Trouble
from harness import settings
from harness.api import Client, Failure
from members import ELECTION_TIMEOUT, Cluster, MemberProcess
from namespaces import Namespace
from network import Network
from recording import History, Tally, Violations
from watching import Watcher

# A leader should be there within two election timeouts after a fault. The timeouts that Raft draws reach from one to two,
# and this machine runs more than the members, so later ones are counted, and only much later ones are violations.
LEADER_DUE = 2 * ELECTION_TIMEOUT
LEADER_OVERDUE = 10 * ELECTION_TIMEOUT
START_LIMIT = 60.0
# All members are equal again within this after the last fault, a snapshot through TCP's back-off included.
CONVERGENCE_LIMIT = 60.0
CHECK_LIMIT = 300.0
# Every so often the history that all watchers have seen is compacted.
COMPACTION_INTERVAL = 45.0
COMPACTION_MARGIN = 2000


class Over(Exception):
    """The run's time is up, or a process ended."""


class Run:
    def __init__(self, options: argparse.Namespace, seed: int, directory: Path, made: list[Namespace]):
        self.options = options
        self.seed = seed
        self.directory = directory
        self.began = time.monotonic()
        self.tally = Tally()
        self.violations = Violations()
        self.random = random.Random(seed)
        self.network = Network(made, seed)
        initial = ",".join(f"m{number}=http://{one.peer_address}:2380" for number, one in enumerate(made, start=1))
        kinds = options.members.split(",")
        self.cluster = Cluster([
            MemberProcess(
                number, settings.GENUINE if kind == "genuine" else settings.UNDER_TEST, namespace,
                directory / f"m{number}", initial, kind == "genuine",
            )
            for number, (kind, namespace) in enumerate(zip(kinds, made), start=1)
        ])
        self.trouble = Trouble(self.cluster, self.network, self.random, self.rest, self.log)
        self.events = open(directory / "events.txt", "w")
        self.writers: list[Writer] = []
        self.watchers: list[Watcher] = []
        self.checks: list[Future] = []
        self.checker = ThreadPoolExecutor(1)
        self.waits: list[float] = []
        self.faults: Counter[str] = Counter()
        self.done_during: Counter[str] = Counter()
        self.last_compaction = self.began
        self.shared = Shared(self.cluster, self.tally, self.violations, self.new_history(0))

    def log(self, text: str) -> None:
        line = f"{time.monotonic() - self.began:9.3f} {text}"
        print(line, flush=True)
        self.events.write(line + "\n")
        self.events.flush()

    def new_history(self, number: int) -> History:
        return History(self.directory / f"history-{number:04}.txt", self.began)

    def rest(self, seconds: float) -> None:
        """Sleeps; ends early when a process ended that nobody ended."""
        until = time.monotonic() + seconds
        while True:
            for member in self.cluster.members:
                if (code := member.unexpected_exit()) is not None:
                    self.violations.add(f"{member.name} ended with {code}:\n{member.log_tail()}")
                    raise Over
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.1))

    # The run

    def run(self) -> list[str]:
        try:
            self.start()
            self.make_trouble()
            self.log("the last fault is over")
            self.finish()
        except Over:
            self.log("the run ends early")
        self.shared.stop.set()
        for future in self.checks:
            future.result()
        self.summary()
        return self.violations.found

    def start(self) -> None:
        for member in self.cluster.members:
            member.start()
        leader, waited = self.cluster.wait_for_leader(START_LIMIT)
        if leader is None:
            self.violations.add("no leader at the start\n" + "\n".join(one.log_tail() for one in self.cluster.members))
            raise Over
        self.log(f"{leader.name} leads after {waited:.1f} s")
        self.writers = [Writer(number, self.seed, self.shared) for number in range(self.options.clients)]
        self.watchers = [Watcher(member, self.tally, self.violations) for member in self.cluster.members]
        for thread in [*self.writers, *self.watchers]:
            thread.start()
        self.rest(2.0)

    def make_trouble(self) -> None:
        kinds = {
            name: fault for name, fault in self.trouble.kinds().items() if self.options.only in name
        }
        end = time.monotonic() + self.options.seconds
        round_end = time.monotonic() + self.options.round
        # Every kind once before any comes again.
        bag: list[str] = []
        while time.monotonic() < end:
            bag = bag or self.random.sample(sorted(kinds), len(kinds))
            name = bag.pop()
            self.log(f"fault: {name}")
            self.faults[name] += 1
            before = self.tally.get("operation put done")
            kinds[name]()
            self.done_during[name] += self.tally.get("operation put done") - before
            self.trouble.heal()
            self.await_leader(name)
            self.rest(self.random.uniform(0.5, 2.0))
            self.compact()
            if time.monotonic() > round_end:
                self.next_round()
                round_end = time.monotonic() + self.options.round

    def await_leader(self, fault: str) -> None:
        leader, waited = self.cluster.wait_for_leader(LEADER_OVERDUE)
        if leader is None:
            tails = "\n".join(f"--- {one.name}\n{one.log_tail()}" for one in self.cluster.members)
            self.violations.add(f"no leader {waited:.1f} s after: {fault}\n{tails}")
            raise Over
        self.waits.append(waited)
        self.log(f"healed; {leader.name} leads after {waited:.2f} s")

    def next_round(self) -> None:
        """Takes new keys, so that histories stay small, and has the old ones checked."""
        for writer in self.writers:
            writer.busy.acquire()
        try:
            self.read_all()
            old = self.shared.history
            old.close()
            self.shared.round += 1
            self.shared.seen = {}
            self.shared.history = self.new_history(self.shared.round)
        finally:
            for writer in self.writers:
                writer.busy.release()
        self.checks.append(self.checker.submit(self.check, old))

    def read_all(self) -> None:
        """Reads every key of the round through every member, into the history."""
        for member in self.cluster.members:
            client = Client(member.endpoint)
            keys = [f"k{number}" for number in range(4)] + [f"p{number}{side}" for number in range(2) for side in "ab"]
            for key in (f"r{self.shared.round}{key}" for key in keys):
                invoked = self.shared.history.now()
                answer = client.call("KV.Range", timeout=10.0, key=key.encode())
                returned = self.shared.history.now()
                if isinstance(answer, Failure):
                    self.log(f"a read of {key} through {member.name} failed after the fault: {answer}")
                    self.tally.add("final read failed")
                    continue
                outcome = f"{found(answer.kvs)} rev={answer.header.revision}"
                self.shared.history.add(f"final-{member.name}", invoked, returned, f"get {key}", outcome)
            client.close()

    def check(self, history: History) -> None:
        failures = history.path.with_name(history.path.name.replace("history", "failing"))
        done = subprocess.run(
            [self.options.check_history, str(history.path), "--failures", str(failures)],
            capture_output=True, text=True, timeout=CHECK_LIMIT, check=False,
        )
        self.tally.add("operations checked", history.operations)
        if done.returncode == 1:
            self.violations.add(f"history {history.path}:\n{done.stdout[-4000:]}{done.stderr}")
        elif done.returncode != 0:
            self.tally.add("histories undecided")
            self.log(f"undecided: {history.path}: {done.stdout[-500:]}{done.stderr[-500:]}")
            if "undecided" not in done.stdout:
                self.violations.add(f"the checker failed on {history.path}: {done.stderr}")
        else:
            self.tally.add("histories linearizable")
            if self.options.seconds > 300:
                history.path.unlink()

    def compact(self) -> None:
        if time.monotonic() - self.last_compaction < COMPACTION_INTERVAL:
            return
        self.last_compaction = time.monotonic()
        revision = min(watcher.revision for watcher in self.watchers) - COMPACTION_MARGIN
        if revision > 1:
            answer = self.cluster.members[0].call("KV.Compact", timeout=5.0, revision=revision)
            self.tally.add("compactions failed" if isinstance(answer, Failure) else "compactions")

    # The end

    def finish(self) -> None:
        self.next_round()
        self.shared.stop.set()
        for writer in self.writers:
            writer.join(30.0)
        self.shared.history.close()
        revision = self.converge()
        if revision is not None:
            self.check_ledger(revision)
            self.check_watchers(revision)

    def converge(self) -> int | None:
        """Waits until all members are at one revision and have equal hashes there."""
        until = time.monotonic() + CONVERGENCE_LIMIT
        shown = ""
        while time.monotonic() < until:
            self.rest(0.2)
            answers = [member.call("Maintenance.HashKV", timeout=5.0) for member in self.cluster.members]
            shown = ", ".join(
                f"{member.name}: " + (str(answer) if isinstance(answer, Failure) else
                f"hash {answer.hash:08x} at revision {answer.header.revision}, compacted {answer.compact_revision}")
                for member, answer in zip(self.cluster.members, answers)
            )
            if any(isinstance(answer, Failure) for answer in answers):
                continue
            if len({(answer.header.revision, answer.compact_revision) for answer in answers}) != 1:
                continue
            if len({answer.hash for answer in answers}) != 1:
                self.violations.add(f"HashKV differs: {shown}")
                return None
            self.log(f"all members equal: {shown}")
            return answers[0].header.revision
        self.violations.add(f"the members are not equal after {CONVERGENCE_LIMIT:.0f} s: {shown}")
        return None

    def check_ledger(self, revision: int) -> None:
        """Every acknowledged put of a key that nobody else writes is on every member, as it was acknowledged."""
        for member in self.cluster.members:
            client = Client(member.endpoint)
            there: dict[str, tuple[str, int]] = {}
            key = b"ledger/"
            while True:
                answer = client.call(
                    "KV.Range", timeout=30.0, key=key, range_end=b"ledger0", limit=5000, serializable=True,
                    revision=revision,
                )
                if isinstance(answer, Failure):
                    self.violations.add(f"the ledger cannot be read from {member.name}: {answer}")
                    break
                for kv in answer.kvs:
                    there[kv.key.decode()] = (kv.value.decode(), kv.mod_revision)
                if not answer.more:
                    break
                key = answer.kvs[-1].key + b"\0"
            client.close()
            lost = {key: value for key, value in self.shared.ledger.items() if there.get(key) != value}
            if lost:
                shown = ", ".join(f"{key} {value} is {there.get(key)}" for key, value in sorted(lost.items())[:10])
                self.violations.add(f"{member.name} lost {len(lost)} acknowledged puts: {shown}")
        self.tally.add("acknowledged puts of the ledger found on all", len(self.shared.ledger))

    def check_watchers(self, revision: int) -> None:
        until = time.monotonic() + CONVERGENCE_LIMIT
        while any(watcher.revision < revision for watcher in self.watchers) and time.monotonic() < until:
            self.rest(0.1)
        shown = ", ".join(f"{one.member.name}: {one.events} to {one.revision}" for one in self.watchers)
        if any(watcher.revision != revision for watcher in self.watchers):
            self.violations.add(f"watchers have not seen all up to {revision}: {shown}")
            return
        if len({(watcher.events, watcher.digest) for watcher in self.watchers}) != 1:
            self.violations.add(f"watchers saw different events: {shown}")
        for watcher in self.watchers:
            missed = [
                key for key, (_, changed) in self.shared.ledger.items() if watcher.ledger.get(key) != changed
            ]
            if missed:
                self.violations.add(f"the watch of {watcher.member.name} missed {len(missed)} puts: {missed[:10]}")
        self.tally.add("watch events", sum(watcher.events for watcher in self.watchers))

    def summary(self) -> None:
        print(f"\nseed {self.seed}, members {self.options.members}, {time.monotonic() - self.began:.0f} s")
        print("faults:")
        for name, count in sorted(self.faults.items()):
            print(f"  {count:5} {name} ({self.done_during[name]} puts done meanwhile)")
        print(f"  {sum(self.faults.values()):5} in all")
        if self.waits:
            waits = sorted(self.waits)
            late = sum(1 for wait in waits if wait > LEADER_DUE)
            print(
                f"leader again after healing: median {waits[len(waits) // 2]:.2f} s, longest {waits[-1]:.2f} s,"
                f" later than {LEADER_DUE:.0f} s: {late} of {len(waits)}"
            )
        for member in self.cluster.members:
            for path in sorted(member.directory.glob("log-*.txt")):
                text = path.read_text(errors="replace")
                # Genuine etcd and ours say the same.
                self.tally.add("snapshots received", text.count('"msg":"received and saved database snapshot"'))
                self.tally.add("snapshots taken", text.count('"msg":"saved snapshot"'))
        print("counts:")
        for name, count in sorted(self.tally.counts.items()):
            print(f"  {count:7} {name}")
        print(f"packets: {self.network.counts}")
        print(f"starts: {', '.join(f'{one.name} {one.starts}' for one in self.cluster.members)}")
        print(f"violations: {len(self.violations.found)}", flush=True)

    def close(self) -> None:
        self.shared.stop.set()
        for watcher in self.watchers:
            watcher.close()
        self.cluster.close()
        self.network.close()
        self.checker.shutdown()
        self.events.close()
