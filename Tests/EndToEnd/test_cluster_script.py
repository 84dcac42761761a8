"""Scripts/cluster: three members by one command, as the README shows it.

Its ports are fixed, so each run has a network namespace of its own.
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness import settings
from harness.member import clean_environment
from harness.waiting import wait_until

SCRIPT = settings.REPOSITORY / "Scripts" / "cluster"
ENDPOINTS = "127.0.0.1:12379,127.0.0.1:22379,127.0.0.1:32379"

# The ids that etcd's own documentation shows for these names, URLs and this token.
IDS = {"infra1": "8211f1d0f64f3269", "infra2": "91bc3c398fb3c146", "infra3": "fd422379fda50e48"}


class Run:
    """The script in a network namespace."""

    def __init__(self, directory: Path, binary: str, *arguments: str):
        directory.mkdir()
        self.output = directory / "output.txt"
        self.directory = directory
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"', str(SCRIPT), *arguments],
                cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=clean_environment() | {"ETCD_BINARY": binary},
                # A terminal's Ctrl-C reaches the whole group: so does ours.
                start_new_session=True,
            )

    def etcdctl(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", settings.ETCDCTL, "--endpoints", ENDPOINTS, *arguments],
            capture_output=True, text=True, timeout=settings.COMMAND_TIMEOUT, check=False, env=os.environ | {"ETCDCTL_API": "3"},
        )

    def lines(self) -> list[str]:
        return self.output.read_text(errors="replace").splitlines()

    def pid(self, name: str) -> int:
        found = [line for line in self.lines() if line.startswith(f"cluster | {name} is process ")]
        return int(found[-1].split()[5].strip(","))

    def wait_healthy(self) -> None:
        def healthy() -> bool:
            assert self.process.poll() is None, self.output.read_text()[-4000:]
            return self.etcdctl("endpoint", "health").returncode == 0

        wait_until(healthy, "all members to be healthy", settings.START_TIMEOUT, interval=0.1)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                for name in IDS:
                    os.kill(self.pid(name), signal.SIGKILL)
                self.process.wait(20)


@pytest.fixture
def run_with(directory):
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "true"], check=False).returncode != 0:
        pytest.skip("no network namespaces here")
    runs: list[Run] = []

    def make(name: str, binary: str, *arguments: str) -> Run:
        runs.append(Run(directory / name, binary, *arguments))
        return runs[-1]

    yield make
    for run in runs:
        run.close()


def test_three_members_with_the_table_of_genuine_etcd(run_with):
    ours, genuine = run_with("ours", settings.UNDER_TEST), run_with("genuine", settings.GENUINE)
    for run in (ours, genuine):
        run.wait_healthy()
    tables = [run.etcdctl("member", "list", "-w", "table").stdout for run in (genuine, ours)]
    assert tables[1] == tables[0]
    for name, identity in IDS.items():
        assert f"| {identity} | started | {name} |" in tables[1]
    for name in IDS:
        assert any(line.startswith(f"{name} | ") for line in ours.lines())

    # One is killed: two go on, and the script says so.
    assert ours.etcdctl("put", "before", "1").stdout == "OK\n"
    os.kill(ours.pid("infra2"), signal.SIGKILL)
    wait_until(lambda: "cluster | infra2 ended with -9" in ours.lines(), "the script to report the end")
    wait_until(lambda: ours.etcdctl("put", "during", "1").stdout == "OK\n", "two members to take a write")

    # Ctrl-C ends the rest.
    members = [ours.pid(name) for name in ("infra1", "infra3")]
    os.killpg(ours.process.pid, signal.SIGINT)
    assert ours.process.wait(30) == 0
    for pid in members:
        assert not Path(f"/proc/{pid}").exists()
    assert len([line for line in ours.lines() if " ended with " in line]) == 3
