"""Loads a server with h2load and measures the server from outside. Python's standard library only."""

import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
REPOSITORY = Path(__file__).resolve().parent.parent


def free_port(first: int, last: int) -> int:
    for port in range(first, last + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    sys.exit(f"no free port between {first} and {last}")


def need(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        sys.exit(f"not found: {', '.join(missing)} (Scripts/setup test installs the tools, swift build -c release the server)")


# ---- Protobuf and gRPC framing by hand: a field's key, a length, its bytes.


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def bytes_field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def bool_field(number: int) -> bytes:
    return varint(number << 3) + b"\x01"


def grpc_message(message: bytes) -> bytes:
    """One uncompressed message with its five bytes of prefix."""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def put_request(key: bytes, value: bytes) -> bytes:
    return grpc_message(bytes_field(1, key) + bytes_field(2, value))


def range_request(key: bytes, serializable: bool) -> bytes:
    return grpc_message(bytes_field(1, key) + (bool_field(7) if serializable else b""))


# ---- Servers


class Server:
    """A process under load, measured through /proc."""

    def __init__(self, name: str, command: list[str], directory: Path, port: int, scheme: str = "http"):
        self.name, self.port, self.scheme = name, port, scheme
        # Fields of every request of the load, a token for one.
        self.headers: list[str] = []
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "log.txt"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD_")}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory, env=environment)

    def wait_port(self, timeout: float = 30) -> None:
        self._wait(self._accepts, timeout)

    def wait_healthy(self, timeout: float = 60) -> None:
        self._wait(self._is_healthy, timeout)

    def _wait(self, ready, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                sys.exit(f"{self.name} does not serve:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def _is_healthy(self) -> bool:
        try:
            return self.ask("GET", "/health").get("health") == "true"
        except (OSError, http.client.HTTPException, ValueError):
            return False

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: dict | None = None) -> dict:
        """Asks in JSON over HTTP/1.1. Certificates are not looked at: the servers make their own."""
        if self.scheme == "https":
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def fields(self) -> list[str]:
        return [part for header in self.headers for part in ("-H", header)]

    def cpu_seconds(self) -> float:
        """User and system time since the start, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def resident_megabytes(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+)", status, re.M).group(1)) / 1024

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


# ---- Load


@dataclass(frozen=True)
class Shape:
    """Connections, and requests under way on each."""

    connections: int
    streams: int

    def __str__(self) -> str:
        return f"{self.connections}x{self.streams}"

    @staticmethod
    def parse(text: str) -> "Shape":
        connections, streams = re.fullmatch(r"(\d+)[x×](\d+)", text).groups()
        return Shape(int(connections), int(streams))


@dataclass
class Sample:
    """One run of h2load against one server. Times in microseconds."""

    rate: float
    p50: float
    p99: float
    cpu_seconds: float
    cpu_per_request: float
    resident_megabytes: float
    data_per_request: float


def percentile(ordered: list[int], fraction: float) -> float:
    """The smallest value that `fraction` of the values do not pass."""
    return float(ordered[max(0, math.ceil(len(ordered) * fraction) - 1)])


@dataclass(frozen=True)
class Target:
    """What one h2load asks of one server."""

    server: Server
    shape: Shape
    requests: int


def run_h2load(server: Server, path: str, body: Path, shape: Shape, requests: int, scratch: Path, grpc: bool = True) -> Sample:
    return run_h2loads([Target(server, shape, requests)], [server], path, body, scratch, grpc)


def run_h2loads(targets: list[Target], servers: list[Server], path: str, body: Path, scratch: Path, grpc: bool = True) -> Sample:
    """Loads all targets at once; CPU and memory are those of `servers` together. The rate is that of all requests until
    the last one is answered."""
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"] if grpc else []
    before = sum(server.cpu_seconds() for server in servers)
    running = []
    for number, target in enumerate(targets):
        times_file = scratch / f"h2load-times-{number}.tsv"
        times_file.unlink(missing_ok=True)
        process = subprocess.Popen(
            ["h2load", "-t", "1", "-n", str(target.requests), "-c", str(target.shape.connections), "-m", str(target.shape.streams),
             "-d", str(body), *headers, *target.server.fields(), f"--log-file={times_file}", target.server.url + path],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        running.append((target, process, times_file))
    outputs = [process.communicate()[0] for _, process, _ in running]
    cpu = sum(server.cpu_seconds() for server in servers) - before
    resident = sum(server.resident_megabytes() for server in servers)
    times: list[int] = []
    longest, data = 0.0, 0
    for (target, process, times_file), output in zip(running, outputs):

        def found(pattern: str) -> re.Match:
            match = re.search(pattern, output)
            if process.returncode != 0 or match is None:
                sys.exit(f"h2load against {target.server.name} failed:\n{output}")
            return match

        succeeded = int(found(r"(\d+) succeeded").group(1))
        if succeeded != target.requests:
            sys.exit(f"{target.server.name} answered {succeeded} of {target.requests} requests with success:\n{output}")
        longest = max(longest, target.requests / float(found(r"finished in [^,]+, ([0-9.]+) req/s").group(1)))
        data += int(found(r"\((\d+)\) data").group(1))
        times += [int(line.split("\t")[2]) for line in times_file.read_text().splitlines()]
    times.sort()
    requests = sum(target.requests for target in targets)
    return Sample(requests / longest, percentile(times, 0.5), percentile(times, 0.99), cpu, cpu / requests * 1e6, resident,
                  data / requests)


def grpc_status(server: Server, path: str, body: Path) -> str:
    """The status in the trailers of one real request: h2load itself looks at the HTTP status only, which is 200
    for refused gRPC calls too."""
    done = subprocess.run(
        ["nghttp", "-v", "-n", "-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers", *server.fields(), server.url + path],
        capture_output=True, text=True, check=False, timeout=30,
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    status = re.search(r"grpc-status: (\d+)", plain)
    message = re.search(r"grpc-message: (\S.*)", plain)
    return "none" if status is None else status.group(1) + (f" ({message.group(1)})" if message else "")


@dataclass
class Comparison:
    """The samples of two servers for one operation and one shape."""

    operation: str
    shape: str
    requests: int
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def median(self, server: str, value: str) -> float:
        return statistics.median(getattr(sample, value) for sample in self.samples[server])

    def ratio(self, ours: str, base: str, value: str) -> float:
        below = self.median(base, value)
        return self.median(ours, value) / below if below else float("nan")

    def as_json(self, ours: str, base: str) -> dict:
        values = [name for name in asdict(next(iter(self.samples.values()))[0])]
        return {
            "operation": self.operation, "shape": self.shape, "requests": self.requests,
            "median": {server: {value: self.median(server, value) for value in values} for server in self.samples},
            "ratio": {value: self.ratio(ours, base, value) for value in values},
            "samples": {server: [asdict(sample) for sample in samples] for server, samples in self.samples.items()},
        }


def table(rows: list[list[str]]) -> str:
    """Columns under their headings, the first two to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        lines.append("  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)


HEADINGS = ["operation", "shape", "etcd/s", "ours/s", "ratio", "p50 etcd", "p50 ours", "ratio", "p99 etcd", "p99 ours", "ratio",
            "cpu etcd", "cpu ours", "ratio", "RSS etcd", "RSS ours", "ratio", "target"]


def cells(comparison: Comparison, ours: str, base: str) -> list[str]:
    """A comparison's line under HEADINGS, without its last cell."""
    found = [comparison.operation, comparison.shape]
    for value, form in (("rate", "{:.0f}"), ("p50", None), ("p99", None), ("cpu_per_request", "{:.0f}"), ("resident_megabytes", "{:.0f}")):
        numbers = [comparison.median(name, value) for name in (base, ours)]
        found += [milliseconds(number) if form is None else form.format(number) for number in numbers]
        found.append(f"{comparison.ratio(ours, base, value):.2f}")
    return found


def milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1000:.2f}"


def machine() -> dict[str, str]:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "processor": model.group(1) if model else "unknown", "cores": str(os.cpu_count()), "kernel": os.uname().release,
        "h2load": first_line("h2load", "--version"), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).split("\n")[0].strip()
