"""Three members of a domain: domain.py DIRECTORY BINARY BINARY BINARY [CERTIFICATE KEY AUTHORITY], in network and mount
namespaces of its own.

Serves the domain "cluster.test" on the loopback's port 53, names that server in a resolv.conf that is mounted over the
system's, and starts a member by each binary, which are told the domain only. With a certificate all is over TLS, and the
services' names have a suffix. Prints what came of it as JSON, and what etcdctl, told the domain only, finds.
"""

import json
import os
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

DOMAIN = "cluster.test"
PEER_PORTS = (2380, 2480, 2580)
CLIENT_PORTS = (2379, 2479, 2579)
SUFFIX = "dev"
# The ports that each service's name stands for.
SERVICES: dict[str, tuple[int, ...]] = {}


def encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


class Domain(socketserver.BaseRequestHandler):
    """Answers one question of the DNS over UDP."""

    def handle(self) -> None:
        data, socket = self.request
        position, labels = 12, []
        while data[position]:
            labels.append(data[position + 1:position + 1 + data[position]].decode().lower())
            position += 1 + data[position]
        name, (kind,) = ".".join(labels), struct.unpack_from(">H", data, position + 1)
        question = data[12:position + 5]
        records = []
        ports = SERVICES.get(name, ()) if kind == 33 else ()
        if ports:
            records = [struct.pack(">HHH", 0, 0, port) + encoded(f"m{number}.{DOMAIN}") for number, port in enumerate(ports)]
        elif name.endswith(DOMAIN) and name.startswith("m") and kind == 1:
            records = [bytes([127, 0, 0, 1])]
        known = bool(records) or name.startswith("m")
        answer = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(record)) + record for record in records)
        head = data[:2] + struct.pack(">HHHHH", 0x8580 | (0 if known else 3), 1, len(records), 0, 0)
        socket.sendto(head + question + answer, self.client_address)


def command(binary: str, directory: Path, name: str, number: int, tls: list[str]) -> list[str]:
    scheme = "https" if tls else "http"
    flags = [
        "--name", name, "--data-dir", str(directory / name), "--discovery-srv", DOMAIN,
        "--initial-advertise-peer-urls", f"{scheme}://m{number}.{DOMAIN}:{PEER_PORTS[number]}",
        "--listen-peer-urls", f"{scheme}://127.0.0.1:{PEER_PORTS[number]}",
        "--listen-client-urls", f"{scheme}://127.0.0.1:{CLIENT_PORTS[number]}",
        "--advertise-client-urls", f"{scheme}://127.0.0.1:{CLIENT_PORTS[number]}",
    ]
    if tls:
        certificate, key, authority = tls
        flags += ["--discovery-srv-name", SUFFIX, "--cert-file", certificate, "--key-file", key, "--peer-cert-file", certificate,
                  "--peer-key-file", key, "--peer-trusted-ca-file", authority, "--peer-client-cert-auth"]
    return [binary, *flags]


def is_healthy(number: int, tls: list[str]) -> bool:
    trust = ssl.create_default_context(cafile=tls[2]) if tls else None
    url = f"{'https' if tls else 'http'}://127.0.0.1:{CLIENT_PORTS[number]}/health"
    try:
        with urllib.request.urlopen(url, timeout=5, context=trust) as answer:
            return json.load(answer)["health"] == "true"
    except (OSError, ValueError):
        return False


def found_by_etcdctl(tls: list[str]) -> str:
    """The clients' records lead to the members: what etcdctl puts and gets."""
    flags = ["--discovery-srv", DOMAIN, *(["--discovery-srv-name", SUFFIX, "--cacert", tls[2]] if tls else [])]
    environment = {**{name: value for name, value in os.environ.items() if not name.startswith("ETCD")}, "ETCDCTL_API": "3"}
    told = ""
    for words in (("put", "found", "by domain"), ("get", "found")):
        done = subprocess.run(
            [os.environ.get("ETCDCTL", "/usr/bin/etcdctl"), *flags, *words], capture_output=True, text=True, timeout=30, check=False,
            env=environment)
        told += done.stdout if done.returncode == 0 else done.stderr
    return told


def main() -> int:
    directory, binaries, tls = Path(sys.argv[1]), sys.argv[2:5], sys.argv[5:]
    ending = f"-ssl-{SUFFIX}" if tls else ""
    SERVICES.update({f"_etcd-server{ending}._tcp.{DOMAIN}": PEER_PORTS, f"_etcd-client{ending}._tcp.{DOMAIN}": CLIENT_PORTS})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    resolver = directory / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:2\n")
    subprocess.run(["mount", "--bind", str(resolver), "/etc/resolv.conf"], check=True)
    server = socketserver.ThreadingUDPServer(("127.0.0.1", 53), Domain)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # One whose URLs are none of the records' has nothing to do here.
    stranger = command(binaries[0], directory, "stranger", 0, tls)
    stranger = [text.replace(f"m0.{DOMAIN}:2380", "127.0.0.1:2999") for text in stranger]
    ended = subprocess.run(stranger, capture_output=True, text=True, timeout=30, check=False)
    processes = []
    try:
        for number, binary in enumerate(binaries):
            log = open(directory / f"log-{number}", "wb")
            processes.append(subprocess.Popen(command(binary, directory, f"name{number}", number, tls), stdout=log, stderr=log))
        end = time.monotonic() + 40
        healthy = 0
        while healthy < len(binaries) and time.monotonic() < end and all(process.poll() is None for process in processes):
            healthy = sum(is_healthy(number, tls) for number in range(len(binaries)))
            time.sleep(0.1)
        if healthy < len(binaries):
            for number in range(len(binaries)):
                print((directory / f"log-{number}").read_text()[-3000:], file=sys.stderr)
        lines = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
        print(json.dumps({"healthy": healthy, "refusal": lines[-1] if lines else "", "etcdctl": found_by_etcdctl(tls) if healthy else ""}))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
