"""The key-value API through grpcio: the same requests to genuine etcd 3.4 and to the server under test."""

import itertools

import grpc
import pytest

from harness.api import Calls, Client, Failure, api, in_parallel


def fill(calls: Calls) -> None:
    """Ties in every sort order: revisions 2 to 12."""
    for key, value in [
        ("a", "9"), ("ab", "8"), ("abc", "7"), ("b", "8"), ("c", ""), ("k/1", "x"), ("k/2", "y"), ("k/3", "x"),
    ]:
        calls.put(key, value)
    calls.put("ab", "6")
    calls.put("k/1", "z")
    calls.put("k/1", "w")


ORDERS, TARGETS = ("NONE", "ASCEND", "DESCEND"), ("KEY", "VERSION", "CREATE", "MOD", "VALUE")


def test_range_sorted(pair):
    def script(calls: Calls) -> None:
        fill(calls)
        for order, target, limit in itertools.product(ORDERS, TARGETS, (0, 1, 3, 8, 100)):
            calls.get(b"\0", b"\0", sort_order=order, sort_target=target, limit=limit)
        for order, target in itertools.product(ORDERS, TARGETS):
            calls.get("k/", "k0", sort_order=order, sort_target=target, limit=2, revision=10)
            calls.get(b"\0", b"\0", sort_order=order, sort_target=target, keys_only=True)

    pair.compare_calls(script)


def test_range_filters(pair):
    def script(calls: Calls) -> None:
        fill(calls)
        for field in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"):
            for revision in (0, 1, 5, 7, 8, 12, 13):
                calls.get(b"\0", b"\0", **{field: revision})
                calls.get(b"\0", b"\0", limit=2, **{field: revision})
                calls.get(b"\0", b"\0", count_only=True, **{field: revision})
        calls.get(b"\0", b"\0", min_mod_revision=5, max_mod_revision=10, min_create_revision=4, max_create_revision=8)
        calls.get(b"\0", b"\0", min_mod_revision=5, limit=3, sort_order="DESCEND", sort_target="MOD")

    pair.compare_calls(script)


def test_range_bounds(pair):
    def script(calls: Calls) -> None:
        fill(calls)
        for key, end in itertools.product((b"\0", b"a", b"ab", b"b", b"k/", b"zz"), (b"", b"\0", b"a", b"ac", b"k0", b"zzz")):
            calls.get(key, end)
        calls.get(b"", b"")
        calls.get(b"", b"\0")
        calls.get(b"", b"b")
        calls.put(b"\0", b"nul")
        calls.put(b"\0\0", b"nuls")
        calls.put(b"\xff\xff", b"high")
        calls.get(b"\0")
        calls.get(b"\0", b"\0")
        calls.get(b"\xff", b"\0")
        calls.get(b"\0", b"\0\1")

    pair.compare_calls(script)


def test_range_options(pair):
    def script(calls: Calls) -> None:
        fill(calls)
        calls.delete("k/2")
        calls.put("k/2", "again")
        for serializable, keys_only, count_only, limit in itertools.product((False, True), (False, True), (False, True), (0, 2, -1)):
            calls.get(b"\0", b"\0", serializable=serializable, keys_only=keys_only, count_only=count_only, limit=limit)
        calls.get("a", count_only=True)
        calls.get("missing", count_only=True)
        calls.get("a", limit=1)
        for revision in (-1, 1, 2, 6, 12, 13, 14, 15, 2**62):
            calls.get(b"\0", b"\0", revision=revision)
            calls.get("k/2", revision=revision, serializable=True)
        calls("KV.Compact", revision=9)
        for revision in (1, 8, 9, 10, 14):
            calls.get(b"\0", b"\0", revision=revision)
            calls.get("a", revision=revision, count_only=True)

    pair.compare_calls(script)


def test_range_of_many_keys(pair):
    """More keys than one page or one batch of anything holds."""

    def script(calls: Calls) -> None:
        for start in range(0, 5000, 100):
            calls.quiet("KV.Txn", success=[
                {"request_put": {"key": b"%05d" % number, "value": b"v" * (number % 97)}} for number in range(start, start + 100)
            ])
        calls.everything()
        calls.get("01000", "03000", limit=500)
        calls.get("00000", b"\0", count_only=True)
        calls.get("00000", b"\0", sort_target="KEY", sort_order="DESCEND", limit=100)
        calls.delete("01000", "04000")
        calls.everything()
        calls.get("00000", b"\0", revision=30, limit=3000)

    pair.compare_calls(script)


def test_put(pair):
    def script(calls: Calls) -> None:
        calls("Lease.LeaseGrant", ID=7, TTL=1000)
        calls.put("a", "1")
        calls.put("a", "2", prev_kv=True)
        calls.put("a", "3", lease=7, prev_kv=True)
        calls.put("a", "4", ignore_lease=True, prev_kv=True)
        calls.put("a", ignore_value=True, prev_kv=True)
        calls.put("a", ignore_value=True, ignore_lease=True, prev_kv=True)
        calls.put("new", "1", prev_kv=True)
        calls.put("", "1")
        calls.put("absent", ignore_value=True)
        calls.put("absent", "x", ignore_lease=True)
        calls.put("a", "x", ignore_value=True)
        calls.put("a", "x", lease=7, ignore_lease=True)
        calls.put("a", "x", lease=99)
        calls.put("a", "x", lease=-1)
        calls.put(b"\0\xff", b"\0\xff")
        calls.put("k" * 10_000, "long key")
        calls.everything()

    pair.compare_calls(script)


def test_delete_range(pair):
    def script(calls: Calls) -> None:
        fill(calls)
        calls.delete("missing", prev_kv=True)
        calls.delete("a", prev_kv=True)
        calls.delete("b", "a")
        calls.delete("b", "b")
        calls.delete("k/", "k0", prev_kv=True)
        calls.delete("k/", "k0", prev_kv=True)
        calls.delete("ab", b"\0")
        calls.everything()
        fill(calls)
        calls.delete("")
        calls.delete("", "b")
        calls.delete(b"\0", b"\0", prev_kv=True)
        calls.everything()

    pair.compare_calls(script)


def put(key: str, value: str = "v", **fields):
    return {"request_put": {"key": key.encode(), "value": value.encode(), **fields}}


def get(key: str, range_end: str = "", **fields):
    return {"request_range": {"key": key.encode(), "range_end": range_end.encode(), **fields}}


def delete(key: str, range_end: str = "", **fields):
    return {"request_delete_range": {"key": key.encode(), "range_end": range_end.encode(), **fields}}


def txn(success=(), failure=(), compare=()):
    return {"request_txn": {"compare": list(compare), "success": list(success), "failure": list(failure)}}


def compare(target: str, key: str, result: str, value, range_end: str = ""):
    field = {"CREATE": "create_revision", "MOD": "mod_revision"}.get(target, target.lower())
    return {"target": target, "key": key.encode(), "result": result, field: value, "range_end": range_end.encode()}


def test_txn(pair):
    def script(calls: Calls) -> None:
        fill(calls)
        yes, no = compare("VERSION", "a", "EQUAL", 1), compare("VERSION", "a", "EQUAL", 9)
        calls("KV.Txn")
        calls("KV.Txn", compare=[yes])
        calls("KV.Txn", compare=[no], success=[put("s")], failure=[get("a")])
        calls("KV.Txn", compare=[yes], success=[put("s", "1"), get("s"), put("t", "2", prev_kv=True), get("s", "u")])
        calls("KV.Txn", compare=[yes], success=[get("s"), delete("s", prev_kv=True), get("s")])
        calls("KV.Txn", success=[delete("a", "c"), get("a", "d"), delete("k/", "k0", prev_kv=True), put("z", "9")])
        calls("KV.Txn", success=[delete("nothing")])
        calls("KV.Txn", success=[get("k/1", revision=8), get("ab", count_only=True), get("a", "z", limit=1)])
        calls("KV.Txn", success=[put("m/1"), put("m/2"), put("m/3"), delete("m/4"), delete("z")])
        calls.get("m/", "m0")
        calls.everything()

    pair.compare_calls(script)


def test_txn_compares(pair):
    """Every target with every result, below, at and above the stored value, on present, absent and many keys."""

    def script(calls: Calls) -> None:
        fill(calls)
        calls("Lease.LeaseGrant", ID=7, TTL=1000)
        calls.put("leased", "v", lease=7)
        values = {
            "VERSION": (-1, 0, 1, 2, 3, 4), "CREATE": (0, 6, 7, 8), "MOD": (0, 11, 12, 13), "VALUE": (b"", b"v", b"w", b"x"),
            "LEASE": (0, 6, 7, 8),
        }
        for target, result in itertools.product(values, ("EQUAL", "GREATER", "LESS", "NOT_EQUAL")):
            for value, key in itertools.product(values[target], ("k/1", "absent", "leased")):
                calls("KV.Txn", compare=[compare(target, key, result, value)])
            for value, (key, end) in itertools.product(values[target], (("k/", "k0"), ("x", "y"), ("a", "\0"), ("b", "a"))):
                calls("KV.Txn", compare=[compare(target, key, result, value, end)])
        # A compare that names no value.
        for target in values:
            calls("KV.Txn", compare=[{"target": target, "key": b"a", "result": "EQUAL"}])
        calls("KV.Txn", compare=[{"target": "VERSION", "key": b"a", "result": "EQUAL", "value": b"9"}])

    pair.compare_calls(script)


def test_txn_nested(pair):
    def script(calls: Calls) -> None:
        calls.put("a", "1")
        yes, no = compare("VALUE", "a", "EQUAL", b"1"), compare("VALUE", "a", "EQUAL", b"2")
        calls("KV.Txn", success=[
            put("outer", "1"),
            txn([put("yes", "1"), get("outer")], [put("no", "1")], [yes]),
            txn([put("yes2", "1")], [put("no2", "1"), txn([get("a"), delete("yes", prev_kv=True)])], [no]),
            get("a", "z"),
        ])
        # Compares of inner transactions see the store as it was before the outermost one.
        calls("KV.Txn", success=[put("a", "2"), txn([put("saw", "old")], [put("saw", "new")], [yes])])
        calls("KV.Txn", success=[txn([txn([txn([put("deep", "1")])])])])
        calls("KV.Txn", compare=[no], success=[txn([put("x")])], failure=[txn([get("deep")])])
        calls("KV.Txn", success=[txn()])
        calls.everything()

    pair.compare_calls(script)


def test_txn_refused(pair):
    def script(calls: Calls) -> None:
        calls.put("a", "1")
        never = compare("VERSION", "a", "EQUAL", 99)
        refused = [
            [put("a"), put("a")],
            [put("a"), delete("a")],
            [delete("a", "c"), put("b")],
            [put("b"), delete("a", "\0")],
            [put("a"), txn([put("a")])],
            [txn([put("a")]), txn([put("a")])],
            [txn([delete("a", "c")]), put("b")],
            [put("")],
            [get("")],
            [delete("")],
            [put("a", lease=99)],
            [put("absent", "", ignore_value=True)],
            [put("absent", "v", ignore_lease=True)],
            [put("a", "v", ignore_value=True)],
            [get("a", revision=99)],
            [put("b"), get("a", revision=99)],
            [{}],
            [put(f"k{number}") for number in range(129)],
            [txn([put(f"k{number}") for number in range(129)])],
            [txn([get("a")], [put("")])],
        ]
        for operations in refused:
            calls("KV.Txn", success=operations)
            calls("KV.Txn", failure=operations)
            calls("KV.Txn", compare=[never], success=operations, failure=[get("a")])
        allowed = [
            [delete("a"), delete("a")],
            [delete("a", "c"), delete("b", "d")],
            [put("x"), get("x"), get("x")],
            [put("x"), delete("a", "b")],
            [put(f"k{number}") for number in range(128)],
            [txn([put("y")], [put("y")])],
            [txn([put("y")], [put("z")], [never]), put("w")],
        ]
        for operations in allowed:
            calls("KV.Txn", success=operations)
        calls("KV.Txn", compare=[compare("VERSION", f"k{n}", "EQUAL", 1) for n in range(128)])
        calls("KV.Txn", compare=[compare("VERSION", f"k{n}", "EQUAL", 1) for n in range(129)])
        calls("KV.Txn", compare=[compare("VERSION", "", "EQUAL", 1)])
        calls.everything()

    pair.compare_calls(script)


def test_txn_limit_follows_its_flag(pair_with):
    pair = pair_with("--max-txn-ops", "5")

    def script(calls: Calls) -> None:
        calls("KV.Txn", success=[put(f"k{number}") for number in range(5)])
        calls("KV.Txn", success=[put(f"k{number}") for number in range(6)])
        calls("KV.Txn", success=[txn([put(f"k{number}") for number in range(3)]), txn([put(f"l{n}") for n in range(3)])])

    pair.compare_calls(script)


def test_compact(pair):
    def script(calls: Calls) -> None:
        fill(calls)
        for revision in (0, -1, 1, 5, 5, 4, 6, 99):
            calls("KV.Compact", revision=revision)
        calls("KV.Compact", revision=9, physical=True)
        calls("Maintenance.HashKV")
        calls("KV.Compact", revision=12, physical=True)
        calls("Maintenance.HashKV")
        calls("KV.Compact", revision=12)
        calls.delete("a", "l")
        calls("KV.Compact", revision=13, physical=True)
        calls("Maintenance.HashKV")
        calls.everything()
        calls.put("a", "again")
        calls.get("a")

    pair.compare_calls(script)


def test_request_size(pair_with):
    """A request past the limit is refused by the server; past the framing allowance already by gRPC."""
    for flags, limit in (((), 1536 << 10), (("--max-request-bytes", "65536"), 65536)):
        def script(calls: Calls) -> None:
            for size in (limit - 200, limit + 1, limit + (512 << 10) - 200, limit + (512 << 10) + 1, limit + (2 << 20)):
                answer = calls.quiet("KV.Put", key=b"big", value=b"v" * size)
                calls.note(f"put of {size} bytes", answer)
            calls.get("big", count_only=True)

        pair_with(*flags).compare_calls(script)


def test_concurrent_writers_agree(pair):
    """Sixteen clients increment counters by transactions; none is lost on either side."""

    def total(member) -> int:
        def work(worker: int) -> None:
            client = Client(member.endpoint)
            try:
                for _ in range(20):
                    while True:
                        key = b"counter/%d" % (worker % 4)
                        kvs = client.call("KV.Range", key=key).kvs
                        value, revision = (int(kvs[0].value), kvs[0].mod_revision) if kvs else (0, 0)
                        answer = client.call(
                            "KV.Txn",
                            compare=[{"target": "MOD", "key": key, "result": "EQUAL", "mod_revision": revision}],
                            success=[{"request_put": {"key": key, "value": b"%d" % (value + 1)}}],
                        )
                        if answer.succeeded:
                            break
            finally:
                client.close()

        in_parallel(16, work)
        client = Client(member.endpoint)
        answer = client.call("KV.Range", key=b"counter/", range_end=b"counter0")
        client.close()
        # Every success is one revision, and no other revision was made.
        assert answer.header.revision == 1 + 16 * 20
        return sum(int(kv.value) for kv in answer.kvs)

    assert pair.both(total) == (320, 320)


def test_unknown_methods(pair):
    def script(calls: Calls) -> None:
        for path in ("/etcdserverpb.KV/Nothing", "/nothing.Nothing/Nothing", "/etcdserverpb.Nothing/Range", "/a/b/c"):
            calls.note(path, calls.client.raw(path))
        # The code for a path without a method changed between versions of gRPC; the text did not.
        for path in ("/nothing", "/"):
            calls.note(path, calls.client.raw(path).details)

    pair.compare_calls(script)


def test_bodies_that_are_no_message(pair):
    """Bytes that are no protobuf get the same code; the text names the decoder and is its own."""

    def script(calls: Calls) -> None:
        for body in (b"\xff", b"\x0a\xff", b"\x0a\x05abc", b"\x0f", b"\xff" * 100, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"):
            answer = calls.client.raw("/etcdserverpb.KV/Range", body)
            calls.note(repr(body), answer.code if isinstance(answer, Failure) else answer)
        # Fields nobody knows are skipped.
        calls.note("unknown field", calls.client.raw("/etcdserverpb.KV/Range", b"\x0a\x01a\xfa\x3f\x03xyz"))

    pair.compare_calls(script)


@pytest.mark.ours_only
def test_compressed_requests(member_with):
    """etcd takes gzip since 3.5."""
    calls = Calls(member_with().start())
    try:
        request = api().messages.PutRequest(key=b"zip", value=b"v" * 100_000).SerializeToString()
        answer = calls.client.raw("/etcdserverpb.KV/Put", request, compression=grpc.Compression.Gzip)
        assert isinstance(answer, bytes), answer
        assert calls.get("zip").kvs[0].value == b"v" * 100_000
    finally:
        calls.close()


def test_metadata_is_accepted(pair):
    def script(calls: Calls) -> None:
        metadata = (("hasleader", "true"), ("custom-bin", b"\0\xff"), ("client-api-version", "3.5.0"))
        calls.note("with metadata", calls.client.raw("/etcdserverpb.KV/Range", b"\x0a\x01a", metadata=metadata))

    pair.compare_calls(script)


def test_health_service(pair):
    def script(calls: Calls) -> None:
        calls.note("whole server", calls.client.raw("/grpc.health.v1.Health/Check"))
        calls.note("unknown service", calls.client.raw("/grpc.health.v1.Health/Check", b"\x0a\x07nothing"))

    pair.compare_calls(script)


def test_cluster(pair):
    def script(calls: Calls) -> None:
        calls("Cluster.MemberList")

    pair.compare_calls(script)


@pytest.mark.ours_only
def test_range_stream_merges_to_the_range(member_with):
    """RangeStream came with etcd 3.7: its pieces merged are the answer of Range."""
    calls = Calls(member_with().start())
    try:
        for start in range(0, 2000, 100):
            calls.quiet("KV.Txn", success=[put(f"{number:05}", "v" * 1000) for number in range(start, start + 100)])
        for options in ({}, {"limit": 700}, {"keys_only": True}, {"revision": 5}, {"count_only": True}):
            whole = calls.quiet("KV.Range", key=b"0", range_end=b"1", **options)
            pieces = calls.quiet("KV.RangeStream", key=b"0", range_end=b"1", **options)
            assert isinstance(pieces, list), pieces
            merged = api().messages.RangeResponse()
            for piece in pieces:
                merged.MergeFrom(piece.range_response)
            assert merged == whole
        assert isinstance(calls.quiet("KV.RangeStream", key=b""), Failure)
    finally:
        calls.close()
