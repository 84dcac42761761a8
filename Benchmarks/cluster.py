"""Three members of each kind under the same load, through the leader and through all members, and how long a cluster is
without a leader when that is killed."""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import http2
import load

OURS, BASE = "ours", "etcd"
LEADER, ALL = "leader", "all"
KEY, VALUE = b"bench/00", b"v" * 256

# What issue 3 asks for.
RATE_TARGETS = {"put": 2.5, "range-linearizable": 4.0}
TARGET_SHAPES = ("10x10", "100x1")
FAILOVER_TARGET = 1.0

# Milliseconds, for both kinds: etcd's defaults.
TIMERS = ["--heartbeat-interval", "100", "--election-timeout", "1000"]

# Between two writes through one member while a failover is timed: how finely it is timed.
WRITE_INTERVAL = 0.005


class Member:
    """A member's command and its process, which may be killed and started again."""

    def __init__(self, kind: str, number: int, binary: str, directory: Path, first: int, last: int):
        self.name = f"infra{number}"
        self.kind, self.binary, self.directory = kind, binary, directory / self.name
        self.port = load.free_port(first, last)
        self.peer = load.free_port(self.port + 1, last)
        self.server: load.Server | None = None

    def start(self, initial_cluster: str, flags: list[str]) -> None:
        client, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.peer}"
        self.server = load.Server(f"{self.kind}'s {self.name}", [
            self.binary, "--name", self.name, "--data-dir", str(self.directory / "data"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", initial_cluster,
            # Versions of etcd differ in its default.
            "--snapshot-count", "100000", *TIMERS, *flags,
        ], self.directory, self.port)


class Cluster:
    """Three fresh members of one kind."""

    def __init__(self, kind: str, binary: str, directory: Path, first: int, last: int, options: argparse.Namespace):
        self.kind, self.options = kind, options
        self.members: list[Member] = []
        for number in range(1, options.members + 1):
            self.members.append(Member(kind, number, binary, directory, first, last))
            first = self.members[-1].peer + 1
        self.next_port = first
        self.initial = ",".join(f"{member.name}=http://127.0.0.1:{member.peer}" for member in self.members)
        for member in self.members:
            member.start(self.initial, options.flags)
        for member in self.members:
            member.server.wait_healthy()

    def servers(self) -> list[load.Server]:
        return [member.server for member in self.members]

    def control(self, *command: str, stdin: str = "", endpoints: list[Member] | None = None) -> str:
        ports = ",".join(f"127.0.0.1:{member.port}" for member in endpoints or self.members)
        done = subprocess.run(
            [self.options.etcdctl, "--endpoints", ports, *command], input=stdin, capture_output=True, text=True, check=False,
            env={"ETCDCTL_API": "3"},
        )
        if done.returncode != 0:
            sys.exit(f"etcdctl {' '.join(command)} against {self.kind}: {done.stderr}")
        return done.stdout

    def leader(self, timeout: float = 30) -> Member:
        """The member that all of them follow."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            answers = [one["Status"] for one in json.loads(self.control("endpoint", "status", "-w", "json"))]
            leaders = {(answer["leader"], answer["raftTerm"]) for answer in answers}
            if len(answers) == len(self.members) and len(leaders) == 1:
                for member, answer in zip(self.members, answers):
                    if answer["header"]["member_id"] == answer["leader"]:
                        return member
            time.sleep(0.05)
        sys.exit(f"{self.kind}: the members do not agree on a leader")

    def fill(self, keys: int) -> None:
        leader = [self.leader()]
        self.control("put", KEY.decode(), VALUE.decode(), endpoints=leader)
        for start in range(0, keys, 128):
            puts = "".join(f'put fill/{number:08} "{"f" * 128}"\n' for number in range(start, min(start + 128, keys)))
            self.control("txn", stdin=f"\n{puts}\n\n", endpoints=leader)

    def revision(self) -> int:
        return json.loads(self.control("get", KEY.decode(), "-w", "json"))["header"]["revision"]

    def targets(self, where: str, shape: load.Shape, requests: int) -> list[load.Target]:
        """The whole load for the leader, or the connections spread evenly over all members."""
        if where == LEADER:
            return [load.Target(self.leader().server, shape, requests)]
        count = len(self.members)
        shares = [shape.connections // count + (number < shape.connections % count) for number in range(count)]
        return [
            load.Target(member.server, load.Shape(share, shape.streams), requests * share // shape.connections)
            for member, share in zip(self.members, shares) if share
        ]

    def stop(self) -> None:
        # All are told before any is awaited: the last of them would wait for a majority that is gone.
        for server in self.servers():
            if server is not None and server.process.poll() is None:
                server.process.send_signal(signal.SIGTERM)
        for server in self.servers():
            if server is not None:
                server.stop()


def clusters(scratch: Path, options: argparse.Namespace) -> list[Cluster]:
    first, last = (int(part) for part in options.ports.split("-"))
    base = Cluster(BASE, options.etcd, scratch / BASE, first, last, options)
    try:
        return [base, Cluster(OURS, options.ours, scratch / OURS, base.next_port, last, options)]
    except SystemExit:
        base.stop()
        raise


def measure(operation: str, path: str, body: Path, shape: load.Shape, requests: int, scratch: Path,
            options: argparse.Namespace) -> list[load.Comparison]:
    """Through the leader and through all, on the same two clusters."""
    comparisons = []
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        pair = clusters(Path(folder), options)
        try:
            for cluster in pair:
                cluster.fill(options.keys)
                for member in cluster.members:
                    status = load.grpc_status(member.server, path, body)
                    if status != "0":
                        sys.exit(f"{member.server.name} answers {operation} with grpc-status {status}")
            for where in (LEADER, ALL):
                if where == ALL and shape.connections < options.members:
                    continue
                comparison = load.Comparison(f"{operation}, {where}", str(shape), requests, {BASE: [], OURS: []})
                for repetition in range(-1, options.repetitions):
                    for cluster in pair if repetition % 2 == 0 else reversed(pair):
                        # The first run warms up.
                        count = requests if repetition >= 0 else max(shape.connections * shape.streams, requests // 10)
                        targets = cluster.targets(where, shape, count)
                        leader, before = cluster.leader(), cluster.revision()
                        sample = load.run_h2loads(targets, cluster.servers(), path, body, scratch)
                        written, asked = cluster.revision() - before, sum(target.requests for target in targets)
                        if written != (asked if operation == "put" else 0):
                            sys.exit(f"{cluster.kind} made {written} revisions of {asked} requests of {operation}")
                        if cluster.leader() is not leader:
                            sys.exit(f"{cluster.kind}'s leader changed under load: the run says nothing")
                        if operation != "put" and sample.data_per_request < len(VALUE):
                            sys.exit(f"{cluster.kind} answered {sample.data_per_request:.0f} bytes to a range of {len(VALUE)}")
                        if repetition >= 0:
                            comparison.samples[cluster.kind].append(sample)
                comparisons.append(comparison)
        finally:
            for cluster in pair:
                cluster.stop()
    return comparisons


# ---- Failover


def failover(cluster: Cluster, round_number: int, timeout: float = 30) -> float:
    """Seconds from kill -9 of the leader to the first answer to a write that was sent after it, through the others."""
    leader = cluster.leader()
    connections = [http2.Connection(member.port) for member in cluster.members if member is not leader]
    killed, step, began = None, 0, time.monotonic()
    heard: set[int] = set()
    try:
        while time.monotonic() - began < timeout:
            for number, connection in enumerate(connections):
                connection.put(b"failover/%d/%d/%d" % (round_number, number, step), VALUE)
            step += 1
            pause_ends = time.monotonic() + WRITE_INTERVAL
            while (left := pause_ends - time.monotonic()) > 0:
                for number, connection in enumerate(connections):
                    for sent in connection.receive(left / len(connections)):
                        if killed is not None and sent >= killed:
                            return time.monotonic() - killed
                        heard.add(number)
            # Both connections are known to work by then, and the cluster is at its usual pace.
            if killed is None and len(heard) == len(connections) and step > 100:
                killed = time.monotonic()
                leader.server.process.kill()
        sys.exit(f"{cluster.kind}: no write acknowledged within {timeout} s of the leader's end")
    finally:
        for connection in connections:
            connection.close()
        if killed is not None:
            leader.server.process.wait()
            leader.start(cluster.initial, cluster.options.flags)
            leader.server.wait_healthy()


def measure_failover(scratch: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {BASE: [], OURS: []}
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        pair = clusters(Path(folder), options)
        try:
            for round_number in range(options.failovers):
                for cluster in pair if round_number % 2 == 0 else reversed(pair):
                    times[cluster.kind].append(failover(cluster, round_number))
        finally:
            for cluster in pair:
                cluster.stop()
    return times


# ---- Report


def row(comparison: load.Comparison) -> list[str]:
    cells = load.cells(comparison, OURS, BASE)
    target = RATE_TARGETS.get(comparison.operation.split(",")[0])
    if target is None or comparison.shape not in TARGET_SHAPES:
        return cells + [""]
    return cells + ["met" if comparison.ratio(OURS, BASE, "rate") >= target else "missed"]


def failover_table(times: dict[str, list[float]]) -> str:
    rows = [["failover in ms", "kind", "least", "median", "most"]]
    for kind, values in times.items():
        rows.append(["", kind, *(f"{1000 * value:.0f}" for value in (min(values), statistics.median(values), max(values)))])
    ratio = statistics.median(times[OURS]) / statistics.median(times[BASE])
    return load.table(rows) + f"\nratio of medians {ratio:.2f}: {'met' if ratio <= FAILOVER_TARGET else 'missed'}"


def run(options: argparse.Namespace, operations: dict, requests_of, machine: dict) -> None:
    print(f"{options.members} members of each kind; CPU and RSS of all members together; the load goes to the leader or is spread over all\n",
          flush=True)
    comparisons: list[load.Comparison] = []
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="bench-") as folder:
        scratch = Path(folder)
        for operation, (path, message) in operations.items():
            body = scratch / f"{operation}.bin"
            body.write_bytes(message)
            for shape in (load.Shape.parse(text) for text in options.shapes.split(",")):
                print(f"measuring {operation} {shape} …", file=sys.stderr, flush=True)
                comparisons += measure(operation, path, body, shape, requests_of(operation, shape), scratch, options)
        if options.failovers:
            print("measuring failover …", file=sys.stderr, flush=True)
            times = measure_failover(scratch, options)
    if comparisons:
        print(load.table([load.HEADINGS] + [row(comparison) for comparison in comparisons]))
    if times:
        print("\n" + failover_table(times))
    if options.json:
        Path(options.json).write_text(json.dumps({
            "machine": machine, "members": options.members, "flags": options.flags, "repetitions": options.repetitions,
            "comparisons": [comparison.as_json(OURS, BASE) for comparison in comparisons], "failover_seconds": times,
        }, indent=2) + "\n")
