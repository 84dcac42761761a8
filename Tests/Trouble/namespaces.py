"""Network namespaces without names: they are gone when the last process in them is."""

import ctypes
import fcntl
import os
import struct
import subprocess
from dataclasses import dataclass

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
TUN_DEVICE = "/dev/net/tun"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Namespace:
    """A member's namespace: its TUN device towards the other members, its veth towards the clients."""

    # An open file of the namespace, for setns.
    file: int
    # The TUN device: what is read from it left the member, what is written to it reaches the member.
    tun: int
    peer_address: str
    client_address: str


def missing() -> str | None:
    """Why namespaces cannot be had here, or None."""
    if os.geteuid() != 0:
        return "not root: network namespaces cannot be made"
    if not os.path.exists(TUN_DEVICE):
        return f"{TUN_DEVICE} is missing"
    try:
        probe = subprocess.run(["unshare", "--net", "ip", "link"], capture_output=True, check=False, timeout=30)
    except FileNotFoundError as error:
        return f"{error.filename} is missing"
    if probe.returncode != 0:
        return f"network namespaces cannot be made: {probe.stderr.decode(errors='replace').strip()}"
    return None


def enter(file: int) -> None:
    """Moves this thread, and what it starts, into a namespace."""
    _check(_libc.setns(file, CLONE_NEWNET), "setns")


def make(count: int) -> list[Namespace]:
    """Moves this process into a namespace of its own and makes one for each member. No thread may run yet."""
    ours = _new()
    members = []
    for number in range(1, count + 1):
        file = _new()
        tun = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"peers", IFF_TUN | IFF_NO_PI))
        member = Namespace(file, tun, f"10.77.0.{number}", f"10.78.{number}.2")
        _ip("link set lo up")
        _ip(f"addr add {member.peer_address}/24 dev peers")
        _ip("link set peers up")
        _ip(f"link add clients type veth peer name member{number} netns /proc/{os.getpid()}/fd/{ours}")
        _ip(f"addr add {member.client_address}/24 dev clients")
        _ip("link set clients up")
        enter(ours)
        _ip(f"addr add 10.78.{number}.1/24 dev member{number}")
        _ip(f"link set member{number} up")
        members.append(member)
    _ip("link set lo up")
    return members


def _new() -> int:
    _check(_libc.unshare(CLONE_NEWNET), "unshare")
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _ip(arguments: str) -> None:
    done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {arguments}: {done.stderr.strip()}")


def _check(result: int, call: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
