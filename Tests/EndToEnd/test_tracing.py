"""Traces: a collector in this process takes the spans of a cluster's members by OTLP over gRPC."""

import json
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from harness import metrics
from harness.api import Client, api
from harness.cluster import Cluster
from harness.ports import free_port
from harness.waiting import wait_until

pytestmark = pytest.mark.ours_only

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
STAGES = ["queue", "sync", "apply", "reply"]


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps each span with the attributes of the process that it comes from."""

    def __init__(self):
        self.lock = threading.Lock()
        self.spans = []
        self.port = free_port()
        self.server = grpc.server(ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def Export(self, request, context):
        with self.lock:
            for group in request.resource_spans:
                resource = {one.key: one.value.string_value for one in group.resource.attributes}
                for scope in group.scope_spans:
                    self.spans += [(resource, span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def of_trace(self, trace: str) -> list:
        with self.lock:
            return [(resource, span) for resource, span in self.spans if span.trace_id.hex() == trace]

    def named(self, name: str) -> list:
        with self.lock:
            return [span for _, span in self.spans if span.name == name]


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.server.stop(None)


def flags(collector: Collector, rate: int) -> dict[str, str]:
    return {
        "enable_distributed_tracing": "true", "distributed_tracing_address": f"127.0.0.1:{collector.port}",
        "distributed_tracing_service_name": "etcd-under-test", "distributed_tracing_instance_id": "instance-1",
        "distributed_tracing_sampling_rate": str(rate),
    }


def attributes_of(span) -> dict:
    return {one.key: one.value for one in span.attributes}


def plain_attributes(span) -> dict:
    """The attributes with their values as Python has them."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def put(member, key: bytes, header: str | None) -> None:
    client = Client(member.endpoint)
    message = api().messages.PutRequest(key=key, value=b"value")
    client.method("KV.Put")(message, timeout=30, metadata=[("traceparent", header)] if header else [])
    client.close()


def test_the_spans_of_a_put_in_a_cluster(directory, collector):
    cluster = Cluster(directory, ["ours"] * 3, **flags(collector, 0))
    try:
        cluster.start()
        follower = cluster.followers()[0]
        put(follower, b"traced", f"00-{TRACE}-{CALLER}-01")
        put(follower, b"not traced", f"00-{TRACE[::-1]}-{CALLER}-00")
        put(follower, b"nobody says", None)
        wait_until(lambda: len(collector.of_trace(TRACE)) >= 6, "the spans of the put", 20)
        spans = collector.of_trace(TRACE)
        assert len(spans) == 6
        resource = spans[0][0]
        assert resource == {"service.name": "etcd-under-test", "service.instance.id": "instance-1"}
        (whole,) = [span for _, span in spans if span.name == "etcdserverpb.KV/Put"]
        assert whole.parent_span_id.hex() == CALLER
        assert whole.kind == whole.SPAN_KIND_SERVER
        attributes = attributes_of(whole)
        assert attributes["rpc.system"].string_value == "grpc"
        assert attributes["rpc.service"].string_value == "etcdserverpb.KV"
        assert attributes["rpc.method"].string_value == "Put"
        assert attributes["rpc.grpc.status_code"].int_value == 0
        (operation,) = [span for _, span in spans if span.parent_span_id == whole.span_id]
        assert operation.name == "put" and attributes_of(operation)["key"].string_value == "traced"
        parts = {span.name: span for _, span in spans if span.parent_span_id == operation.span_id}
        assert sorted(parts) == sorted(STAGES)
        assert len({span.span_id for _, span in spans}) == 6
        ends = [whole.start_time_unix_nano]
        for stage in STAGES:
            assert parts[stage].start_time_unix_nano <= parts[stage].end_time_unix_nano
            ends.append(parts[stage].end_time_unix_nano)
        assert ends == sorted(ends) and ends[-1] <= whole.end_time_unix_nano
        # The only trace is the one whose caller asked for it.
        assert {span.trace_id.hex() for _, span in collector.spans} == {TRACE}
    finally:
        cluster.close()


def test_a_rate_traces_calls_that_say_nothing(member_with, collector):
    member = member_with(
        None, "--experimental-enable-distributed-tracing=true",
        f"--experimental-distributed-tracing-address=127.0.0.1:{collector.port}",
        "--experimental-distributed-tracing-sampling-rate=1000000").start()
    client = Client(member.endpoint)
    for number in range(10):
        client.call("KV.Put", key=b"k", value=b"v")
    refused = client.call("KV.Put", key=b"k", lease=12345)
    assert refused.code == "NOT_FOUND", f"{refused}\n{member.log_end()}"
    client.call("KV.Range", key=b"k")
    client.close()
    wait_until(lambda: len(collector.named("etcdserverpb.KV/Put")) >= 11, "the spans", 20)
    wait_until(lambda: len(collector.named("etcdserverpb.KV/Range")) >= 1, "the span of the range", 20)
    puts = collector.named("etcdserverpb.KV/Put")
    assert len({span.trace_id for span in puts}) == len(puts) == 11
    assert not any(span.parent_span_id for span in puts)
    # What a client asks wrongly is no fault of the server.
    assert all(span.status.code == span.status.STATUS_CODE_UNSET for span in puts)
    scraped = metrics.scrape(f"http://{member.endpoint}")
    assert scraped["swift_etcd_spans_sent_total"].value() >= 12
    assert scraped["swift_etcd_spans_dropped_total"].value() == 0


def test_a_collector_that_is_away_costs_spans_and_nothing_else(member_with):
    member = member_with(
        None, "--enable-distributed-tracing=true", f"--distributed-tracing-address=127.0.0.1:{free_port()}",
        "--distributed-tracing-sampling-rate=1000000").start()
    client = Client(member.endpoint)
    for number in range(600):
        answer = client.call("KV.Put", key=b"k", value=b"v")
        assert answer.header.revision == number + 2
    client.close()
    wait_until(
        lambda: metrics.scrape(f"http://{member.endpoint}")["swift_etcd_spans_dropped_total"].value() > 0,
        "dropped spans", 20)
    wait_until(lambda: "failed to send spans to the collector" in member.log(), "the line", 20)


REQUESTS = {"KV.Compact": "CompactionRequest"}

# A call, and the span of what it asks for with the attributes that etcd 3.7 gives it, and the stages.
READ = ["read_index", "read"]
OPERATIONS = {
    "linearizable range": (
        "KV.Range", {"key": b"k", "range_end": b"l", "limit": 7, "keys_only": True}, "range", {
            "range_begin": "k", "range_end": "l", "rev": 0, "limit": 7, "count_only": False, "keys_only": True}, READ),
    "range of one member": (
        "KV.Range", {"key": b"k", "revision": 1, "count_only": True, "serializable": True}, "range", {
            "range_begin": "k", "range_end": "", "rev": 1, "limit": 0, "count_only": True, "keys_only": False}, []),
    "range in pieces": (
        "KV.Range", {"key": b"\0", "range_end": b"\0", "sort_order": "DESCEND"}, "range", {
            "range_begin": "\0", "range_end": "\0", "rev": 0, "limit": 0, "count_only": False, "keys_only": False}, READ),
    "transaction that reads": (
        "KV.Txn", {"success": [{"request_range": {"key": b"k"}}]}, "txn", {
            "compare_first_key": "", "success_first_key": "k", "success_first_type": "range", "success_first_lease": -1,
            "compare_len": 0, "success_len": 1, "failure_len": 0, "read_only": True}, READ),
    "transaction that writes": (
        "KV.Txn", {
            "compare": [{"key": b"c", "target": "VERSION", "version": 0}], "success": [{"request_put": {"key": b"p"}}],
            "failure": [{"request_range": {"key": b"k"}}]}, "txn", {
                "compare_first_key": "c", "success_first_key": "p", "success_first_type": "put", "success_first_lease": 0,
                "compare_len": 1, "success_len": 1, "failure_len": 1, "read_only": False}, STAGES),
    "delete": ("KV.DeleteRange", {"key": b"a", "range_end": b"b"}, "delete_range", {
        "range_begin": "a", "range_end": "b"}, STAGES),
    "compaction": ("KV.Compact", {"revision": 1}, "compact", {"rev": 1}, STAGES),
    "key without text": ("KV.Put", {"key": b"\xff" * 400}, "put", {"key": "\N{REPLACEMENT CHARACTER}" * 256}, STAGES),
    "no operation": ("Maintenance.Status", {}, None, {}, []),
}


def test_each_operation_has_a_span_with_its_stages(member_with, collector):
    member = member_with(
        None, "--enable-distributed-tracing=true", f"--distributed-tracing-address=127.0.0.1:{collector.port}").start()
    client = Client(member.endpoint)
    traces = {}
    for number, (name, (method, fields, *_)) in enumerate(OPERATIONS.items(), 1):
        traces[name] = f"{number:032x}"
        message = getattr(api().messages, REQUESTS.get(method, f"{method.split('.')[1]}Request"))(**fields)
        client.method(method)(message, timeout=30, metadata=[("traceparent", f"00-{traces[name]}-{CALLER}-01")])
    client.close()

    def expected(stages: list, operation: str | None) -> int:
        return 1 + (operation is not None) + len(stages)

    wait_until(
        lambda: all(
            len(collector.of_trace(traces[name])) >= expected(stages, operation)
            for name, (_, _, operation, _, stages) in OPERATIONS.items()), "the spans", 30)
    for name, (method, _, operation, attributes, stages) in OPERATIONS.items():
        spans = [span for _, span in collector.of_trace(traces[name])]
        assert len(spans) == expected(stages, operation), name
        (whole,) = [span for span in spans if span.parent_span_id.hex() == CALLER]
        assert whole.name == "etcdserverpb." + method.replace(".", "/")
        if operation is None:
            continue
        (part,) = [span for span in spans if span.parent_span_id == whole.span_id]
        assert part.name == operation and plain_attributes(part) == attributes, name
        ends = [part.start_time_unix_nano]
        inner = [span for span in spans if span.parent_span_id == part.span_id]
        assert [span.name for span in sorted(inner, key=lambda span: stages.index(span.name))] == stages, name
        for span in sorted(inner, key=lambda span: stages.index(span.name)):
            assert span.start_time_unix_nano == ends[-1], name
            ends.append(span.end_time_unix_nano)
        assert ends == sorted(ends) and whole.start_time_unix_nano <= ends[0]
        assert ends[-1] <= part.end_time_unix_nano <= whole.end_time_unix_nano


@pytest.mark.parametrize("header", ("traceparent", "Grpc-Metadata-Traceparent"))
def test_calls_in_json_are_traced(member_with, collector, header):
    member = member_with(
        None, "--enable-distributed-tracing=true", f"--distributed-tracing-address=127.0.0.1:{collector.port}").start()
    for path, body in (("put", {"key": "YQ==", "value": "Yg=="}), ("range", {"key": "YQ=="})):
        request = urllib.request.Request(
            f"http://{member.endpoint}/v3/kv/{path}", json.dumps(body).encode(), {header: f"00-{TRACE}-{CALLER}-01"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["header"]["revision"] == "2"
    wait_until(lambda: len(collector.of_trace(TRACE)) >= 10, "the spans", 20)
    spans = [span for _, span in collector.of_trace(TRACE)]
    assert sorted(span.name for span in spans) == sorted(
        ["etcdserverpb.KV/Put", "put", *STAGES, "etcdserverpb.KV/Range", "range", *READ])
    assert {span.parent_span_id.hex() for span in spans if span.kind == span.SPAN_KIND_SERVER} == {CALLER}
