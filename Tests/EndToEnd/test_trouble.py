"""A bounded run of the trouble program: partitions, loss, slow links, kills and pauses under load."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness import settings

PROGRAM = Path(__file__).resolve().parents[1] / "Trouble" / "trouble.py"
SKIPPED = 77

# ETCD_TROUBLE_SECONDS makes the run longer, ETCD_TROUBLE_SEED another one.
SECONDS = os.environ.get("ETCD_TROUBLE_SECONDS", "100")
SEED = os.environ.get("ETCD_TROUBLE_SEED", "1")


@pytest.mark.parametrize("members", ["ours,ours,ours"])
def test_nothing_is_lost_in_trouble(directory: Path, members: str):
    done = subprocess.run(
        [
            sys.executable, str(PROGRAM), "--seconds", SECONDS, "--seed", SEED, "--members", members,
            "--directory", str(directory),
        ],
        capture_output=True, text=True, timeout=float(SECONDS) + 400, check=False,
        env=os.environ | {"ETCD_UNDER_TEST": settings.UNDER_TEST},
    )
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, f"{done.stdout[-20000:]}\n{done.stderr[-4000:]}"
