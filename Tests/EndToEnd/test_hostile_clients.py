"""The attacks of Benchmarks/hostile, each small: an honest client loses nothing, memory stays bounded, and all comes back.

How long the honest client waits is measured by Benchmarks/hostile; here only what it is answered counts.
"""

import sys
from pathlib import Path

import pytest

from harness.api import Client, Failure
from harness.auth import log_in
from harness.member import Member
from harness.waiting import wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Benchmarks"))

import attacks  # noqa: E402
from honest import HonestClient, begin_attack  # noqa: E402

# What the accounts of requests (256 MiB) and replies (512 MiB) allow, and as much again as both of requests for all else.
BOUND_MIB = 1024
# Unfinished requests alone: their account, what allocators keep of it, and connections.
BODIES_BOUND_MIB = 640
# Of each attack's usual size, so that the whole file takes a minute at most.
SCALES = {"idle": 0.1, "watches": 0.1, "loris": 0.2, "bodies": 0.75, "ranges": 0.25}
SECONDS = 2.0
# Threads that a member makes when there is work for them: those of its pools and of the language's runtime.
SPARE_THREADS, SPARE_FILES = 8, 4


def descriptors(member: Member) -> int:
    return sum(1 for _ in Path(f"/proc/{member.process.pid}/fd").iterdir())


def peak_mib(member: Member) -> float:
    return member.status_file("VmHWM") / 1024


def fill(client: Client) -> None:
    """What giant ranges find: 16 MiB, so that those of the attack would be gigabytes together."""
    for number in range(256):
        answer = client.call("KV.Put", key=b"large/%d" % number, value=b"v" * (64 << 10))
        assert not isinstance(answer, Failure), answer


def enable_auth(client: Client, endpoint: str) -> bytes:
    """Turns authentication on; root's token."""
    for name, fields in (
        ("Auth.UserAdd", {"name": "root", "password": "secret"}), ("Auth.UserGrantRole", {"user": "root", "role": "root"}),
        ("Auth.AuthEnable", {}),
    ):
        answer = client.call(name, **fields)
        assert not isinstance(answer, Failure), answer
    return log_in(endpoint, "root", "secret").encode()


@pytest.mark.ours_only
@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_honest_client_beside(name, member_with):
    member: Member = member_with().start()
    port = int(member.endpoint.rsplit(":", 1)[1])
    client = Client(member.endpoint)
    if name == "ranges":
        fill(client)
    token = enable_auth(client, member.endpoint) if name == "logins" else None
    client.close()
    honest = HonestClient(port, token, timeout=120)
    honest.put_and_get(1)
    files, threads = descriptors(member), member.status_file("Threads")
    Path(f"/proc/{member.process.pid}/clear_refs").write_text("5")

    # Of ordinary priority, or other tests could keep it from running at all.
    attack = begin_attack(name, port, SECONDS, seed=20261121, scale=SCALES.get(name, 1), idle=False)
    number = 0
    while attack.poll() is None or number < 10:
        # Raises when a call is refused or the connection ended.
        honest.put_and_get(number)
        number += 1
    done = attack.communicate()[0]
    assert attack.returncode == 0 and "ended early" not in done, done
    print(f"{name}: {done.strip()}; {number} honest calls; {peak_mib(member):.0f} MiB at most")

    assert member.process.poll() is None, member.log_end()
    assert peak_mib(member) < (BODIES_BOUND_MIB if name == "bodies" else BOUND_MIB)
    newcomer = HonestClient(port, token, timeout=120)
    newcomer.put_and_get(1)
    newcomer.socket.close()
    wait_until(lambda: descriptors(member) <= files + SPARE_FILES, "the descriptors of the attackers' connections to be closed")
    wait_until(lambda: member.status_file("Threads") <= threads + SPARE_THREADS, "no more threads than before")
    honest.put_and_get(2)
    honest.socket.close()
