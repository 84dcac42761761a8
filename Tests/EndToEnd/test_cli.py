"""The command line: flags, environment, refusals, logs, signals."""

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from harness import settings
from harness.api import Client
from harness.etcdctl import Session
from harness.member import Member, clean_environment
from harness.ports import free_port
from harness.waiting import wait_until


def run(*flags: str, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [settings.UNDER_TEST, *flags], capture_output=True, text=True, timeout=30, cwd=cwd,
        env=clean_environment() | (environment or {}), check=False, stdin=subprocess.DEVNULL,
    )


def test_version(directory):
    done = run("--version", cwd=directory)
    assert done.returncode == 0
    assert re.fullmatch(r"etcd Version: \d+\.\d+\.\d+\S*", done.stdout.split("\n")[0])


def quiet_ports() -> list[str]:
    client, peer = free_port(), free_port()
    return [
        "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
        "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
        "--initial-cluster", f"default=http://127.0.0.1:{peer}",
    ]


@pytest.mark.ours_only
def test_advertised_url_is_needed_with_a_listening_one(directory):
    done = run("--listen-client-urls", f"http://127.0.0.1:{free_port()}", cwd=directory)
    assert done.returncode == 1
    assert "advertise-client-urls" in done.stderr


@pytest.mark.ours_only
def test_unwritable_directory(directory):
    """A path below a file: nobody can make a directory there, root neither."""
    (directory / "file").write_text("")
    done = run(*quiet_ports(), "--data-dir", str(directory / "file" / "data"), cwd=directory)
    assert done.returncode == 1
    assert "file/data" in done.stderr.strip().split("\n")[-1]


@pytest.mark.ours_only
def test_port_in_use(directory):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        flags = quiet_ports()
        flags[1] = f"http://127.0.0.1:{port}"
        done = run(*flags, cwd=directory)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr.strip().split("\n")[-1]


def test_environment(directory, member_with):
    """ETCD_NAME and its like stand for flags."""
    member: Member = member_with()
    environment = {
        "ETCD_DATA_DIR": str(directory / "from-environment"),
        "ETCD_MAX_TXN_OPS": "3",
        "ETCD_LISTEN_CLIENT_URLS": f"http://{member.endpoint}",
        "ETCD_ADVERTISE_CLIENT_URLS": f"http://{member.endpoint}",
        "ETCD_LISTEN_PEER_URLS": f"http://127.0.0.1:{member.peer_port}",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": f"http://127.0.0.1:{member.peer_port}",
        "ETCD_INITIAL_CLUSTER": f"flagged=http://127.0.0.1:{member.peer_port}",
    }
    member.starts = 1
    with open(member.log_path, "wb") as log:
        member.process = subprocess.Popen(
            [settings.UNDER_TEST, "--name", "flagged"], env=clean_environment() | environment, cwd=member.directory,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )
    member.wait_healthy()
    assert (directory / "from-environment" / "member" / "wal").is_dir()
    client = Client(member.endpoint)
    assert [found.name for found in client.call("Cluster.MemberList").members] == ["flagged"]
    answer = client.call("KV.Txn", success=[{"request_put": {"key": b"%d" % n}} for n in range(4)])
    assert answer.details == "etcdserver: too many operations in txn request"
    client.close()


def test_flag_and_variable_at_once_are_refused(directory):
    done = run(*quiet_ports(), "--name", "default", cwd=directory, environment={"ETCD_NAME": "other"})
    assert done.returncode == 1
    assert 'conflicting environment variable "ETCD_NAME" is shadowed by corresponding command-line flag' in done.stderr


def test_equals_sign_and_single_dash(member_with):
    """Flags are taken as Go's flag package takes them."""
    member: Member = member_with(None, "-max-txn-ops=2", "--snapshot-count=500")
    member.start()
    client = Client(member.endpoint)
    answer = client.call("KV.Txn", success=[{"request_put": {"key": b"%d" % n}} for n in range(3)])
    assert answer.details == "etcdserver: too many operations in txn request"
    client.close()


def test_wal_directory(directory, member_with):
    wal = directory / "elsewhere"
    member: Member = member_with(None, "--wal-dir", str(wal)).start()
    assert list(wal.glob("*.wal"))
    assert (member.data_dir / "member" / "snap" / "db").exists()
    assert not list((member.data_dir / "member").glob("wal/*.wal"))


def test_data_directory_layout(member_with):
    """Where tools look: the backend, and the first segment under its well-known name."""
    member: Member = member_with().start()
    assert (member.data_dir / "member" / "snap" / "db").stat().st_size > 0
    first = member.data_dir / "member" / "wal" / "0000000000000000-0000000000000000.wal"
    assert first.stat().st_size == 64_000_000
    assert os.stat(member.data_dir).st_mode & 0o777 == 0o700


def test_logs(member_with):
    """Each line is a JSON object with level, time and message; tools wait for the line about readiness."""
    member: Member = member_with().start()
    if not member.is_genuine:
        # etcd 3.4 says this in its old plain log only.
        wait_until(lambda: '"ready to serve client requests"' in member.log(), "the line about readiness")
    member.stop()
    for line in member.log().strip().split("\n"):
        entry = json.loads(line)
        assert entry["level"] in ("debug", "info", "warn", "error")
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+", entry["ts"]), line
        assert entry["msg"]


def test_compaction_is_logged(member_with):
    member: Member = member_with().start()
    ctl = Session(member)
    for number in range(5):
        ctl.quiet("put", "a", number)
    ctl.quiet("compact", 4, "--physical")
    wait_until(lambda: "finished scheduled compaction" in member.log(), "the line about the compaction")


@pytest.mark.ours_only
def test_log_level(member_with):
    member: Member = member_with(None, "--log-level", "error").start()
    member.stop()
    assert member.log() == ""


def test_terminates(member_with):
    """SIGTERM ends the process as etcd does: by exit 0 or by the signal itself, and at once, with streams open."""
    member: Member = member_with().start()
    client = Client(member.endpoint)
    watch = client.watch()
    watch.created(key=b"a")
    client.call("KV.Put", key=b"a", value=b"1")
    assert member.stop(timeout=15) in (0, -15)
    client.close()
    member.start()
    client = Client(member.endpoint)
    assert client.call("KV.Range", key=b"a").kvs[0].value == b"1"
    client.close()


def test_second_process_waits_for_the_lock(directory, member_with):
    """Two processes never share a data directory: the second says what it waits for, and serves when the first ends."""
    first: Member = member_with().start()
    Session(first).quiet("put", "a", "1")
    second: Member = member_with()
    second.data_dir = first.data_dir
    second.launch()
    wait_until(lambda: "lock" in second.log() or second.process.poll() is not None, "the second process to speak", 30)
    assert second.process.poll() is None, second.log()
    assert not second.is_healthy()
    assert first.is_healthy()
    first.stop()
    second.wait_healthy()
    assert Session(second).quiet("get", "a").output == "a\n1\n"


DEFAULT_MEMBER, DEFAULT_CLUSTER = 10276657743932975437, 14841639068965178418


def test_default_ids(member_with):
    member: Member = member_with().start()
    client = Client(member.endpoint)
    header = client.call("Maintenance.Status").header
    assert (header.member_id, header.cluster_id) == (DEFAULT_MEMBER, DEFAULT_CLUSTER)
    client.close()


@pytest.mark.parametrize("number, member_id", [
    (1, "8211f1d0f64f3269"), (2, "91bc3c398fb3c146"), (3, "fd422379fda50e48"),
])
def test_ids_of_a_cluster(member_with, number, member_id):
    """The ids of etcd's Procfile cluster, which its documentation shows: said in the log before any election."""
    peers = {1: "http://127.0.0.1:12380", 2: "http://127.0.0.1:22380", 3: "http://127.0.0.1:32380"}
    member: Member = member_with()
    member.launch(
        "--name", f"infra{number}", "--initial-cluster-token", "etcd-cluster-1",
        "--initial-cluster", ",".join(f"infra{peer}={url}" for peer, url in peers.items()),
        "--initial-advertise-peer-urls", peers[number],
    )
    wait_until(lambda: member_id in member.log() and "ef37ad9dc622a7c4" in member.log(), "the ids in the log", 15)


def test_member_keeps_its_name_and_ids_over_restarts(member_with):
    member: Member = member_with(None).start()
    client = Client(member.endpoint)
    before = client.call("Cluster.MemberList")
    term = client.call("Maintenance.Status").raftTerm
    client.close()
    member.kill()
    member.start()
    client = Client(member.endpoint)
    after = client.call("Cluster.MemberList")
    assert after.members == before.members
    assert after.header.cluster_id == before.header.cluster_id
    assert client.call("Maintenance.Status").raftTerm == term + 1
    client.close()
