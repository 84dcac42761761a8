"""One etcd process: started, watched, killed by its pid."""

import http.client
import json
import os
import re
import signal
import subprocess
from pathlib import Path

from . import settings
from .ports import free_port
from .waiting import wait_until

# The URLs a default member advertises. Every member of the suite says the same, whatever port it listens on,
# so that member and cluster ids are the well-known ones and equal on both sides.
ADVERTISED_CLIENT_URL = "http://localhost:2379"
ADVERTISED_PEER_URL = "http://localhost:2380"


def clean_environment() -> dict[str, str]:
    """This environment without variables that etcd would take for flags, this suite's own included."""
    return {key: value for key, value in os.environ.items() if not key.startswith("ETCD_")}


class Member:
    """A single-member cluster: a binary, a data directory and two ports."""

    def __init__(self, binary: str, directory: Path, flags: tuple[str, ...] = (), name: str = "member"):
        self.binary = binary
        self.name = name
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data_dir = self.directory / "default.etcd"
        self.flags = tuple(flags)
        self.port = free_port()
        self.peer_port = free_port()
        self.process: subprocess.Popen | None = None
        self.starts = 0

    @property
    def is_genuine(self) -> bool:
        return os.path.realpath(self.binary) == os.path.realpath(settings.GENUINE)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.directory / f"log-{self.starts}.txt"

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_end(self) -> str:
        """The last of the log; of a process that trapped, what was before and after that."""
        text = self.log()
        trap = text.find("Fatal error")
        return text[-4000:] if trap < 0 else text[max(0, trap - 1000):trap + 6000]

    def command(self, *extra: str) -> list[str]:
        command = [
            self.binary,
            "--data-dir", str(self.data_dir),
            "--listen-client-urls", f"http://{self.endpoint}",
            "--advertise-client-urls", ADVERTISED_CLIENT_URL,
            "--listen-peer-urls", f"http://127.0.0.1:{self.peer_port}",
            "--initial-advertise-peer-urls", ADVERTISED_PEER_URL,
            "--initial-cluster", f"default={ADVERTISED_PEER_URL}",
        ]
        if self.is_genuine:
            # 3.4 still writes its old plain log by default; later versions know only JSON.
            command += ["--logger", "zap", "--log-outputs", "stderr"]
        return command + list(self.flags) + list(extra)

    def launch(self, *extra: str) -> "Member":
        """Starts the process without waiting until it serves."""
        assert self.process is None, f"{self.name} already runs as {self.process.pid}"
        self.starts += 1
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                self.command(*extra), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env=clean_environment(),
            )
        return self

    def start(self, *extra: str) -> "Member":
        """Starts the process and returns when it says that it is healthy."""
        self.launch(*extra)
        self.wait_healthy()
        return self

    def wait_healthy(self, timeout: float = settings.START_TIMEOUT) -> None:
        def healthy() -> bool:
            if self.process is None or self.process.poll() is not None:
                code = None if self.process is None else self.process.returncode
                raise RuntimeError(f"{self.binary} ended with {code} while starting:\n{self.log_end()}")
            return self.is_healthy()

        try:
            wait_until(healthy, f"{self.binary} on {self.endpoint} to be healthy", timeout)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{self.log_end()}") from None

    def is_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            body = response.read()
            return response.status == 200 and json.loads(body).get("health") == "true"
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM, and the exit code (minus the signal's number when the process leaves it to the signal)."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"{self.binary} did not end within {timeout} s of SIGTERM:\n{self.log_end()}")
        self.process = None
        return code

    def close(self) -> None:
        """Ends the process whatever state it is in."""
        if self.process is not None:
            self.kill()

    def status_file(self, field: str) -> int:
        """A number out of /proc/PID/status, kilobytes for memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+)", text, re.M).group(1))
