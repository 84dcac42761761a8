"""Free loopback ports out of the range of this run."""

import random
import socket

from . import settings

_handed_out: set[int] = set()
_choice = random.Random()


def free_port() -> int:
    """A port nobody listens on and this run has not handed out before."""
    candidates = [port for port in range(settings.FIRST_PORT, settings.LAST_PORT + 1) if port not in _handed_out]
    if not candidates:
        _handed_out.clear()
        return free_port()
    _choice.shuffle(candidates)
    for port in candidates:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port
    raise RuntimeError(f"no free port in {settings.FIRST_PORT}-{settings.LAST_PORT}")
