"""What is done to the members, one fault at a time or two."""

import random
import time
from dataclasses import dataclass
from typing import Callable

from harness.api import Client, Failure
from members import CATCH_UP_ENTRIES, SNAPSHOT_COUNT, Cluster, MemberProcess
from network import Network, Rules

# A follower's link while a snapshot crosses it.
SLOW_LINK = 2_000_000.0
# After this a member gives up a connection that is silent.
STREAM_TIMEOUT = 6.0
# What a follower misses. It is more than what connections hold, which arrives later without any snapshot.
BULK_BYTES = 10_000_000
# etcd 3.4 keeps this many entries whatever its flags say.
GENUINE_CATCH_UP_ENTRIES = 5000


@dataclass
class Trouble:
    """Makes faults out of a seed."""

    cluster: Cluster
    network: Network
    random: random.Random
    # Sleeps, or raises when the run is over.
    rest: Callable[[float], None]
    log: Callable[[str], None]

    def kinds(self) -> dict[str, Callable[[], None]]:
        return {
            "partition of the leader": self.partition_leader,
            "partition of a follower": self.partition_follower,
            "partition of all from all": self.partition_all,
            "one-way loss": self.one_way,
            "delay": self.delay,
            "loss of 30 %": self.loss,
            "flapping partition": self.flapping,
            "slow link during a snapshot": self.slow_snapshot,
            "kill -9 of the leader": self.kill_leader,
            "kill -9 of a follower": self.kill_follower,
            "kill -9 of a follower again and again": self.kill_repeatedly,
            "kill -9 of all": self.kill_all,
            "kill -9 of two during loss": self.kill_during_loss,
            "pause of the leader": self.pause_leader,
            "pause of a follower": self.pause_follower,
            "leader moved": self.move_leader,
        }

    def heal(self) -> None:
        """Undoes whatever a fault has left."""
        self.network.heal()
        for member in self.cluster.members:
            if member.paused:
                member.resume()
            if member.process is None:
                member.start()

    # Who

    def leader(self) -> MemberProcess:
        leader, _ = self.cluster.wait_for_leader(5.0)
        return leader or self.random.choice(self.cluster.members)

    def follower(self) -> MemberProcess:
        leader = self.leader()
        return self.random.choice([member for member in self.cluster.members if member is not leader])

    def hold(self, low: float = 1.0, high: float = 5.0) -> None:
        self.rest(self.random.uniform(low, high))

    # The network

    def isolate(self, member: MemberProcess) -> Rules:
        return {link: {"blocked": True} for link in self.network.links_of(member.number)}

    def all_links(self, **rule) -> Rules:
        return {link: rule for link in self.network.links()}

    def partition_leader(self) -> None:
        self.network.apply(self.isolate(self.leader()))
        self.hold()

    def partition_follower(self) -> None:
        self.network.apply(self.isolate(self.follower()))
        self.hold()

    def partition_all(self) -> None:
        self.network.apply(self.all_links(blocked=True))
        self.hold(1.0, 4.0)

    def one_way(self) -> None:
        """The leader hears and is not heard, or the other way round; by one follower or by both."""
        leader = self.leader().number
        others = [number for number in self.network.members if number != leader]
        deaf = self.random.sample(others, self.random.choice([1, len(others)]))
        links = [(leader, other) if self.random.random() < 0.5 else (other, leader) for other in deaf]
        self.log(f"blocked: {links}")
        self.network.apply({link: {"blocked": True} for link in links})
        self.hold()

    def delay(self) -> None:
        delay = self.random.choice([0.02, 0.05, 0.1, 0.2])
        jitter = delay * self.random.choice([0.0, 0.2, 0.5])
        self.log(f"delay {delay} s ± {jitter} s")
        self.network.apply(self.all_links(delay=delay, jitter=jitter))
        self.hold()

    def loss(self) -> None:
        self.network.apply(self.all_links(loss=0.3))
        self.hold(3.0, 8.0)

    def flapping(self) -> None:
        rules = self.isolate(self.leader() if self.random.random() < 0.5 else self.follower())
        for _ in range(self.random.randint(3, 8)):
            self.network.apply(rules)
            self.hold(0.1, 1.0)
            self.network.heal()
            self.hold(0.1, 1.0)

    def slow_snapshot(self) -> None:
        """A follower misses more entries than are kept, and gets its snapshot through a slow link."""
        follower = self.follower()
        kept = GENUINE_CATCH_UP_ENTRIES if any(member.is_genuine for member in self.cluster.members) else CATCH_UP_ENTRIES
        isolated = time.monotonic()
        if dead := self.random.random() < 0.7:
            follower.kill()
        else:
            self.network.apply(self.isolate(follower))
        leader, _ = self.cluster.wait_for_leader(10.0)
        if leader is None:
            return
        done = bulk(leader, kept + 2 * SNAPSHOT_COUNT, self.rest)
        self.log(f"{done} entries that {follower.name} misses, {'dead' if dead else 'isolated'}")
        if not dead:
            # What the connections hold comes late, unless they end.
            self.rest(max(0.0, isolated + STREAM_TIMEOUT - time.monotonic()))
        self.network.apply({link: {"rate": SLOW_LINK} for link in self.network.links_of(follower.number)})
        if dead:
            follower.start()
        if self.random.random() < 0.3:
            self.hold(0.2, 4.0)
            follower.kill()
            self.hold(0.2, 1.0)
            follower.start()
        self.hold(3.0, 8.0)

    # Processes

    def kill_leader(self) -> None:
        self.kill(self.leader())

    def kill_follower(self) -> None:
        self.kill(self.follower())

    def kill(self, member: MemberProcess) -> None:
        member.kill()
        self.hold(0.1, 4.0)
        member.start()

    def kill_repeatedly(self) -> None:
        follower = self.follower()
        for _ in range(self.random.randint(2, 4)):
            follower.kill()
            self.hold(0.05, 0.3)
            follower.start()
            self.hold(0.2, 2.0)

    def kill_all(self) -> None:
        for member in self.cluster.members:
            member.kill()
            if self.random.random() < 0.5:
                self.hold(0.0, 0.3)
        self.hold(0.1, 1.0)
        for member in self.random.sample(self.cluster.members, len(self.cluster.members)):
            member.start()
            if self.random.random() < 0.5:
                self.hold(0.0, 1.0)

    def kill_during_loss(self) -> None:
        self.network.apply(self.all_links(loss=0.2, delay=0.01))
        for member in self.random.sample(self.cluster.members, 2):
            self.hold(0.2, 1.0)
            member.kill()
        self.hold(0.2, 1.0)
        for member in self.cluster.members:
            if member.process is None:
                member.start()
        self.hold(1.0, 3.0)

    def pause_leader(self) -> None:
        self.leader().pause()
        self.hold(1.0, 5.0)

    def pause_follower(self) -> None:
        self.follower().pause()
        self.hold(1.0, 5.0)

    # The leadership

    def move_leader(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            leader, _ = self.cluster.wait_for_leader(5.0)
            if leader is None:
                return
            target = self.random.choice([member for member in self.cluster.members if member is not leader])
            status = target.status()
            if status is None:
                return
            answer = leader.call("Maintenance.MoveLeader", timeout=3.0, targetID=status.header.member_id)
            self.log(f"{leader.name} to {target.name}: {answer if isinstance(answer, Failure) else 'moved'}")
            self.hold(0.1, 1.0)


def bulk(leader: MemberProcess, count: int, rest: Callable[[float], None]) -> int:
    """Puts many values over a few keys, some hundred at a time; the number that was acknowledged."""
    client = Client(leader.endpoint)
    size = BULK_BYTES // count
    done = 0
    try:
        put = client.method("KV.Put")
        from harness.api import api

        request = api().messages.PutRequest
        for start in range(0, count, 200):
            calls = [
                put.future(request(key=b"bulk/%d" % (number % 50), value=b"%0*d" % (size, number)), timeout=10)
                for number in range(start, min(start + 200, count))
            ]
            failed = 0
            for call in calls:
                if call.exception() is None:
                    done += 1
                else:
                    failed += 1
            if failed == len(calls):
                break
            rest(0.0)
    finally:
        client.close()
    return done
