"""The members' processes."""

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness.api import Client, Failure
from namespaces import Namespace

HEARTBEAT = 0.1
ELECTION_TIMEOUT = 1.0
# Small, so that a run of minutes takes many snapshots and lagging members need one.
SNAPSHOT_COUNT = 1000
CATCH_UP_ENTRIES = 500
LOG_TAIL = 6000


@dataclass
class MemberProcess:
    """One member, counted from 1, with a data directory that outlives its processes."""

    number: int
    binary: str
    namespace: Namespace
    directory: Path
    initial_cluster: str
    is_genuine: bool
    process: subprocess.Popen | None = None
    starts: int = 0
    # When the program itself ended the process, so that its exit is no surprise.
    stopped_by_us: bool = True
    paused: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    _status: Client | None = None

    @property
    def name(self) -> str:
        return f"m{self.number}"

    @property
    def endpoint(self) -> str:
        return f"{self.namespace.client_address}:2379"

    @property
    def log_path(self) -> Path:
        return self.directory / f"log-{self.starts}.txt"

    def command(self) -> list[str]:
        peer = f"http://{self.namespace.peer_address}:2380"
        client = f"http://{self.endpoint}"
        command = [
            self.binary, "--name", self.name, "--data-dir", str(self.directory / "data"),
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--initial-cluster", self.initial_cluster, "--initial-cluster-token", "trouble",
            "--heartbeat-interval", str(int(HEARTBEAT * 1000)), "--election-timeout", str(int(ELECTION_TIMEOUT * 1000)),
            "--snapshot-count", str(SNAPSHOT_COUNT),
        ]
        if self.is_genuine:
            # 3.4 keeps 5,000 entries whatever it is told, and has pre-vote off by default.
            return command + ["--logger", "zap", "--log-outputs", "stderr", "--pre-vote"]
        return command + ["--snapshot-catchup-entries", str(CATCH_UP_ENTRIES)]

    def start(self) -> None:
        with self.lock:
            self.starts += 1
            self.directory.mkdir(parents=True, exist_ok=True)
            environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD_")}
            with open(self.log_path, "wb") as log:
                # nsenter becomes the member. Python code between fork and exec is not safe beside gRPC's threads.
                file = self.namespace.file
                self.process = subprocess.Popen(
                    ["nsenter", f"--net=/proc/self/fd/{file}", *self.command()], stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, cwd=self.directory, env=environment, pass_fds=[file],
                )
            self.stopped_by_us = False
            self.paused = False

    def kill(self) -> None:
        """kill -9."""
        with self.lock:
            if self.process is None:
                return
            self.stopped_by_us = True
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        with self.lock:
            if self.process is not None:
                self.process.send_signal(signal.SIGSTOP)
                self.paused = True

    def resume(self) -> None:
        with self.lock:
            if self.process is not None:
                self.process.send_signal(signal.SIGCONT)
            self.paused = False

    def unexpected_exit(self) -> int | None:
        """The exit code of a process that ended although nobody ended it."""
        with self.lock:
            if self.process is None or self.stopped_by_us:
                return None
            return self.process.poll()

    def log_tail(self) -> str:
        text = self.log_path.read_bytes() if self.log_path.exists() else b""
        return text[-LOG_TAIL:].decode(errors="replace")

    def status(self, timeout: float = 0.5):
        """Maintenance.Status, or None when it does not come in time."""
        if self._status is None:
            self._status = Client(self.endpoint)
        answer = self._status.call("Maintenance.Status", timeout=timeout)
        return None if isinstance(answer, Failure) else answer

    def call(self, name: str, timeout: float, **fields):
        if self._status is None:
            self._status = Client(self.endpoint)
        return self._status.call(name, timeout=timeout, **fields)

    def close(self) -> None:
        self.resume()
        self.kill()
        if self._status is not None:
            self._status.close()


class Cluster:
    """All members."""

    def __init__(self, members: list[MemberProcess]):
        self.members = members

    def leader(self) -> MemberProcess | None:
        """The member that a majority takes for the leader, itself among them."""
        answers = {}
        for member in self.members:
            if member.process is None or member.paused:
                continue
            if (status := member.status()) is not None:
                answers[member.number] = status
        newest = max((status.raftTerm for status in answers.values()), default=0)
        for number, status in answers.items():
            if status.raftTerm != newest or status.leader != status.header.member_id:
                continue
            followers = sum(
                1 for other in answers.values() if other.raftTerm == newest and other.leader == status.leader
            )
            if followers * 2 > len(self.members):
                return self.members[number - 1]
        return None

    def wait_for_leader(self, timeout: float) -> tuple[MemberProcess | None, float]:
        """The leader and the seconds until there was one; None after `timeout`."""
        began = time.monotonic()
        while True:
            leader = self.leader()
            waited = time.monotonic() - began
            if leader is not None or waited > timeout:
                return leader, waited
            time.sleep(0.02)

    def close(self) -> None:
        for member in self.members:
            member.close()
