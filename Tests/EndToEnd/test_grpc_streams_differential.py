"""Watches, leases and maintenance through grpcio: the same calls to genuine etcd 3.4 and to the server under test."""

import hashlib

import pytest

from harness.api import Calls, Client, Failure, WatchStream, api
from harness.waiting import wait_until


def note_events(calls: Calls, what: str, stream: WatchStream, count: int) -> list:
    """The next events with their revisions, however they are grouped into responses: catching up is a matter of
    timing, and events that were not in one transaction may share a response or not."""
    return calls.note(what, stream.events(count))


# ---- Watch


def test_watch_sees_each_change_in_its_own_response(pair):
    def script(calls: Calls) -> None:
        stream = calls.watch()
        calls.note("created", stream.created(key=b"a"))
        calls.put("a", "1")
        calls.note("put", stream.next())
        calls.put("elsewhere", "1")
        calls.put("a", "2")
        calls.note("second put", stream.next())
        calls.delete("a")
        calls.note("delete", stream.next())
        calls.delete("a")
        calls.put("a", "3")
        calls.note("put after delete", stream.next())

    pair.compare_calls(script)


def test_watch_groups_the_events_of_a_transaction(pair):
    def script(calls: Calls) -> None:
        stream = calls.watch()
        calls.note("created", stream.created(key=b"t/", range_end=b"t0"))
        calls("KV.Txn", success=[
            {"request_put": {"key": b"t/2", "value": b"x"}}, {"request_put": {"key": b"t/1", "value": b"y"}},
            {"request_put": {"key": b"other"}}, {"request_put": {"key": b"t/3", "value": b"z"}},
        ])
        calls.note("transaction", stream.next())
        calls.delete("t/", "t0")
        calls.note("range deleted", stream.next())

    pair.compare_calls(script)


def test_watch_ranges(pair):
    def script(calls: Calls) -> None:
        ranges = {
            "key": (b"b", b""), "range": (b"b", b"d"), "prefix": (b"k/", b"k0"), "from key": (b"c", b"\0"), "all": (b"\0", b"\0"),
            "all by an empty key": (b"", b"\0"),
        }
        streams = {}
        for name, (key, end) in ranges.items():
            streams[name] = calls.watch()
            calls.note(f"created {name}", streams[name].created(key=key, range_end=end))
        for key in ("a", "b", "bb", "c", "d", "k/1", "k0", "z"):
            calls.put(key, key)
        for name, count in {"key": 1, "range": 3, "prefix": 1, "from key": 5, "all": 8, "all by an empty key": 8}.items():
            note_events(calls, name, streams[name], count)

    pair.compare_calls(script)


def test_watch_from_the_past_and_the_future(pair):
    def script(calls: Calls) -> None:
        for number in range(1, 11):
            calls.put(f"w/{number % 3}", str(number))
        calls.delete("w/", "w0")
        for start, count in ((1, 13), (2, 13), (7, 8), (12, 3), (0, 0)):
            stream = calls.watch()
            calls.note(f"created from {start}", stream.created(key=b"w/", range_end=b"w0", start_revision=start))
            if count:
                note_events(calls, f"from {start}", stream, count)
        future = calls.watch()
        calls.note("created in the future", future.created(key=b"w/", range_end=b"w0", start_revision=15))
        for number in range(4):
            calls.put("w/1", f"later {number}")
        note_events(calls, "from 15", future, 2)

    pair.compare_calls(script)


def test_watch_catching_up_gives_history_in_one_response(pair):
    def script(calls: Calls) -> None:
        for number in range(20):
            calls.put("h", str(number))
        stream = calls.watch()
        calls.note("created", stream.created(key=b"h", start_revision=2))
        calls.note("history", stream.next())
        calls.put("h", "live")
        calls.note("live", stream.next())

    pair.compare_calls(script)


def test_watch_previous_values(pair):
    def script(calls: Calls) -> None:
        calls.put("p", "0")
        stream = calls.watch()
        calls.note("created", stream.created(key=b"p", prev_kv=True))
        calls.put("p", "1")
        calls.note("put", stream.next())
        calls.delete("p")
        calls.note("delete", stream.next())
        calls.put("p", "2")
        calls.note("new life", stream.next())
        calls.put("p", "3")
        calls.note("put", stream.next())
        past = calls.watch()
        calls.note("created in the past", past.created(key=b"p", prev_kv=True, start_revision=2))
        note_events(calls, "past", past, 5)
        # What came before is compacted away: the event comes without it. (A deletion at the compacted revision itself is
        # gone in etcd 3.4 and kept by later versions.)
        calls("KV.Compact", revision=6, physical=True)
        late = calls.watch()
        calls.note("created at the compacted revision", late.created(key=b"p", prev_kv=True, start_revision=6))
        note_events(calls, "compacted", late, 1)

    pair.compare_calls(script)


def test_watch_filters(pair):
    def script(calls: Calls) -> None:
        puts, deletes, nothing, past = (calls.watch() for _ in range(4))
        calls.note("no deletes", puts.created(key=b"f", filters=["NODELETE"]))
        calls.note("no puts", deletes.created(key=b"f", filters=["NOPUT"], prev_kv=True))
        calls.note("neither", nothing.created(key=b"f", filters=["NOPUT", "NODELETE"]))
        for number in range(3):
            calls.put("f", str(number))
            calls.delete("f")
        calls.note("past", past.created(key=b"f", filters=["NOPUT"], start_revision=1))
        note_events(calls, "puts", puts, 3)
        note_events(calls, "deletes", deletes, 3)
        note_events(calls, "past deletes", past, 3)
        nothing.progress()
        calls.note("nothing but progress", nothing.next())

    pair.compare_calls(script)


def test_watch_ids(pair):
    """Ids the client chose, ids the server chose around them, an id used twice, and one used again after a cancel."""

    def script(calls: Calls) -> None:
        stream = calls.watch()
        calls.note("server's", stream.created(key=b"a"))
        calls.note("client's", stream.created(key=b"b", watch_id=7))
        calls.note("server's again", stream.created(key=b"c"))
        calls.note("client's next", stream.created(key=b"d", watch_id=2))
        calls.note("server's past it", stream.created(key=b"e"))
        calls.note("twice", stream.created(key=b"f", watch_id=7))
        calls.put("b", "1")
        calls.note("event", stream.next())
        stream.cancel(7)
        calls.note("canceled", stream.next())
        calls.put("b", "2")
        calls.note("free again", stream.created(key=b"f", watch_id=7))
        calls.put("f", "1")
        calls.note("its event", stream.next())
        calls.note("negative", stream.created(key=b"g", watch_id=-5))
        calls.put("a", "1")
        calls.note("still there", stream.next())

    pair.compare_calls(script)


def test_many_watches_on_one_stream(pair):
    def script(calls: Calls) -> None:
        stream = calls.watch()
        ids = [stream.created(key=b"m/%d" % (number % 10)).watch_id for number in range(100)]
        calls.note("ids", str(ids))
        calls.put("m/3", "v")
        seen = sorted((response.watch_id, len(response.events)) for response in (stream.next() for _ in range(10)))
        calls.note("watches that saw it", str(seen))
        for watch_id in ids[:50]:
            stream.cancel(watch_id)
        calls.note("cancels", [stream.next() for _ in range(50)])
        calls.put("m/3", "w")
        seen = sorted((response.watch_id, len(response.events)) for response in (stream.next() for _ in range(5)))
        calls.note("watches left", str(seen))

    pair.compare_calls(script)


def test_watch_cancel(pair):
    def script(calls: Calls) -> None:
        stream = calls.watch()
        calls.note("created", stream.created(key=b"c"))
        stream.cancel(0)
        calls.note("canceled", stream.next())
        # A cancel of what is not there has no answer: the next response is to the next request.
        stream.cancel(0)
        stream.cancel(99)
        calls.note("next", stream.created(key=b"c"))
        calls.put("c", "1")
        calls.note("event", stream.next())
        # A client that has nothing more to ask still gets its events.
        stream.half_close()
        calls.put("c", "2")
        calls.note("event after the half close", stream.next())

    pair.compare_calls(script)


def test_watch_progress(pair):
    def script(calls: Calls) -> None:
        stream = calls.watch()
        calls.put("p", "1")
        stream.created(key=b"p")
        stream.progress()
        calls.note("progress", stream.next())
        calls.put("elsewhere", "1")
        stream.progress()
        calls.note("progress after another key", stream.next())
        calls.put("p", "2")
        calls.note("event", stream.next())
        stream.progress()
        calls.note("progress after an event", stream.next())

    pair.compare_calls(script)


def test_watch_compacted(pair):
    def script(calls: Calls) -> None:
        for number in range(10):
            calls.put("c", str(number))
        calls("KV.Compact", revision=8)
        stream = calls.watch()
        calls.note("created", stream.created(key=b"c", start_revision=3, watch_id=5))
        canceled = stream.next()
        # etcd 3.4 leaves the reason to the client, later versions send it.
        canceled.ClearField("cancel_reason")
        calls.note("canceled", canceled)
        calls.note("at the compacted revision", stream.created(key=b"c", start_revision=8))
        note_events(calls, "what is left", stream, 4)
        calls.note("others live on", stream.created(key=b"d"))
        calls.put("d", "1")
        calls.note("event", stream.next())

    pair.compare_calls(script)


def test_watch_of_an_empty_range_is_refused(pair):
    def script(calls: Calls) -> None:
        stream = calls.watch()
        for key, end in ((b"b", b"a"), (b"b", b"b")):
            answer = stream.created(key=key, range_end=end)
            calls.note(f"{key!r} to {end!r}", answer)
        calls.note("a good one after", stream.created(key=b"a"))

    pair.compare_calls(script)


def pieces(stream: WatchStream, events: int) -> list[tuple[bool, list[bytes]]]:
    found: list[tuple[bool, list[bytes]]] = []
    while sum(len(keys) for _, keys in found) < events:
        response = stream.next()
        found.append((response.fragment, [event.kv.key for event in response.events]))
    return found


def test_watch_fragments(pair):
    """The events of one revision come whole however large they are, or in pieces when the watch asked for that; each
    piece but the last says that more follows."""

    def script(calls: Calls) -> None:
        whole, split = calls.watch(), calls.watch()
        for stream, fragment in ((whole, False), (split, True)):
            calls.note("created", stream.created(key=b"big/", range_end=b"big0", prev_kv=True, fragment=fragment))
        for number in range(6):
            calls.quiet("KV.Put", key=b"big/%d" % number, value=b"v" * (1 << 20))
            for stream in (whole, split):
                calls.note("put", str(pieces(stream, 1)))
        calls.quiet("KV.Txn", success=[{"request_put": {"key": b"big/%d" % n, "value": b"v" * 200_000}} for n in range(5)])
        for stream in (whole, split):
            calls.note("replaced", str(pieces(stream, 5)))
        calls.quiet("KV.Put", key=b"big/5", value=b"small")
        for stream in (whole, split):
            calls.note("put", str(pieces(stream, 1)))

    pair.compare_calls(script)


def test_watch_follows_a_busy_store(pair):
    """Watches started in the midst of writes see every event once and in order, whatever they had to catch up."""

    def script(calls: Calls) -> None:
        streams = []
        for number in range(500):
            calls.quiet("KV.Put", key=b"busy/%d" % (number % 7), value=b"%d" % number)
            if number % 50 == 0:
                stream = calls.watch()
                stream.create(key=b"busy/", range_end=b"busy0", start_revision=1 + number // 2)
                streams.append((stream, max(2, 1 + number // 2)))
        for stream, start in streams:
            assert stream.next().created
            events = stream.events(501 - start + 1)
            assert [event.kv.mod_revision for event in events] == list(range(start, 502))
            assert [int(event.kv.value) for event in events] == list(range(start - 2, 500))
        calls.everything()

    pair.compare_calls(script)


def test_watch_streams_end_with_their_client(pair):
    """A stream cancelled by its client leaves the others alone."""

    def script(calls: Calls) -> None:
        leaving, staying = calls.watch(), calls.watch()
        leaving.created(key=b"a")
        staying.created(key=b"a")
        leaving.close()
        calls.put("a", "1")
        calls.note("event", staying.next())

    pair.compare_calls(script)


def test_slow_watcher_loses_nothing_and_holds_up_nobody(pair):
    """A client that reads nothing for a while: writes go on, another watch follows, and it gets everything later."""

    def script(calls: Calls) -> None:
        import grpc

        slow = calls.client.method("Watch.Watch")
        request = api().messages.WatchRequest(create_request={"key": b"s/", "range_end": b"s0"})
        pending: list = [request]
        call = slow(iter_forever(pending))
        assert next(call).created
        quick = calls.watch()
        quick.created(key=b"s/", range_end=b"s0")
        for number in range(300):
            calls.quiet("KV.Put", key=b"s/%d" % number, value=b"v" * 100_000)
        quick.events(300)
        keys: list[bytes] = []
        while len(keys) < 300:
            keys += [event.kv.key for event in next(call).events]
        assert keys == [b"s/%d" % number for number in range(300)]
        call.cancel()
        pending.append(None)
        assert isinstance(call.code(), grpc.StatusCode)

    pair.compare_calls(script)


def iter_forever(pending: list):
    """Yields what is pending, and then keeps the request side of a stream open until a None arrives."""
    position = 0
    while True:
        wait_until(lambda: len(pending) > position, "the end of the stream", timeout=600)
        if pending[position] is None:
            return
        yield pending[position]
        position += 1


# ---- Lease


def test_lease_grant(pair):
    def script(calls: Calls) -> None:
        calls("Lease.LeaseGrant", ID=7, TTL=100)
        calls("Lease.LeaseGrant", ID=7, TTL=100)
        calls("Lease.LeaseGrant", ID=8, TTL=0)
        calls("Lease.LeaseGrant", ID=9, TTL=-1)
        calls("Lease.LeaseGrant", ID=10, TTL=1)
        calls("Lease.LeaseGrant", ID=11, TTL=9_000_000_000)
        calls("Lease.LeaseGrant", ID=12, TTL=9_000_000_001)
        calls("Lease.LeaseGrant", ID=2**63 - 1, TTL=50)
        chosen = calls.quiet("Lease.LeaseGrant", TTL=100)
        assert chosen.ID > 0 and chosen.TTL == 100
        calls.put("a", "1", lease=chosen.ID)
        assert calls.quiet("Lease.LeaseRevoke", ID=chosen.ID).header.revision == 3

    # The put shows the chosen id.
    transcripts = []
    for member in (pair.genuine, pair.ours):
        calls = Calls(member)
        script(calls)
        calls.close()
        transcripts.append([text for text in calls.transcript if not text.startswith("KV.Put")])
    assert transcripts[0] == transcripts[1]


def test_lease_keys_and_revocation(pair):
    def script(calls: Calls) -> None:
        stream = calls.watch()
        stream.created(key=b"l/", range_end=b"l0", prev_kv=True)
        calls("Lease.LeaseGrant", ID=7, TTL=1000)
        calls("Lease.LeaseGrant", ID=8, TTL=2000)
        for key in ("l/3", "l/1", "l/2", "l/9"):
            calls.put(key, key, lease=7)
            stream.next()
        calls.time_to_live(ID=8, keys=True)
        calls.put("l/9", "moved", lease=8)
        stream.next()
        calls("Lease.LeaseRevoke", ID=7)
        calls.note("revoked", stream.next())
        calls.everything()
        calls("Lease.LeaseRevoke", ID=7)
        calls("Lease.LeaseRevoke", ID=0)
        calls("Lease.LeaseRevoke", ID=99)
        calls.delete("l/9")
        calls.note("deleted", stream.next())
        # A lease without keys goes without a revision.
        calls("Lease.LeaseRevoke", ID=8)
        calls("Lease.LeaseLeases")
        calls.everything()

    pair.compare_calls(script)


def test_lease_time_to_live(pair):
    def script(calls: Calls) -> None:
        calls("Lease.LeaseGrant", ID=7, TTL=1000)
        for key in ("b", "c", "a"):
            calls.put(key, lease=7)
        for options in ({"ID": 7}, {"ID": 7, "keys": True}, {"ID": 99}, {"ID": 99, "keys": True}, {"ID": 0}, {"ID": -1}):
            answer = calls.quiet("Lease.LeaseTimeToLive", **options)
            if not isinstance(answer, Failure):
                assert answer.TTL == -1 or 990 <= answer.TTL <= 1000
                answer.TTL = min(answer.TTL, 0)
                answer.keys.sort()
            calls.note(f"time to live {options}", answer)
        calls.delete("b")
        calls.put("c", "free")
        answer = calls.quiet("Lease.LeaseTimeToLive", ID=7, keys=True)
        calls.note("keys left", str(list(answer.keys)))

    pair.compare_calls(script)


def test_lease_list_is_ordered_by_expiry(pair):
    def script(calls: Calls) -> None:
        calls("Lease.LeaseLeases")
        for lease, ttl in ((5, 5000), (6, 300), (7, 90000), (8, 1000)):
            calls("Lease.LeaseGrant", ID=lease, TTL=ttl)
        calls("Lease.LeaseLeases")

    pair.compare_calls(script)


def test_lease_keep_alive(pair):
    def script(calls: Calls) -> None:
        calls("Lease.LeaseGrant", ID=7, TTL=100)
        calls("Lease.LeaseGrant", ID=8, TTL=1)
        stream = calls.stream("Lease.LeaseKeepAlive")
        for lease in (7, 99, 8, 0, 7):
            stream.send(ID=lease)
            calls.note(f"keep alive {lease}", stream.next())
        calls("Lease.LeaseRevoke", ID=7)
        stream.send(ID=7)
        calls.note("keep alive of a revoked one", stream.next())
        stream.half_close()
        calls.note("end", stream.next())

    pair.compare_calls(script)


def test_lease_lives_while_kept_alive_and_then_expires(pair):
    def script(calls: Calls) -> None:
        calls("Lease.LeaseGrant", ID=7, TTL=2)
        calls("Lease.LeaseGrant", ID=8, TTL=2)
        for key in ("e/2", "e/1"):
            calls.put(key, lease=8)
        calls.put("kept", lease=7)
        stream = calls.watch()
        stream.created(key=b"e/", range_end=b"e0")
        alive = calls.stream("Lease.LeaseKeepAlive")

        def expired() -> bool:
            alive.send(ID=7)
            assert alive.next().TTL == 2
            return not calls.quiet("KV.Range", key=b"e/1").kvs

        wait_until(expired, "the lease to run out")
        calls.note("expired", stream.next())
        calls.everything()
        calls("Lease.LeaseTimeToLive", ID=8)

    pair.compare_calls(script)


def test_leases_expire_in_bulk(pair):
    def script(calls: Calls) -> None:
        stream = calls.watch()
        stream.created(key=b"bulk/", range_end=b"bulk0")
        for lease in range(1, 301):
            calls.quiet("Lease.LeaseGrant", ID=lease, TTL=2)
            calls.quiet("KV.Put", key=b"bulk/%03d" % lease, lease=lease)
        deleted = [event for event in stream.events(600) if event.type == 1]
        calls.note("deleted", str(sorted(event.kv.key for event in deleted)))
        # One revision for each lease.
        assert len({event.kv.mod_revision for event in deleted}) == 300
        calls.everything()
        calls("Lease.LeaseLeases")

    pair.compare_calls(script)


# ---- Maintenance


def test_status_and_hashes(pair):
    def script(calls: Calls) -> None:
        calls("Maintenance.Status")
        calls("Maintenance.HashKV")
        for number in range(200):
            calls.put(f"h/{number % 20}", str(number))
        calls.delete("h/3")
        calls.delete("h/10", "h/15")
        for revision in (-100, -1, 0, 1, 2, 50, 150, 202, 203, 204, 500):
            calls("Maintenance.HashKV", revision=revision)
        calls("KV.Compact", revision=120, physical=True)
        # At 120 itself etcd 3.4 refuses, and answers since 3.5.
        for revision in (-1, 0, 100, 119, 121, 150, 203):
            calls("Maintenance.HashKV", revision=revision)
        calls("Maintenance.Defragment")
        calls("Maintenance.HashKV")
        calls("Maintenance.Status")
        answer = calls.quiet("Maintenance.Hash")
        assert answer.hash != 0
        calls("Maintenance.Hash")

    pair.compare_calls(script)


def test_hash_after_each_compaction(pair):
    """Deleted keys, keys written again and keys written often, compacted at every revision in turn."""

    def script(calls: Calls) -> None:
        for round_number in range(4):
            for key in "abcd":
                calls.put(key, f"{round_number}")
            calls.delete("abcd"[round_number])
            calls("KV.Txn", success=[{"request_delete_range": {"key": b"a", "range_end": b"c"}}, {"request_put": {"key": b"e"}}])
        newest = calls.everything().header.revision
        for revision in range(2, newest):
            calls("KV.Compact", revision=revision, physical=True)
            calls("Maintenance.HashKV")
            calls("Maintenance.HashKV", revision=newest)
            calls.everything()

    pair.compare_calls(script)


def test_snapshot_stream(pair):
    """The stream is the backend file and its SHA-256; what is announced as remaining arrives."""
    for member in (pair.genuine, pair.ours):
        client = Client(member.endpoint)
        for number in range(40):
            client.call("KV.Put", key=b"s/%d" % number, value=b"v" * 100_000)
        parts = client.call("Maintenance.Snapshot")
        client.close()
        assert isinstance(parts, list), parts
        whole = b"".join(part.blob for part in parts)
        assert hashlib.sha256(whole[:-32]).digest() == whole[-32:]
        assert len(whole[:-32]) % 4096 == 0
        received = 0
        for part in parts:
            received += len(part.blob)
            # The tail is not counted as remaining.
            assert part.remaining_bytes in (len(whole) - received, max(0, len(whole) - 32 - received))
        assert parts[-1].remaining_bytes == 0


def test_alarm_list(pair):
    def script(calls: Calls) -> None:
        calls("Maintenance.Alarm", action="GET")
        calls("Maintenance.Alarm", action="GET", alarm="NOSPACE")
        calls("Maintenance.Alarm", action="GET", alarm="CORRUPT")

    pair.compare_calls(script)


@pytest.mark.parametrize("alarm", ("NOSPACE", "CORRUPT"))
def test_alarms_raised_by_hand(pair, alarm):
    def script(calls: Calls) -> None:
        member = calls.everything().header.member_id
        calls.put("a", "1")
        calls("Maintenance.Alarm", action="ACTIVATE", alarm=alarm, memberID=member)
        calls("Maintenance.Alarm", action="GET")
        calls.put("a", "2")
        calls.get("a")
        calls.get("a", serializable=True)
        calls.delete("missing")
        calls("KV.Txn", success=[{"request_range": {"key": b"a"}}])
        calls("KV.Txn", success=[{"request_put": {"key": b"a"}}])
        calls("Lease.LeaseGrant", ID=7, TTL=100)
        calls("Maintenance.Status")
        calls("Maintenance.Alarm", action="DEACTIVATE", alarm=alarm, memberID=member)
        calls("Maintenance.Alarm", action="GET")
        calls.put("a", "3")

    pair.compare_calls(script)
