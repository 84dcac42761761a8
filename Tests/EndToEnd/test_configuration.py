"""Wrong command lines, variables and files, compared with genuine etcd; which of several ways counts."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from harness import settings
from harness.api import Client
from harness.member import Member, clean_environment
from harness.ports import free_port
from harness.waiting import wait_until

# Before the texts of etcd's errors in its old plain log.
PLAIN_LOG = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [A-Z] \| [\w/]+: ")


def run(binary: str, *flags: str, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [binary, *flags], capture_output=True, text=True, timeout=30, cwd=cwd,
        env=clean_environment() | (environment or {}), check=False, stdin=subprocess.DEVNULL,
    )


def complaint(done: subprocess.CompletedProcess) -> tuple[int, list[str]]:
    """The exit code, and what is said to be wrong: not what goes before a usage text, nor that text."""
    lines = [PLAIN_LOG.sub("", line) for line in done.stderr.split("Usage:")[0].split("\n")]
    said = [line for line in lines if line.startswith(("error verifying", "invalid", "flag ", "bad flag", "conflicting"))]
    return done.returncode, said


def urls(client: int, peer: int) -> list[str]:
    return [
        f"--listen-client-urls=http://127.0.0.1:{client}", f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
    ]


WRONG_LINES = {
    "unknown flag": ["--nonsense"],
    "unknown flag with a value": ["--nonsense=1"],
    "no value": ["--data-dir"],
    "word": ["surplus"],
    "word behind a flag": ["--max-txn-ops=1", "surplus"],
    "dash": ["-"],
    "word behind two dashes": ["--", "--name"],
    "three dashes": ["---name"],
    "no name": ["--=x"],
    "number": ["--snapshot-count=many"],
    "empty number": ["--snapshot-count="],
    "negative number": ["--max-request-bytes=-1"],
    "number with a point": ["--max-wals=1.5"],
    "number out of range": ["--max-concurrent-streams=4294967296"],
    "large number": ["--snapshot-count=18446744073709551616"],
    "truth": ["--enable-v2=maybe"],
    "truth in an unusual case": ["--pre-vote=tRUE"],
    "version": ["--version=maybe"],
    "duration": ["--grpc-keepalive-timeout=5"],
    "duration with a strange unit": ["--backend-batch-interval=5d"],
    "cluster state": ["--initial-cluster-state=old"],
    "proxy": ["--proxy=maybe"],
    "discovery fallback": ["--discovery-fallback=maybe"],
    "URL without a scheme": ["--listen-client-urls=127.0.0.1"],
    "URL of two parts": ["--listen-peer-urls=127.0.0.1:2380"],
    "URL with a name for a scheme": ["--listen-peer-urls=localhost:2380"],
    "URL with one slash": ["--listen-peer-urls=http:/127.0.0.1:2380"],
    "URL with a space": ["--listen-peer-urls=http://a b:2380"],
    "URL with a bare IPv6 address": ["--listen-peer-urls=http://::1:2380"],
    "URL with a wrong port": ["--listen-peer-urls=http://127.0.0.1:port"],
    "URL with a last slash": ["--listen-peer-urls=http://127.0.0.1:2380/"],
    "stream limit": ["--max-concurrent-streams=many"],
    "URL with a strange scheme": ["--listen-client-urls=gopher://127.0.0.1:2379"],
    "URL without a port": ["--listen-peer-urls=http://127.0.0.1"],
    "URL with a path": ["--listen-client-urls=http://127.0.0.1:2379/path"],
    "URL with a name": ["--listen-client-urls=http://example.com:2379", "--advertise-client-urls=http://a:1"],
    "URL without a host": ["--listen-peer-urls=http://:2380"],
    "second URL": ["--listen-peer-urls=http://127.0.0.1:1,gopher://127.0.0.1:2"],
    "origin": ["--cors=example.com"],
    "origin without a port": ["--cors=http://example.com"],
    "nothing advertised": ["--listen-client-urls=http://127.0.0.1:2379"],
    "advertised without a host": ["--initial-advertise-peer-urls=http://:2380"],
    "election below five heartbeats": ["--heartbeat-interval=500", "--election-timeout=1000"],
    "no heartbeat": ["--heartbeat-interval=0"],
    "no election": ["--election-timeout=0"],
    "election too long": ["--election-timeout=50001"],
    "auto compaction mode": ["--auto-compaction-mode=never"],
    "two ways to find the others": ["--initial-cluster=default=http://localhost:2380", "--discovery-srv=example.com"],
}


@pytest.mark.parametrize("flags", WRONG_LINES.values(), ids=WRONG_LINES.keys())
def test_wrong_command_lines(directory, flags):
    """Exit code and text are etcd's: 2 where Go's flag package cannot read the line, 1 where what it says is wrong."""
    genuine, ours = (complaint(run(binary, *flags, cwd=directory)) for binary in (settings.GENUINE, settings.UNDER_TEST))
    # Later versions have one more way to find the others, and name it.
    genuine = (genuine[0], [line.replace('"discovery" or', '"discovery", "discovery-endpoints" or') for line in genuine[1]])
    assert ours == genuine
    assert genuine[1], "etcd said nothing"
    assert not (directory / "default.etcd").exists()


WRONG_VARIABLES = {
    "number": {"ETCD_SNAPSHOT_COUNT": "many"},
    "truth": {"ETCD_ENABLE_V2": "maybe"},
    "duration": {"ETCD_GRPC_KEEPALIVE_TIMEOUT": "5"},
    "URL": {"ETCD_LISTEN_CLIENT_URLS": "gopher://127.0.0.1:1"},
    "choice": {"ETCD_INITIAL_CLUSTER_STATE": "old"},
    "value": {"ETCD_ELECTION_TIMEOUT": "100"},
}


@pytest.mark.parametrize("variables", WRONG_VARIABLES.values(), ids=WRONG_VARIABLES.keys())
def test_wrong_variables(directory, variables):
    genuine, ours = (
        complaint(run(binary, cwd=directory, environment=variables)) for binary in (settings.GENUINE, settings.UNDER_TEST)
    )
    assert ours == genuine
    assert genuine[1]


@pytest.mark.parametrize("value", ["other", ""])
def test_a_flag_and_its_variable_at_once(directory, value):
    """Refused, even when the variable is empty or says the same."""
    for binary in (settings.GENUINE, settings.UNDER_TEST):
        done = run(binary, "--name=other", cwd=directory, environment={"ETCD_NAME": value})
        assert done.returncode == 1
        text = 'conflicting environment variable "ETCD_NAME" is shadowed by corresponding command-line flag'
        assert text in done.stderr, binary


@pytest.mark.ours_only
def test_all_mistakes_at_once(directory):
    done = run(
        settings.UNDER_TEST, "--nonsense", "--snapshot-count=many", "surplus", "--election-timeout=100",
        cwd=directory, environment={"ETCD_MAX_WALS": "x"},
    )
    assert done.returncode == 2
    for text in ("nonsense", "snapshot-count", "surplus", "election-timeout", "ETCD_MAX_WALS"):
        assert text in done.stderr.split("Usage:")[0]


WRONG_FILES = {
    "text for a truth": 'pre-vote: "true"',
    "text for a number": "max-wals: many",
    "quoted number": 'max-wals: "5"',
    "text for a list": "log-outputs: stderr",
    "list for a text": "name: [a]",
    "duration": "grpc-keepalive-timeout: soon",
    "no YAML": "name: [",
    "tab": "\tname: a",
    "list": "- a",
    "URL": "listen-client-urls: gopher://127.0.0.1:1",
    "value": "election-timeout: 100",
    "section": "client-transport-security: 7",
    "in a section": "peer-transport-security:\n  auto-tls: maybe",
}


@pytest.mark.parametrize("text", WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_wrong_files(directory, text):
    """What etcd refuses is refused, with the file and the line; the words are this server's."""
    (directory / "etcd.yml").write_text(text + "\n")
    for binary in (settings.GENUINE, settings.UNDER_TEST):
        assert run(binary, "--config-file=etcd.yml", cwd=directory).returncode == 1, binary
    if not settings.UNDER_TEST_IS_GENUINE:
        said = run(settings.UNDER_TEST, "--config-file=etcd.yml", cwd=directory).stderr
        assert "etcd.yml:" in said or "election-timeout" in said


FORMS = (
    "max-wals: 0x10", "max-wals: 0o10", "max-wals: 010", "max-wals: 0b101", "max-wals: 1_000", "max-wals: +5", "max-wals: 5.0",
    "max-wals: 1e1", "max-wals: 5.5", "max-wals: -1", "pre-vote: y", "pre-vote: N", "pre-vote: ON", "pre-vote: yEs", "pre-vote: 1",
    "grpc-keepalive-timeout: 5e9", "grpc-keepalive-timeout: 5.5", "initial-cluster-state: \"\"", "\ufeffname: a", "Name: a")


@pytest.mark.parametrize("text", FORMS)
def test_forms_in_files(directory, text):
    """What etcd reads is read; a mistake behind it shows how far the file was understood."""
    (directory / "etcd.yml").write_text(f"{text}\nelection-timeout: 100\n")
    understood = []
    for binary in (settings.GENUINE, settings.UNDER_TEST):
        done = run(binary, "--config-file=etcd.yml", cwd=directory)
        assert done.returncode == 1
        _, mistakes = complaint(done)
        understood.append(len(mistakes) == 1 and "election-timeout" in mistakes[0])
    assert understood[0] == understood[1]


@pytest.mark.ours_only
def test_unknown_keys_are_refused_by_name(directory):
    """etcd ignores them, and with them whatever was misspelt."""
    (directory / "etcd.yml").write_text("name: a\nsnapshot-cuont: 7\ncert-file: cert.pem\n")
    done = run(settings.UNDER_TEST, "--config-file=etcd.yml", cwd=directory)
    assert done.returncode == 1
    assert 'etcd.yml:2: unknown key "snapshot-cuont"' in done.stderr
    assert 'etcd.yml:3: unknown key "cert-file"; write "cert-file" under "client-transport-security"' in done.stderr


def test_a_missing_file(directory):
    for binary in (settings.GENUINE, settings.UNDER_TEST):
        done = run(binary, "--config-file=nowhere.yml", cwd=directory)
        assert complaint(done) == (
            1, ["error verifying flags, open nowhere.yml: no such file or directory. See 'etcd --help'."])


@pytest.fixture
def started(directory):
    """Starts a server anyhow; ends it."""
    processes = []

    def start(binary, *flags, environment=None, client: int) -> Client:
        number = len(processes)
        with open(directory / f"log-{number}.txt", "wb") as log:
            processes.append(subprocess.Popen(
                [binary, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
                env=clean_environment() | (environment or {})))
        member = Member(binary, directory)
        member.port, member.process = client, processes[-1]
        member.wait_healthy()
        return Client(member.endpoint)

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("by", ["flag", "variable"])
@pytest.mark.parametrize("genuine", [True, False], ids=["genuine", "ours"])
def test_a_file_stands_alone(directory, started, by, genuine):
    """With a file, flags and variables count for nothing."""
    binary = settings.GENUINE if genuine else settings.UNDER_TEST
    client, peer = free_port(), free_port()
    (directory / "etcd.yml").write_text(
        f"name: from-file\nmax-txn-ops: 2\ndata-dir: data\n"
        f"listen-client-urls: http://127.0.0.1:{client}\nadvertise-client-urls: http://127.0.0.1:{client}\n"
        f"listen-peer-urls: http://127.0.0.1:{peer}\ninitial-advertise-peer-urls: http://127.0.0.1:{peer}\n"
        f"initial-cluster: from-file=http://127.0.0.1:{peer}\nlogger: zap\nlog-outputs: [stderr]\n")
    flags, environment = (["--config-file", "etcd.yml"], {}) if by == "flag" else ([], {"ETCD_CONFIG_FILE": "etcd.yml"})
    api = started(
        binary, *flags, "--max-txn-ops=9", environment=environment | {"ETCD_NAME": "from-environment"}, client=client)
    assert [member.name for member in api.call("Cluster.MemberList").members] == ["from-file"]
    answer = api.call("KV.Txn", success=[{"request_put": {"key": b"%d" % n}} for n in range(3)])
    assert answer.details == "etcdserver: too many operations in txn request"
    api.close()


def test_the_default_host_is_advertised(directory):
    """Who listens everywhere and was not told what to advertise names the machine's address, not localhost."""
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    # A network of its own, so that listening everywhere reaches nobody.
    network = (
        "ip link set lo up && ip link add d0 type veth peer name d1 && ip addr add 192.0.2.7/24 dev d0 && ip link set d0 up && ip link set d1 up && "
        "ip route add default via 192.0.2.1 && exec \"$@\"")
    if subprocess.run(["unshare", "-n", "sh", "-c", network, "sh", "true"], capture_output=True).returncode != 0:
        pytest.skip("no network namespaces here")
    lists = []
    for binary, more in ((settings.GENUINE, ["--logger=zap"]), (settings.UNDER_TEST, [])):
        folder = directory / str(len(lists))
        folder.mkdir()
        with open(folder / "log.txt", "wb") as log:
            process = subprocess.Popen(
                ["unshare", "-n", "sh", "-c", network, "sh", binary, *more, "--name=a", "--listen-peer-urls=http://0.0.0.0:2380",
                 "--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://localhost:2379"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=clean_environment())

        def listed() -> bool:
            done = subprocess.run(
                ["nsenter", "-t", str(process.pid), "-n", settings.ETCDCTL, "member", "list"], capture_output=True, text=True,
                env=clean_environment() | {"ETCDCTL_API": "3"}, timeout=60)
            if "started" not in done.stdout:
                return False
            lists.append(done.stdout)
            return True

        try:
            wait_until(listed, f"the list of members of {binary}")
        finally:
            process.kill()
            process.wait()
        assert '"detected default host for advertise","host":"192.0.2.7"' in (folder / "log.txt").read_text()
    assert lists[0] == lists[1]
    assert "http://192.0.2.7:2380, http://192.0.2.7:2379" in lists[1]


def test_unknown_variables_are_warned_of(directory, started):
    """By name; the value may be somebody's password."""
    client, peer = free_port(), free_port()
    started(
        settings.UNDER_TEST, *urls(client, peer), client=client,
        environment={"ETCD_ROOT_PASSWORD": "hush-hush", "ETCD_MAX_WALS": "6"}).close()
    log = (directory / "log-0.txt").read_text()
    assert "ETCD_ROOT_PASSWORD" in log
    if not settings.UNDER_TEST_IS_GENUINE:
        assert "hush-hush" not in log
        assert '"msg":"recognized and used environment variable","variable-name":"ETCD_MAX_WALS"' in log


@pytest.mark.ours_only
def test_deprecated_flags_warn_and_work(member_with):
    member: Member = member_with(
        None, "--experimental-max-learners=3", "--experimental-warning-apply-duration=1s", "-v", "--enable-pprof").start()
    log = member.log()
    assert "--experimental-max-learners is deprecated. Use '--max-learners' instead." in log
    assert 'flag \\"-v\\" is no longer supported - ignoring.' in log
    assert "--enable-pprof has no effect" in log


def test_help_and_version(directory):
    """Usage goes to standard error and the flags to standard output, with exit code 0."""
    for binary in (settings.GENUINE, settings.UNDER_TEST):
        for word in ("-h", "--help", "--help=false"):
            done = run(binary, word, cwd=directory)
            assert done.returncode == 0
            assert done.stderr.startswith("Usage:")
            assert done.stdout.startswith("\nMember:")
        version = run(binary, "--version", cwd=directory)
        assert version.returncode == 0
        assert re.match(r"etcd Version: \d+\.\d+\.\d+\S*\nGit SHA: ", version.stdout)
    flags = set(re.findall(r"^  --([a-z0-9-]+)", run(settings.GENUINE, "--help", cwd=directory).stdout, re.M))
    ours = set(re.findall(r"--([a-z0-9-]+)", run(settings.UNDER_TEST, "--help", cwd=directory).stdout))
    assert flags - ours == set()


@pytest.mark.ours_only
@pytest.mark.parametrize("word", ["gateway", "grpc-proxy"])
def test_proxies_are_refused_by_name(directory, word):
    done = run(settings.UNDER_TEST, word, "start", cwd=directory)
    assert done.returncode == 1
    assert word in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_ends_by_its_signal(pair_with, number):
    """As etcd, so that who started it sees which signal it was."""
    pair = pair_with()
    for member in (pair.genuine, pair.ours):
        member.process.send_signal(number)
        assert member.process.wait(15) == -number
        member.process = None
