"""Waiting for a condition instead of for a time."""

import time
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
