"""What flags of the store bring about."""

import re
import urllib.request

import pytest

from harness import settings
from harness.api import Client, Failure
from harness.member import Member
from harness.waiting import wait_until

BINARIES = pytest.mark.parametrize("binary", [settings.GENUINE, settings.UNDER_TEST], ids=["genuine", "ours"])


def commits(member: Member) -> int:
    """How often the backend was committed."""
    with urllib.request.urlopen(f"http://{member.endpoint}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return int(float(re.search(r"^etcd_disk_backend_commit_duration_seconds_count (\S+)", text, re.M).group(1)))


@BINARIES
def test_the_backend_is_committed_as_often_as_asked(member_with, binary):
    """By time, or by the number of operations, whichever comes first."""
    by_time = member_with(binary, "--backend-batch-interval=10ms", "--backend-batch-limit=1000000").start()
    by_count = member_with(binary, "--backend-batch-interval=1h", "--backend-batch-limit=5").start()
    never = member_with(binary, "--backend-batch-interval=1h", "--backend-batch-limit=1000000").start()
    members = [by_time, by_count, never]
    clients = [Client(member.endpoint) for member in members]
    for client in clients:
        assert not isinstance(client.call("KV.Put", key=b"first"), Failure)
    before = [commits(member) for member in members]

    def others_have_committed() -> bool:
        for client in clients:
            assert not isinstance(client.call("KV.Put", key=b"a", value=b"1"), Failure)
        return all(commits(member) >= before[number] + 10 for number, member in enumerate(members[:2]))

    wait_until(others_have_committed, "ten commits by time and by count")
    # What a start leaves to be committed may come late.
    assert commits(never) <= before[2] + 1
    for client in clients:
        client.close()


@BINARIES
def test_old_segments_of_the_log_are_removed(member_with, binary):
    """With --max-wals=0 none are; with another number a start removes those beyond it that no snapshot needs."""
    flags = ("--snapshot-count=5", "--unsafe-no-fsync", "--max-request-bytes=12000000")
    member: Member = member_with(binary, *flags).start("--max-wals=0")
    client = Client(member.endpoint)
    segments = member.data_dir / "member" / "wal"

    def names() -> list[str]:
        return sorted(path.name for path in segments.glob("*.wal"))

    value = bytes(10_000_000)
    for _ in range(16):
        assert not isinstance(client.call("KV.Put", key=b"a", value=value), Failure)
    client.close()
    # 64 MB each.
    before = names()
    assert len(before) >= 3
    member.stop()
    member.start("--max-wals=0")
    member.stop()
    assert names()[:len(before)] == before
    member.start("--max-wals=1")
    wait_until(lambda: len(names()) <= 1, "old segments to be removed")
    assert before[0] not in names() and names()[-1] >= before[-1]
    client = Client(member.endpoint)
    assert len(client.call("KV.Range", key=b"a").kvs[0].value) == len(value)
    client.close()


@BINARIES
def test_old_snapshots_are_removed(member_with, binary):
    """With --max-snapshots=0 none are; with another number a start removes those beyond it."""
    member: Member = member_with(binary, "--snapshot-count=5").start("--max-snapshots=0")
    client = Client(member.endpoint)
    folder = member.data_dir / "member" / "snap"

    def names() -> list[str]:
        return sorted(path.name for path in folder.glob("*.snap"))

    def many() -> bool:
        assert not isinstance(client.call("KV.Put", key=b"a"), Failure)
        return len(names()) >= 7

    wait_until(many, "seven snapshots")
    client.close()
    member.stop()
    before = names()
    member.start("--max-snapshots=2")
    wait_until(lambda: before[0] not in names() and len(names()) <= 2, "old snapshots to be removed")
    assert names()[-1] >= before[-1]
