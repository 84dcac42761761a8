"""Runs one program of others against the server under test: programs.py NAME DIRECTORY, in a network of its own.

Each has the classic ports for itself, because it runs in a network namespace, so all can run at once.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "EndToEnd"))

import environments  # noqa: E402
from harness import settings  # noqa: E402
from harness.member import Member, clean_environment  # noqa: E402


class ClassicMember(Member):
    """A member on the ports that every client tries first."""

    def __init__(self, directory: Path, *flags: str):
        super().__init__(settings.UNDER_TEST, directory, flags)
        self.port, self.peer_port = 2379, 2380


@contextlib.contextmanager
def member(directory: Path, *flags: str):
    one = ClassicMember(directory, *flags)
    try:
        yield one.start()
    finally:
        one.close()


def own_tests(name: str, *arguments: str, directory: Path | None = None, **variables: str) -> int:
    """Runs pytest in a program's environment."""
    command = [str(environments.python(name)), "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=directory, env=clean_environment() | variables, timeout=600, check=False).returncode


def aetcd(directory: Path) -> int:
    with member(directory):
        return own_tests(
            "aetcd", "--no-cov", "tests", directory=environments.source("aetcd"),
            TEST_ETCD_HTTP_URL="http://127.0.0.1:2379")


def tooz(directory: Path) -> int:
    with member(directory):
        return own_tests(
            "tooz", "--pyargs", "tooz.tests.test_coordination", directory=directory,
            TOOZ_TEST_URL="etcd3+http://127.0.0.1:2379?timeout=5")


def etcd3gw(directory: Path) -> int:
    with member(directory):
        return own_tests(
            "tooz", "--pyargs", "etcd3gw.tests", directory=directory,
            TOOZ_TEST_HTTP_URL="http://127.0.0.1:2379", TOOZ_TEST_ETCD_PORT="2379")


def python_etcd(directory: Path) -> int:
    """The tests start three members by the name `etcd` themselves, and kill and restart them."""
    path = directory / "bin"
    path.mkdir(parents=True)
    (path / "etcd").symlink_to(settings.UNDER_TEST)
    # Older than the removal of `assertEquals` would be its only difference from its unit tests, which mock the server.
    return own_tests(
        "python-etcd", "--pyargs", "etcd.tests.integration.test_simple", directory=directory,
        PATH=f"{path}:{os.environ['PATH']}", ETCD_ENABLE_V2="true")


def patroni(directory: Path) -> int:
    import patroni_cluster

    return patroni_cluster.run(directory)


PROGRAMS = {"aetcd": aetcd, "tooz": tooz, "etcd3gw": etcd3gw, "python-etcd": python_etcd, "patroni": patroni}


def main() -> int:
    name, directory = sys.argv[1], Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return PROGRAMS[name](directory)


if __name__ == "__main__":
    sys.exit(main())
