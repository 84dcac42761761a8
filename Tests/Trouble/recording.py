"""What clients asked and were told, in the format of Sources/Linearizability/HistoryText.swift."""

import threading
import time
from collections import Counter
from pathlib import Path

HEADING = "swift-etcd history 1\n"


class History:
    """The operations of one round, written as they end."""

    def __init__(self, path: Path, began: float):
        self.path = path
        self._file = open(path, "w")
        self._file.write(HEADING)
        self._began = began
        self._lock = threading.Lock()
        self.operations = 0

    def now(self) -> int:
        """Microseconds since the run began, by the monotonic clock."""
        return int((time.monotonic() - self._began) * 1_000_000)

    def add(self, client: str, invoked: int, returned: int | None, operation: str, outcome: str) -> None:
        with self._lock:
            self.operations += 1
            self._file.write(f"{client} {invoked} {'-' if returned is None else returned} {operation} => {outcome}\n")

    def close(self) -> None:
        with self._lock:
            self._file.close()


class Tally:
    """Counts that several threads add to."""

    def __init__(self):
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    def add(self, name: str, number: int = 1) -> None:
        with self._lock:
            self.counts[name] += number

    def get(self, name: str) -> int:
        with self._lock:
            return self.counts[name]


class Violations:
    """What must not happen and did."""

    def __init__(self):
        self._lock = threading.Lock()
        self.found: list[str] = []

    def add(self, text: str) -> None:
        with self._lock:
            self.found.append(text)
        print(f"VIOLATION: {text}", flush=True)
