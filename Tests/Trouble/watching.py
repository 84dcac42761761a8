"""Watchers of everything, one to each member, that go on where they were after each break."""

import threading
import zlib

import grpc
from harness.api import Client, api
from members import MemberProcess
from recording import Tally, Violations


class Watcher(threading.Thread):
    """Watches all keys of one member. Events must come once and in the order of their revisions."""

    def __init__(self, member: MemberProcess, tally: Tally, violations: Violations):
        super().__init__(name=f"watcher-{member.name}", daemon=True)
        self.member = member
        self.tally = tally
        self.violations = violations
        self.stop = threading.Event()
        # The revision of the last event.
        self.revision = 1
        self.events = 0
        # A running checksum of all events: equal for all watchers in the end.
        self.digest = 0
        # Revisions of the ledger's keys, which must all be seen.
        self.ledger: dict[str, int] = {}
        self._call = None

    def run(self) -> None:
        client = Client(self.member.endpoint)
        messages = api().messages
        while not self.stop.is_set():
            create = messages.WatchCreateRequest(
                key=b"\0", range_end=b"\0", start_revision=self.revision + 1, fragment=False
            )
            wake = threading.Event()

            def requests():
                yield messages.WatchRequest(create_request=create)
                wake.wait()

            self._call = client.method("Watch.Watch")(requests())
            try:
                for response in self._call:
                    if response.canceled:
                        self.tally.add("watch canceled")
                        if response.compact_revision:
                            self.violations.add(
                                f"the watch of {self.member.name} from {self.revision + 1} was told of a compaction"
                                f" at {response.compact_revision}"
                            )
                        break
                    if response.events:
                        self.take(response)
            except grpc.RpcError:
                self.tally.add("watch broken")
            finally:
                wake.set()
            self.stop.wait(0.1)
        client.close()

    def take(self, response) -> None:
        events = response.events
        if events[0].kv.mod_revision <= self.revision:
            events = self.without_repeats(events)
        seen: set[bytes] = set()
        for event in events:
            revision = event.kv.mod_revision
            # The events of one transaction share their revision, and come together.
            if revision != self.revision:
                seen.clear()
            if revision < self.revision or event.kv.key in seen:
                self.violations.add(
                    f"the watch of {self.member.name} got revision {revision} ({event.kv.key!r}) after {self.revision}"
                )
            seen.add(event.kv.key)
            self.revision = max(self.revision, revision)
            self.events += 1
            self.digest = zlib.crc32(
                b"%d %d %b %b\n" % (revision, event.type, event.kv.key, event.kv.value), self.digest
            )
            if event.kv.key.startswith(b"ledger/"):
                self.ledger[event.kv.key.decode()] = revision
        if response.header.revision < self.revision:
            self.violations.add(
                f"a watch response of {self.member.name} at revision {response.header.revision} holds {self.revision}"
            )

    def without_repeats(self, events):
        """What is new of events of which some came before. etcd 3.4 repeats some after a snapshot was installed."""
        fresh = [event for event in events if event.kv.mod_revision > self.revision]
        text = (
            f"the watch of {self.member.name}, at {self.revision}, got {len(events) - len(fresh)} events again, from"
            f" {events[0].kv.mod_revision} on"
        )
        if self.member.is_genuine:
            self.tally.add("watch events repeated by genuine etcd", len(events) - len(fresh))
        else:
            self.violations.add(text)
        return fresh

    def close(self) -> None:
        self.stop.set()
        if self._call is not None:
            self._call.cancel()
