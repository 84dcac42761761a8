"""The offline check of a backend file."""

import subprocess
from pathlib import Path

from . import settings


def check(file: Path) -> None:
    """Walks every page of a Bolt file that no process has open; fails with what the checker found."""
    if not Path(settings.BOLT_CHECK).exists():
        if settings.UNDER_TEST_IS_GENUINE:
            return
        raise FileNotFoundError(f"{settings.BOLT_CHECK}: build the product bolt-check")
    done = subprocess.run([settings.BOLT_CHECK, str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"bolt-check {file} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
