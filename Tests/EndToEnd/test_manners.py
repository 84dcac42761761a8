"""Listeners of other kinds, log outputs, and what the system is told."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from harness import settings
from harness.api import Client, Failure
from harness.etcdctl import Session
from harness.member import Member, clean_environment
from harness.ports import free_port
from harness.waiting import halt, wait_until


def curl(*words: str) -> str:
    return subprocess.run(["curl", "-s", *words], capture_output=True, text=True, timeout=30, check=True).stdout


@pytest.mark.parametrize("genuine", [True, False], ids=["genuine", "ours"])
def test_unix_socket(directory, genuine):
    """A client reaches the member by a socket in the file system; the file goes with the member."""
    # etcd 3.4 takes only names that look like a host and a port.
    name = "client:1" if genuine else str(directory / "client.sock")
    path = directory / name
    member = Member(settings.GENUINE if genuine else settings.UNDER_TEST, directory)
    member.launch(f"--listen-client-urls=http://{member.endpoint},unix://{name}")
    try:
        member.wait_healthy()
        done = subprocess.run(
            [settings.ETCDCTL, "--endpoints", f"unix://{name}", "put", "a", "1"], capture_output=True, text=True,
            timeout=30, cwd=directory, env=clean_environment() | {"ETCDCTL_API": "3"}, check=False)
        assert done.stdout == "OK\n", done.stderr
        assert json.loads(curl("--unix-socket", str(path), "http://localhost/version"))["etcdserver"]
        assert Session(member).quiet("get", "a").output == "a\n1\n"
        member.stop()
        assert not path.exists()
    finally:
        member.close()


@pytest.mark.ours_only
def test_peers_by_unix_sockets(directory):
    """Three members that know each other by sockets alone."""
    names = ["a", "b", "c"]
    cluster = ",".join(f"{name}=unix://{directory}/{name}.sock" for name in names)
    members = []
    try:
        for name in names:
            member = Member(settings.UNDER_TEST, directory / name)
            member.launch(
                f"--name={name}", f"--listen-peer-urls=unix://{directory}/{name}.sock",
                f"--initial-advertise-peer-urls=unix://{directory}/{name}.sock", f"--initial-cluster={cluster}")
            members.append(member)
        for member in members:
            member.wait_healthy()
        Session(members[0]).quiet("put", "a", "1")
        assert Session(members[2]).quiet("get", "a").output == "a\n1\n"
    finally:
        for member in members:
            member.close()


@pytest.mark.ours_only
def test_a_port_may_be_shared(member_with):
    """With --socket-reuse-port a second process listens at the same port; without, it cannot."""
    first: Member = member_with(None, "--socket-reuse-port").start()
    second: Member = member_with(None, "--socket-reuse-port")
    second.port = first.port
    second.launch()
    wait_until(lambda: "ready to serve" in second.log(), "the second member to serve")
    third: Member = member_with()
    third.port = first.port
    third.launch()
    assert third.process.wait(30) == 1
    assert "address already in use" in third.log()
    third.process = None


@pytest.mark.parametrize("genuine", [True, False], ids=["genuine", "ours"])
def test_monitoring_is_answered_before_the_member_serves(directory, genuine):
    """A member that waits for the others says on --listen-metrics-urls that it is not well; clients wait."""
    port = free_port()
    member = Member(settings.GENUINE if genuine else settings.UNDER_TEST, directory)
    url = f"http://127.0.0.1:{member.peer_port}"
    member.launch(
        f"--listen-metrics-urls=http://127.0.0.1:{port}", f"--initial-advertise-peer-urls={url}", "--name=a",
        f"--initial-cluster=a={url},b=http://127.0.0.1:{free_port()},c=http://127.0.0.1:{free_port()}")

    def answers() -> bool:
        return subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/health"], capture_output=True, timeout=30).returncode == 0

    try:
        wait_until(answers, "an answer of the listener for metrics")
        status = curl("-o", os.devnull, "-w", "%{http_code}", f"http://127.0.0.1:{port}/health")
        assert status == "503"
        assert "etcd_server_has_leader 0\n" in curl(f"http://127.0.0.1:{port}/metrics")
        assert not member.is_healthy()
        assert "ready to serve client requests" not in member.log()
    finally:
        member.close()


@pytest.mark.parametrize("kind", ["path", "abstract"])
@pytest.mark.parametrize("genuine", [True, False], ids=["genuine", "ours"])
def test_systemd_is_told(directory, kind, genuine):
    """READY=1 when the member serves; this server also says STOPPING=1."""
    member = Member(settings.GENUINE if genuine else settings.UNDER_TEST, directory)
    name = str(directory / "notify") if kind == "path" else f"@etcd-test-{os.getpid()}-{member.port}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service_manager:
        service_manager.bind(name if kind == "path" else "\0" + name[1:])
        service_manager.settimeout(30)
        process = subprocess.Popen(
            member.command(), env=clean_environment() | {"NOTIFY_SOCKET": name}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory)
        try:
            assert service_manager.recv(100) == b"READY=1"
            assert member.is_healthy()
            process.send_signal(signal.SIGTERM)
            if not genuine:
                assert service_manager.recv(100) == b"STOPPING=1"
            assert process.wait(15) == -signal.SIGTERM
        finally:
            process.kill()
            process.wait()


@pytest.mark.ours_only
def test_a_second_signal_ends_the_process_at_once(directory):
    """One that is held up while it stops can be told twice. Here it waits for a peer that never answers to take over."""
    member = Member(settings.UNDER_TEST, directory)
    member.launch()
    try:
        member.wait_healthy()
        halt(member.process.pid)
        member.process.send_signal(signal.SIGTERM)
        member.process.send_signal(signal.SIGINT)
        os.kill(member.process.pid, signal.SIGCONT)
        assert member.process.wait(15) in (-signal.SIGTERM, -signal.SIGINT)
        member.process = None
    finally:
        member.close()


@pytest.mark.ours_only
def test_a_crash_leaves_its_last_lines(directory):
    """What was said before a trap is written, and the signal does what it does."""
    member = Member(settings.UNDER_TEST, directory)
    member.starts = 1
    try:
        with open(member.log_path, "wb") as log:
            # Without Swift's own report, which takes its time.
            member.process = subprocess.Popen(
                member.command("--log-level=debug"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
                env=clean_environment() | {"SWIFT_BACKTRACE": "enable=no"})
        member.wait_healthy()
        member.process.send_signal(signal.SIGSEGV)
        assert member.process.wait(30) == -signal.SIGSEGV
        member.process = None
        assert '"ready to serve client requests"' in member.log()
    finally:
        member.close()


@pytest.mark.ours_only
def test_several_log_outputs(member_with, directory):
    """The same lines go everywhere, standard output included."""
    member: Member = member_with(None, "--log-outputs=stdout", f"--log-outputs=stdout,{directory}/a.log,{directory}/b.log")
    member.start()
    member.stop()
    one, two = ((directory / name).read_text() for name in ("a.log", "b.log"))
    assert one == two == member.log()
    assert all(json.loads(line)["msg"] for line in one.strip().split("\n"))


@pytest.mark.ours_only
def test_console_lines(member_with):
    member: Member = member_with(None, "--log-format=console").start()
    member.stop()
    for line in member.log().strip().split("\n"):
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\S*\t(debug|info|warn|error)\t\S+:\d+\t[^\t]+(\t\{.*\})?$", line), line


@pytest.mark.ours_only
def test_the_level_is_changed_at_run_time(member_with):
    """By the path that etcd 3.4 has for it."""
    member: Member = member_with().start()
    url = f"http://{member.endpoint}/config/local/log"
    assert curl("-X", "PUT", "-d", '{"Level": "ERROR"}', "-w", "%{http_code}", url) == "204"
    before = member.log()
    Session(member).quiet("move-leader", "1")
    member.stop()
    assert member.log() == before


@pytest.mark.ours_only
def test_secrets_are_in_no_line(directory):
    """Neither passwords nor tokens, at the most talkative level."""
    member = Member(settings.UNDER_TEST, directory)
    member.launch("--log-level=debug", "--enable-grpc-gateway")
    try:
        member.wait_healthy()
        ctl = Session(member)
        ctl.quiet("user", "add", "root:hush-hush")
        ctl.quiet("user", "grant-role", "root", "root")
        ctl.quiet("auth", "enable")
        ctl.quiet("--user", "root:hush-hush", "put", "a", "1")
        ctl.quiet("--user", "root:not-the-word", "put", "a", "1")
        answer = json.loads(curl(
            "-d", '{"name": "root", "password": "hush-hush"}', f"http://{member.endpoint}/v3/auth/authenticate"))
        token = answer["token"]
        curl("-H", f"Authorization: {token}", "-d", '{"key": "YQ=="}', f"http://{member.endpoint}/v3/kv/range")
        member.stop()
        for secret in ("hush-hush", "not-the-word", token):
            assert secret not in member.log()
    finally:
        member.close()


@pytest.mark.ours_only
def test_a_log_file_that_cannot_be_had(directory):
    member = Member(settings.UNDER_TEST, directory)
    member.launch("--log-outputs=/nowhere/etcd.log")
    assert member.process.wait(30) == 1
    assert member.log() == "open /nowhere/etcd.log: no such file or directory\n"
    member.process = None


@pytest.mark.ours_only
def test_log_rotation(member_with, directory):
    """At one megabyte a new file begins; two old ones are kept, compressed."""
    logs = directory / "logs"
    logs.mkdir()
    member: Member = member_with(
        None, f"--log-outputs={logs}/etcd.log", "--enable-log-rotation", "--log-level=debug",
        '--log-rotation-config-json={"maxsize": 1, "maxbackups": 2, "compress": true}')
    # Lines of 900 kB: each environment variable that is no flag's is warned of by its name.
    name = "ETCD_" + "A" * 100_000
    member.starts = 1
    for _ in range(4):
        with open(member.log_path, "wb") as log:
            member.process = subprocess.Popen(
                member.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=member.directory,
                env=clean_environment() | {f"{name}{number}": "" for number in range(9)})
        member.wait_healthy()
        member.stop()
    assert (logs / "etcd.log").stat().st_size <= 1 << 20
    old = sorted(path.name for path in logs.iterdir() if path.name != "etcd.log")
    assert 1 <= len(old) <= 3
    assert all(re.match(r"etcd-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log(\.gz)?$", name) for name in old), old


@pytest.mark.ours_only
def test_a_reader_that_stops_reading_the_log_holds_nobody_up(directory):
    """Standard error is a pipe that is full: the member goes on serving."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(write, True)
    member = Member(settings.UNDER_TEST, directory)
    member.process = subprocess.Popen(
        member.command("--log-level=debug"), stdin=subprocess.DEVNULL, stdout=write, stderr=write, cwd=directory,
        env=clean_environment())
    try:
        member.wait_healthy()
        ctl = Session(member)
        for number in range(20):
            ctl.quiet("put", "a", number)
        member.process.send_signal(signal.SIGTERM)
        # The last lines are waited for a little, and then given up.
        assert member.process.wait(15) == -signal.SIGTERM
        member.process = None
    finally:
        os.close(read)
        os.close(write)
        member.close()


@pytest.mark.ours_only
def test_a_flood_of_lines_is_sampled(member_with):
    """A client that is refused over and over leaves a sample in the log, and every line with --disable-log-sampling."""
    def written(*flags: str) -> int:
        member: Member = member_with(None, *flags).start()
        for _ in range(1500):
            with socket.create_connection(("127.0.0.1", member.port), timeout=30) as connection:
                connection.sendall(b"\0" * 64)
                with contextlib.suppress(ConnectionError):
                    while connection.recv(1024):
                        pass
        member.stop()
        return member.log().count("rejected connection")

    begun = time.monotonic()
    sample = written()
    seconds = time.monotonic() - begun + 2
    # A hundred of each second, and one of each hundred of the others.
    assert 100 <= sample <= seconds * 100 + 15
    assert written("--disable-log-sampling") == 1500


@pytest.mark.ours_only
def test_memory_is_locked_or_the_start_refused(directory):
    """--memory-mlock never goes on without: where the system does not allow it, the last line says what to change."""
    member = Member(settings.UNDER_TEST, directory)
    member.launch("--memory-mlock")
    try:
        wait_until(lambda: member.process.poll() is not None or member.is_healthy(), "the member to serve or end")
        if member.process.poll() is None:
            assert member.status_file("VmLck") > 1024
        else:
            assert member.process.returncode == 1
            assert "--memory-mlock needs an unlimited RLIMIT_MEMLOCK" in member.log().splitlines()[-1]
    finally:
        member.close()


@pytest.mark.ours_only
def test_unsafe_no_fsync_says_so(member_with):
    member: Member = member_with(None, "--unsafe-no-fsync").start()
    assert "LOSES DATA" in member.log()
    trace = Path(f"/proc/{member.process.pid}/io")
    Session(member).quiet("put", "a", "1")
    assert trace.exists()
    member.kill()
    # The process alone was killed, so the system still has what was written.
    member.start()
    assert Session(member).quiet("get", "a").output == "a\n1\n"


@pytest.mark.ours_only
def test_progress_is_notified_as_often_as_asked(member_with):
    member: Member = member_with(None, "--watch-progress-notify-interval=200ms").start()
    client = Client(member.endpoint)
    watch = client.watch()
    watch.created(key=b"a", progress_notify=True)
    for _ in range(2):
        response = watch.next()
        assert (response.watch_id, response.header.revision, list(response.events)) == (0, 1, [])
    client.close()


@pytest.mark.ours_only
def test_compaction_in_small_batches(member_with):
    """A batch of one revision and a pause: it takes its time, and ends."""
    member: Member = member_with(
        None, "--compaction-batch-limit=1", "--compaction-sleep-interval=50ms").start()
    ctl = Session(member)
    for number in range(10):
        ctl.quiet("put", "a", number)
    begun = time.monotonic()
    ctl.quiet("compact", 10, "--physical")
    wait_until(lambda: "finished scheduled compaction" in member.log(), "the compaction to end")
    assert time.monotonic() - begun > 0.3


@pytest.mark.parametrize("binary", (settings.GENUINE, settings.UNDER_TEST), ids=("genuine", "ours"))
def test_old_revisions_go_by_themselves(member_with, binary):
    member = member_with(binary, "--auto-compaction-mode=periodic", "--auto-compaction-retention=1s").start()
    client = Client(member.endpoint)
    for number in range(5):
        assert client.call("KV.Put", key=b"k", value=b"%d" % number).header.revision == number + 2

    def is_compacted() -> bool:
        # Revisions go on, or there would be none to go.
        client.call("KV.Put", key=b"other")
        answer = client.call("KV.Range", key=b"k", revision=3)
        return isinstance(answer, Failure) and "has been compacted" in answer.details

    wait_until(is_compacted, "the compaction", 60, interval=0.25)
    assert client.call("KV.Range", key=b"k").kvs[0].value == b"4"
    client.close()


@pytest.mark.ours_only
def test_a_leader_hands_over_before_it_ends(directory):
    """On SIGTERM another member leads before the leader has gone, whatever the timers say."""
    ports = [free_port() for _ in range(3)]
    cluster = ",".join(f"m{index}=http://127.0.0.1:{port}" for index, port in enumerate(ports))
    members = []
    try:
        for index, port in enumerate(ports):
            member = Member(settings.UNDER_TEST, directory / str(index))
            member.peer_port = port
            member.launch(
                f"--name=m{index}", f"--initial-advertise-peer-urls=http://127.0.0.1:{port}",
                f"--initial-cluster={cluster}", "--heartbeat-interval=200", "--election-timeout=5000")
            members.append(member)
        for member in members:
            member.wait_healthy()
        leader = next(member for member in members if "became leader" in member.log())
        leader.stop()
        log = leader.log()
        assert log.index("leadership transfer finished") < log.index("closed etcd server")
        for member in members:
            if member is not leader:
                assert member.is_healthy()
    finally:
        for member in members:
            member.close()
