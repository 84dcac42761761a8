"""Forwards packets between the members' TUN devices, and harms them as it is told.

    switch.py SEED CONTROL TUN…

CONTROL and TUN are open files. A line of JSON from CONTROL replaces all rules: {"1>2": {"loss": 0.3}, …} with members
counted from 1. What a rule may say is in `Rule`. Each line is answered by a line with the counts so far. It does what the
kernel's netem does, which not every kernel has, and draws from a seed.
"""

import heapq
import json
import os
import random
import select
import sys
import time
from dataclasses import asdict, dataclass, field

LARGEST_PACKET = 65536
# A slow link drops what would wait longer than this, as a router's queue does.
LONGEST_QUEUE = 0.5
# Packets taken from one device before the others have their turn.
BURST = 64


@dataclass
class Rule:
    # Nothing passes.
    blocked: bool = False
    # Part of the packets that is lost, 0 to 1.
    loss: float = 0.0
    # Seconds that each packet is late, and by how much this varies; packets then overtake each other.
    delay: float = 0.0
    jitter: float = 0.0
    # Bytes in a second, 0: no limit.
    rate: float = 0.0


@dataclass
class Counts:
    forwarded: int = 0
    bytes: int = 0
    blocked: int = 0
    lost: int = 0
    overflowed: int = 0
    delayed: int = 0


@dataclass
class Switch:
    tuns: list[int]
    random: random.Random
    rules: dict[tuple[int, int], Rule] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    # Packets that wait: (time, number, destination, packet).
    waiting: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    # When each slow link has sent what it was given.
    free_at: dict[tuple[int, int], float] = field(default_factory=dict)
    number: int = 0

    def replace_rules(self, text: str) -> None:
        self.rules = {}
        for link, values in json.loads(text).items():
            source, destination = (int(part) for part in link.split(">"))
            self.rules[source - 1, destination - 1] = Rule(**values)

    def take(self, source: int) -> None:
        """Takes packets from a device."""
        for _ in range(BURST):
            try:
                packet = os.read(self.tuns[source], LARGEST_PACKET)
            except BlockingIOError:
                return
            # IPv4 alone, to a member by the last byte of its address.
            if len(packet) >= 20 and packet[0] >> 4 == 4 and packet[16:19] == b"\x0a\x4d\x00":
                destination = packet[19] - 1
                if 0 <= destination < len(self.tuns) and destination != source:
                    self.judge(source, destination, packet)

    def judge(self, source: int, destination: int, packet: bytes) -> None:
        rule = self.rules.get((source, destination))
        if rule is None:
            self.deliver(destination, packet)
            return
        if rule.blocked:
            self.counts.blocked += 1
            return
        if rule.loss and self.random.random() < rule.loss:
            self.counts.lost += 1
            return
        now = time.monotonic()
        due = now
        if rule.rate:
            due = max(now, self.free_at.get((source, destination), 0.0))
            if due - now > LONGEST_QUEUE:
                self.counts.overflowed += 1
                return
            due += len(packet) / rule.rate
            self.free_at[source, destination] = due
        due += max(0.0, rule.delay + self.random.uniform(-rule.jitter, rule.jitter))
        if due <= now:
            self.deliver(destination, packet)
            return
        self.counts.delayed += 1
        self.number += 1
        heapq.heappush(self.waiting, (due, self.number, destination, packet))

    def deliver(self, destination: int, packet: bytes) -> None:
        try:
            os.write(self.tuns[destination], packet)
        except OSError:
            self.counts.overflowed += 1
            return
        self.counts.forwarded += 1
        self.counts.bytes += len(packet)

    def deliver_due(self) -> float | None:
        """Delivers what is due; the seconds until the next packet is."""
        while self.waiting:
            wait = self.waiting[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _, _, destination, packet = heapq.heappop(self.waiting)
            self.deliver(destination, packet)
        return None


def main() -> None:
    seed, control, *tuns = (int(argument) for argument in sys.argv[1:])
    switch = Switch(tuns, random.Random(seed))
    poll = select.epoll()
    for file in [control, *tuns]:
        poll.register(file, select.EPOLLIN)
    sources = {file: number for number, file in enumerate(tuns)}
    text = b""
    while True:
        wait = switch.deliver_due()
        for file, _ in poll.poll(-1 if wait is None else wait):
            if file != control:
                switch.take(sources[file])
                continue
            received = os.read(control, LARGEST_PACKET)
            if not received:
                return
            *lines, text = (text + received).split(b"\n")
            for line in lines:
                switch.replace_rules(line.decode())
                os.write(control, json.dumps(asdict(switch.counts)).encode() + b"\n")


main()
