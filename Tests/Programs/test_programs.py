"""Programs that nobody here wrote run against the server under test: their own tests, and a database that fails over."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "EndToEnd")]

import environments  # noqa: E402

# The least number of its own tests that a program must have passed: fewer would mean that it skipped what matters.
LEAST = {"aetcd": 91, "tooz": 65, "etcd3gw": 39, "python-etcd": 17, "patroni": 1}
TIME_LIMIT = 600


@pytest.fixture(scope="session")
def runs():
    """All programs at once: they mostly wait for leases and time-outs."""
    place = Path(tempfile.mkdtemp(prefix="programs-"))
    # PostgreSQL runs as a user of its own.
    place.chmod(0o755)
    for file in environments.REQUIREMENTS.glob("*.txt"):
        environments.python(file.stem)
    namespace = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    processes = {}
    try:
        for name in LEAST:
            output = open(place / f"{name}.log", "wb")
            processes[name] = subprocess.Popen(
                [*namespace, sys.executable, str(HERE / "programs.py"), name, str(place / name)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        yield place, processes
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.terminate()
                process.wait()
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.parametrize("name", LEAST)
def test_program(runs, name: str):
    place, processes = runs
    code = processes[name].wait(TIME_LIMIT)
    output = (place / f"{name}.log").read_text(errors="replace")
    assert code == 0, output[-15000:]
    passed = re.findall(r"(\d+) passed", output)
    assert passed and int(passed[-1]) >= LEAST[name], output[-4000:]
