"""Disks that stall and disks that fill: the leader gives its office up, and nothing is acknowledged that is not kept.

The disk of one member is a file system of its own: a small one in memory that fills, or an ext4 image on a loop device that
is frozen. Where the machine does not let a test mount, it is skipped.
"""

import contextlib
import json
import os
import signal
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from harness.api import Client, Failure
from harness.cluster import OURS, Cluster
from harness.metrics import scrape
from harness.waiting import halt, wait_until

# In one worker with all that freezes disks: a frozen file system holds up whoever synchronises all of them.
pytestmark = [pytest.mark.ours_only, pytest.mark.xdist_group("frozen disks")]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Mount:
    """A file system at `path`; ends with the test, thawed before it is unmounted."""

    def __init__(self, path: Path):
        self.path = path
        self.device: str | None = None
        self.is_frozen = False
        path.mkdir(parents=True)

    def memory(self, megabytes: int) -> "Mount":
        return self._mounted("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs")

    def resize(self, kilobytes: int) -> None:
        run("mount", "-o", f"remount,size={kilobytes}k", str(self.path))

    def image(self, file: Path, megabytes: int) -> "Mount":
        with open(file, "wb") as image:
            image.truncate(megabytes << 20)
        try:
            run("mkfs.ext4", "-q", str(file))
            self.device = run("losetup", "-f", "--show", str(file))
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no loop devices here: {error}")
        return self._mounted(self.device)

    def _mounted(self, *what: str) -> "Mount":
        try:
            run("mount", *what, str(self.path))
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            pytest.skip(f"file systems cannot be mounted here: {error}")
        return self

    def freeze(self) -> None:
        run("fsfreeze", "-f", str(self.path))
        self.is_frozen = True

    def thaw(self) -> None:
        if self.is_frozen:
            run("fsfreeze", "-u", str(self.path))
        self.is_frozen = False

    def close(self) -> None:
        self.thaw()
        subprocess.run(["umount", str(self.path)], capture_output=True)
        if self.device:
            subprocess.run(["losetup", "-d", self.device], capture_output=True)


@pytest.fixture
def trouble(directory: Path):
    """Makes a started cluster whose first member, which leads, has its data on a file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts file systems")
    made: list = []

    def make(mounted, count: int = 3) -> tuple[Cluster, Mount]:
        mount = Mount(directory / "disk")
        made.append(mount)
        mounted(mount, directory)
        cluster = Cluster(directory / "cluster", [OURS] * count)
        made.insert(0, cluster)
        cluster.members[0].data_dir = mount.path / "data"
        cluster.start()
        cluster.move_leader(cluster.members[0])
        return cluster, mount

    yield make
    for mount in made:
        if isinstance(mount, Mount):
            # A process that waits for a frozen disk cannot end.
            mount.thaw()
    for thing in made:
        thing.close()


def frozen_image(mount: Mount, directory: Path) -> None:
    mount.image(directory / "image", 400)


def small_memory(mount: Mount, directory: Path) -> None:
    # Two segments of the log, one of them made in advance, and little besides.
    mount.memory(150)


def test_a_leader_whose_disk_stalls_hands_over(trouble):
    cluster, mount = trouble(frozen_image)
    first = cluster.members[0]
    others = cluster.members[1:]
    first.put("a", "0")
    mount.freeze()
    answers: list = []
    writer = threading.Thread(target=lambda: answers.append(first.call("KV.Put", key=b"a", value=b"1", timeout=60.0)))
    writer.start()
    wait_until(
        lambda: {member.ask("Maintenance.Status").leader for member in others} in ({others[0].id}, {others[1].id}),
        "another member to lead")
    assert "handing over leadership since the disk of the write-ahead log does not answer" in first.log()
    # The cluster goes on without it; what it could not write itself the others have, or not at all.
    others[0].put("b", "1")
    assert others[1].get("b") == "1"
    assert not answers or isinstance(answers[0], Failure), "acknowledged by a member that could not write it"
    mount.thaw()
    writer.join()
    wait_until(lambda: "the disk of the write-ahead log answers again" in first.log(), "the disk to be noticed")
    others[0].put("c", "1")
    assert first.get("c") == "1"
    cluster.assert_equal_hashes()


def test_a_leader_without_a_successor_steps_down(trouble):
    cluster, mount = trouble(frozen_image)
    first, second, third = cluster.members
    second.kill()
    mount.freeze()
    answers: list = []
    writer = threading.Thread(target=lambda: answers.append(first.call("KV.Put", key=b"a", value=b"1", timeout=60.0)))
    writer.start()
    wait_until(lambda: first.ask("Maintenance.Status").leader != first.id, "the leader to step down")
    # Two of three cannot elect anyone while one of them cannot write its vote.
    assert third.ask("Maintenance.Status").leader == 0 or first.ask("Maintenance.Status").leader == 0
    mount.thaw()
    writer.join()
    assert isinstance(answers[0], Failure) or first.get("a") == "1"
    third.put("b", "1")
    assert first.get("b") == "1"


@pytest.mark.parametrize("count", (1, 3))
def test_a_process_whose_disk_is_full_ends_with_the_reason(trouble, count):
    cluster, mount = trouble(small_memory, count)
    first = cluster.members[0]
    acknowledged = []
    big = b"x" * 1_000_000

    def fill() -> bool:
        if first.process.poll() is not None:
            return True
        number = len(acknowledged)
        answer = first.call("KV.Put", key=str(number).encode(), value=big)
        if not isinstance(answer, Failure):
            acknowledged.append(number)
        return first.process.poll() is not None

    wait_until(fill, "the disk to be full and the process to end", 120.0)
    assert first.process.returncode == 1
    first.process = None
    assert [line for line in first.log().splitlines() if '"level":"fatal"' in line and "No space left on device" in line]
    if count > 1:
        leader = cluster.leader()
        assert leader is not first
        for number in acknowledged:
            assert len(leader.ask("KV.Range", key=str(number).encode()).kvs) == 1, f"{number} is lost"
        leader.put("a", "1")


def break_root_page(database: Path) -> None:
    """Overwrites the page that the newest meta page of a Bolt file names as its root."""
    with open(database, "r+b") as file:
        size = struct.unpack_from("<I", file.read(64), 24)[0]
        newest = (0, 0)
        for number in (0, 1):
            file.seek(number * size)
            root, transaction = struct.unpack_from("<16xQ24xQ", file.read(size), 16)
            newest = max(newest, (transaction, root))
        file.seek(newest[1] * size)
        file.write(b"\xff" * size)


def test_a_leader_that_cannot_read_its_database_hands_over(cluster_with):
    """It finds out when a member needs a snapshot, and another leads before it ends."""
    cluster = cluster_with(OURS, OURS, OURS, snapshot_count=20, snapshot_catchup_entries=1)
    first, second, third = cluster.members
    cluster.move_leader(first)
    # Longer than what a leader sends ahead (512 messages), so that the member which stands still needs more than entries.
    halt(third.process.pid)
    for number in range(700):
        first.put(f"k/{number}", "1")
    database = first.data_dir / "member" / "snap" / "db"
    # When nothing is pending any more the file rests.
    seen: list[int] = []

    def rests() -> bool:
        seen.append(database.stat().st_mtime_ns)
        return len(seen) > 4 and len(set(seen[-5:])) == 1

    wait_until(rests, "the last commit", interval=0.25)
    break_root_page(database)
    os.kill(third.process.pid, signal.SIGCONT)
    wait_until(lambda: first.process.poll() is not None, "the leader to end")
    assert first.process.returncode == 1
    first.process = None
    log = first.log().splitlines()
    fatal = [number for number, line in enumerate(log) if '"level":"fatal"' in line]
    assert fatal and "failed to read the backend" in log[fatal[0]], log[-5:]
    handover = [number for number, line in enumerate(log) if "handing over leadership since its disk has failed" in line]
    assert handover and handover[0] < fatal[0]
    # Whom it asked has led since, and brings the member that was behind up to date.
    assert cluster.leader() is second
    assert third.get("k/699") == "1"
    second.put("a", "1")
    cluster.assert_equal_hashes()


@pytest.fixture
def small(directory: Path):
    """Makes small file systems in memory at given places."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts file systems")
    made: list[Mount] = []

    def make(path: Path, kilobytes: int) -> Mount:
        made.append(Mount(path).memory(1))
        made[-1].resize(kilobytes)
        return made[-1]

    yield make
    for mount in made:
        mount.close()


def is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError:
        return False


def test_logs_on_a_full_disk_keep_whole_lines(small, directory, member_with):
    """What does not fit is lost and told of, in the log and in the audit log; nothing is glued to half a line."""
    mount = small(directory / "logs", 256)
    log, audit, filler = (mount.path / name for name in ("etcd.log", "audit.log", "filler"))
    member = member_with(None, f"--log-outputs={log}", f"--audit-log-path={audit}").start()
    client = Client(member.endpoint)

    def work() -> None:
        # Each compaction is a line of the log, each call one of the audit log.
        for _ in range(20):
            put = client.call("KV.Put", key=b"a", value=b"1")
            assert not isinstance(put, Failure), put
            assert not isinstance(client.call("KV.Compact", revision=put.header.revision), Failure)

    def is_full() -> bool:
        before = log.stat().st_size
        work()
        return log.stat().st_size == before and scrape(f"http://{member.endpoint}")["etcd_audit_log_dropped_total"].value() > 0

    def is_told() -> bool:
        work()
        return "dropped log lines" in log.read_text() and scrape(f"http://{member.endpoint}")["etcd_audit_log_written_total"].value() > written

    try:
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        wait_until(is_full, "both files to be full", 120.0)
        written = scrape(f"http://{member.endpoint}")["etcd_audit_log_written_total"].value()
        filler.unlink()
        mount.resize(8192)
        wait_until(is_told, "lines to be written again", 120.0)
    finally:
        client.close()
    member.stop()
    assert [line for line in audit.read_text().splitlines() if not is_object(line)] == []
    lines = log.read_text().splitlines()
    assert sum(not is_object(line) for line in lines) <= 1, "one line was begun when the disk was full"
    assert all(line.count('{"level":') <= 1 for line in lines)


def test_a_certificate_that_a_full_disk_cut_short_is_made_anew(small, directory, member_with):
    """A member that could not write the key of its own certificate can be started once there is room."""
    member = member_with(None, "--auto-tls")
    # The certificate's page, and none for the key.
    mount = small(member.data_dir / "fixtures" / "client", 4)
    plain = f"http://{member.endpoint}"
    member.flags = ("--auto-tls", f"--listen-client-urls={plain.replace('http', 'https')}")
    member.launch()
    assert member.process.wait(60) == 1
    member.process = None
    assert "no space left on device" in member.log()
    mount.resize(1024)
    member.launch()
    wait_until(lambda: "ready to serve client requests" in member.log(), "the member to serve")
