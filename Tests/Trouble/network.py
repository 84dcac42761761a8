"""The network between the members: the switch process and its rules."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

from namespaces import Namespace

Rules = dict[tuple[int, int], dict[str, float | bool]]


class Network:
    """Members are counted from 1."""

    def __init__(self, namespaces: list[Namespace], seed: int):
        self.members = list(range(1, len(namespaces) + 1))
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        self._control = ours
        files = [theirs.fileno(), *(namespace.tun for namespace in namespaces)]
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("switch.py")), str(seed), *(str(file) for file in files)],
            pass_fds=files, stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._answers = ours.makefile()

    def apply(self, rules: Rules) -> None:
        """Replaces all rules; they hold when this returns."""
        with self._lock:
            text = json.dumps({f"{source}>{destination}": rule for (source, destination), rule in rules.items()})
            self._control.sendall(text.encode() + b"\n")
            answer = self._answers.readline()
            if not answer:
                raise RuntimeError(f"the switch ended with {self.process.wait()}")
            self.counts = json.loads(answer)

    def heal(self) -> None:
        self.apply({})

    def links(self) -> list[tuple[int, int]]:
        return [(one, other) for one in self.members for other in self.members if one != other]

    def links_of(self, member: int) -> list[tuple[int, int]]:
        return [link for link in self.links() if member in link]

    def close(self) -> None:
        self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        self.process.wait()
