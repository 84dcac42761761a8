"""Waiting for a condition instead of for a time."""

import os
import signal
import time
from pathlib import Path
from typing import Callable, TypeVar

Value = TypeVar("Value")

# Short enough not to slow a test down, long enough not to take a core from the server.
POLL_INTERVAL = 0.01


def wait_until(probe: Callable[[], Value], what: str, timeout: float = 60.0, interval: float = POLL_INTERVAL) -> Value:
    """Calls `probe` until it returns something true and returns that. Fails with `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout:.0f} s still waiting for {what}")
        time.sleep(interval)


def halt(pid: int) -> None:
    """Stops a process (SIGSTOP) and returns when none of its threads runs any more, which takes a while on a busy machine."""
    os.kill(pid, signal.SIGSTOP)

    def stands(task: Path) -> bool:
        try:
            # The state stands behind the name, which may hold anything but is in brackets.
            return (task / "stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
        except FileNotFoundError:
            return True

    wait_until(lambda: all(map(stands, Path(f"/proc/{pid}/task").iterdir())), f"process {pid} to stand still", interval=0.001)
