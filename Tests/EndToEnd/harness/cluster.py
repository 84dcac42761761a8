"""Several members on loopback, of ours and of genuine etcd, that come and go."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterable

from . import settings
from .api import Client, Failure
from .member import Member
from .waiting import wait_until

OURS, GO = "ours", "go"
BINARIES = {OURS: settings.UNDER_TEST, GO: settings.GENUINE}

# Milliseconds: etcd's defaults. Shorter ones make busy machines elect for no reason.
TIMERS = {"heartbeat-interval": 100, "election-timeout": 1000}


class ClusterMember(Member):
    """A member of several. Its URLs are those it listens on; its kind may change while it is stopped."""

    def __init__(self, kind: str, directory: Path, name: str, options: dict[str, Any]):
        super().__init__(BINARIES[kind], directory, name=name)
        self.options = dict(options)
        self.initial_cluster = ""
        self.initial_state = "new"
        self.client = Client(self.endpoint)
        self._id: int | None = None

    @property
    def kind(self) -> str:
        return GO if self.binary == BINARIES[GO] else OURS

    @kind.setter
    def kind(self, kind: str) -> None:
        assert self.process is None, f"{self.name} runs"
        self.binary = BINARIES[kind]

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def id(self) -> int:
        if self._id is None:
            self._id = self.ask("Maintenance.Status").header.member_id
        return self._id

    def settings(self) -> dict[str, Any]:
        url = f"http://{self.endpoint}"
        return {
            "name": self.name, "data-dir": str(self.data_dir),
            "listen-client-urls": url, "advertise-client-urls": url,
            "listen-peer-urls": self.peer_url, "initial-advertise-peer-urls": self.peer_url,
            "initial-cluster": self.initial_cluster, "initial-cluster-state": self.initial_state,
        } | self.options

    def command(self, *extra: str) -> list[str]:
        values = self.settings()
        if not self.is_genuine:
            flags = [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in values.items()]
            return [self.binary, *flags, *extra]
        # 3.4 has no flag for the entries kept behind a snapshot, but its configuration file reaches the field.
        if "snapshot-catchup-entries" in values:
            values["SnapshotCatchUpEntries"] = values.pop("snapshot-catchup-entries")
        values |= {"logger": "zap", "log-outputs": ["stderr"]}
        # The file wants durations in nanoseconds.
        for name in ("experimental-corrupt-check-time",):
            if name in values:
                values[name] = round(float(values[name].removesuffix("s")) * 1e9)
        # A switch among the flags is no part of the file, and with a file 3.4 ignores flags.
        values |= {name.removeprefix("--"): True for name in extra}
        file = self.directory / "configuration.yaml"
        # JSON is YAML.
        file.write_text(json.dumps(values, indent=1))
        return [self.binary, "--config-file", str(file)]

    def call(self, name: str, /, **fields: Any) -> Any:
        return self.client.call(name, **fields)

    def ask(self, name: str, /, **fields: Any) -> Any:
        """A call that must succeed."""
        answer = self.call(name, **fields)
        assert not isinstance(answer, Failure), f"{self.name} ({self.kind}) answers {name} with {answer}\n{self.log_end()}"
        return answer

    def put(self, key: str, value: str = "", **fields: Any) -> Any:
        return self.ask("KV.Put", key=key.encode(), value=value.encode(), **fields)

    def get(self, key: str, **fields: Any) -> str | None:
        """The value of a key, by a linearizable read unless told otherwise."""
        kvs = self.ask("KV.Range", key=key.encode(), **fields).kvs
        return kvs[0].value.decode() if kvs else None

    def close(self) -> None:
        self.client.close()
        super().close()

    def __repr__(self) -> str:
        return f"{self.name} ({self.kind})"


class Cluster:
    """Members that know each other."""

    def __init__(self, directory: Path, kinds: Iterable[str], token: str = "etcd-cluster-1", **options: Any):
        self.directory = directory
        # Keyword arguments have underscores where flags have dashes.
        self.options = TIMERS | {"initial-cluster-token": token} | {key.replace("_", "-"): value for key, value in options.items()}
        self.members: list[ClusterMember] = []
        self._gone: list[ClusterMember] = []
        for kind in kinds:
            self._make(kind)
        for member in self.members:
            member.initial_cluster = self._initial_cluster()

    def _make(self, kind: str) -> ClusterMember:
        name = f"infra{len(self.members) + len(self._gone) + 1}"
        member = ClusterMember(kind, self.directory / name, name, self.options)
        self.members.append(member)
        return member

    def _initial_cluster(self) -> str:
        return ",".join(f"{member.name}={member.peer_url}" for member in self.members)

    # ---- Life

    def start(self) -> "Cluster":
        for member in self.members:
            member.launch()
        self.wait_healthy()
        return self

    def wait_healthy(self) -> None:
        for member in self.running():
            member.wait_healthy()

    def close(self) -> None:
        for member in self.members + self._gone:
            member.close()

    def running(self) -> list[ClusterMember]:
        return [member for member in self.members if member.is_running]

    def endpoints(self) -> list[str]:
        return [member.endpoint for member in self.running()]

    def each(self, action: Callable[[ClusterMember], Any], members: Iterable[ClusterMember] | None = None) -> list[Any]:
        """Runs `action` for all members at once."""
        members = list(self.members if members is None else members)
        with ThreadPoolExecutor(len(members)) as pool:
            return list(pool.map(action, members))

    def of_kind(self, kind: str) -> list[ClusterMember]:
        return [member for member in self.members if member.kind == kind]

    def kill_all(self) -> None:
        # One after the other without waiting in between.
        for member in self.running():
            member.process.kill()
        for member in self.members:
            if member.process is not None:
                member.kill()

    # ---- Leadership

    def leader(self, timeout: float = 60.0) -> ClusterMember:
        """Waits until the running members know one leader of one term, and it runs; returns it."""
        seen: dict[str, Any] = {}

        def agreed() -> ClusterMember | None:
            seen.clear()
            running = self.running()
            for member in running:
                seen[repr(member)] = member.call("Maintenance.Status", timeout=2.0)
            statuses = list(seen.values())
            if any(isinstance(status, Failure) for status in statuses):
                return None
            if len({(status.leader, status.raftTerm) for status in statuses}) != 1 or statuses[0].leader == 0:
                return None
            found = [member for member, status in zip(running, statuses) if status.header.member_id == status.leader]
            return found[0] if found else None

        try:
            return wait_until(agreed, "a leader that all know", timeout)
        except TimeoutError as late:
            logs = "\n".join(f"--- {member}\n{member.log_end()}" for member in self.running())
            raise TimeoutError(f"{late}: {seen}\n{logs}") from None

    def followers(self) -> list[ClusterMember]:
        leader = self.leader()
        return [member for member in self.running() if member is not leader]

    def move_leader(self, target: ClusterMember) -> None:
        """Makes `target` the leader, asking again when a transfer is given up."""
        for _ in range(10):
            leader = self.leader()
            if leader is target:
                return
            leader.call("Maintenance.MoveLeader", targetID=target.id)
        assert self.leader() is target, f"{target} does not become the leader"

    # ---- Membership

    def listed(self, by: ClusterMember | None = None) -> Any:
        return (by or self.leader()).ask("Cluster.MemberList").members

    def add(self, kind: str, learner: bool = False, start: bool = True) -> ClusterMember:
        """Adds a member to the cluster, and starts it with an empty directory."""
        leader = self.leader()
        member = self._make(kind)

        def added() -> bool:
            # Genuine etcd may let a change hang that comes too soon after another, until the client gives up.
            answer = leader.call("Cluster.MemberAdd", peerURLs=[member.peer_url], isLearner=learner, timeout=10.0)
            if not isinstance(answer, Failure) or "Peer URLs already exists" in answer.details:
                return True
            # The strict check wants every connection to be some seconds old; leadership may have moved.
            retry = ("unhealthy cluster", "leader", "too many learner", "timed out", "Deadline Exceeded")
            assert any(text in answer.details for text in retry), answer
            return any(found.peerURLs[0] == member.peer_url for found in self.listed())

        wait_until(added, f"{member} to be added", 90.0, interval=0.25)
        member.initial_state = "existing"
        member.initial_cluster = self._initial_cluster()
        if start:
            member.start()
        return member

    def remove(self, member: ClusterMember) -> None:
        """Removes a member, which then ends by itself when it runs."""
        identity = member.id
        others = [other for other in self.running() if other is not member]

        def removed() -> bool:
            answer = others[0].call("Cluster.MemberRemove", ID=identity, timeout=10.0)
            others.append(others.pop(0))
            if not isinstance(answer, Failure) or "member not found" in answer.details:
                return True
            retry = ("unhealthy", "not enough started", "leader", "timed out", "Deadline Exceeded")
            assert any(text in answer.details for text in retry), answer
            return False

        wait_until(removed, f"{member} to be removed", 90.0, interval=0.25)
        if member.process is not None:
            try:
                wait_until(lambda: member.process.poll() is not None, f"the removed {member} to end by itself", 30.0)
            except TimeoutError as late:
                raise TimeoutError(f"{late}\n{member.log_end()}") from None
            member.process = None
        self.members.remove(member)
        self._gone.append(member)

    def replace(self, member: ClusterMember, kind: str) -> ClusterMember:
        """Removes a member and adds a fresh one of `kind`."""
        self.remove(member)
        return self.add(kind)

    def exchange(self, member: ClusterMember, kind: str) -> None:
        """Stops a member and starts another server on its data directory."""
        member.stop()
        member.kind = kind
        member.start()

    # ---- Agreement

    def revision(self) -> int:
        """The store's revision by a linearizable read."""
        return self.running()[0].ask("KV.Range", key=b"\0").header.revision

    def wait_applied(self, revision: int) -> None:
        """Waits until every running member has applied `revision`."""
        for member in self.running():
            wait_until(
                lambda: member.ask("KV.Range", key=b"\0", serializable=True).header.revision >= revision,
                f"{member} to apply revision {revision}\n{member.log_end()}",
            )

    def assert_equal_hashes(self) -> int:
        """Compares HashKV of all running members at one revision, once all are there and have compacted alike."""
        revision = self.revision()
        self.wait_applied(revision)
        answers: dict[str, Any] = {}

        def compacted_alike() -> bool:
            answers.update({repr(member): member.ask("Maintenance.HashKV", revision=revision) for member in self.running()})
            return len({answer.compact_revision for answer in answers.values()}) == 1

        wait_until(compacted_alike, "all members to have compacted alike")
        assert len({answer.hash for answer in answers.values()}) == 1, f"hashes differ at revision {revision}: {answers}"
        return revision
