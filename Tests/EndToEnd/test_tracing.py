"""Traces: a collector in this process takes the spans of a cluster's members by OTLP over gRPC."""

import threading
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
        wait_until(lambda: len(collector.of_trace(TRACE)) >= 5, "the spans of the put", 20)
        spans = collector.of_trace(TRACE)
        assert len(spans) == 5
        resource = spans[0][0]
        assert resource == {"service.name": "etcd-under-test", "service.instance.id": "instance-1"}
        (whole,) = [span for _, span in spans if span.name == "etcdserverpb.KV/Put"]
        assert whole.parent_span_id.hex() == CALLER
        assert whole.kind == whole.SPAN_KIND_SERVER
        attributes = {one.key: one.value for one in whole.attributes}
        assert attributes["rpc.system"].string_value == "grpc"
        assert attributes["rpc.service"].string_value == "etcdserverpb.KV"
        assert attributes["rpc.method"].string_value == "Put"
        assert attributes["rpc.grpc.status_code"].int_value == 0
        parts = {span.name: span for _, span in spans if span.parent_span_id == whole.span_id}
        assert sorted(parts) == sorted(STAGES)
        assert len({span.span_id for _, span in spans}) == 5
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
    assert client.call("KV.Put", key=b"k", lease=12345).code == "NOT_FOUND"
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
