"""gRPC's health service and server reflection, asked by gRPC's own Python client of them."""

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf import message_factory
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from harness.api import Client, Failure, api

SERVICES = {
    "etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease", "etcdserverpb.Cluster", "etcdserverpb.Maintenance",
    "etcdserverpb.Auth", "v3lockpb.Lock", "v3electionpb.Election", "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
}


@pytest.fixture
def channel(member_with):
    member = member_with().start()
    with grpc.insecure_channel(member.endpoint) as channel:
        yield channel


def asked(channel, *requests, path: str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo") -> list:
    """The answers to a stream of requests. Both versions have the same messages."""
    call = channel.stream_stream(
        path, request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
    return list(call(iter([reflection_pb2.ServerReflectionRequest(**request) for request in requests]), timeout=10))


@pytest.mark.ours_only
def test_a_client_that_knows_nothing_calls_etcd(channel):
    """All that the client needs to call a method comes from the server."""
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) == SERVICES
    pool = DescriptorPool(database)
    put = pool.FindServiceByName("etcdserverpb.KV").FindMethodByName("Put")
    request = message_factory.GetMessageClass(put.input_type)(key=b"a", value=b"1")
    response = channel.unary_unary(
        "/etcdserverpb.KV/Put", request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(put.output_type).FromString)(request)
    assert response.header.revision == 2


@pytest.mark.ours_only
@pytest.mark.parametrize("version", ("v1", "v1alpha"))
def test_every_service_is_described_as_the_protos_say(channel, version):
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    listed, = asked(channel, {"list_services": "*", "host": "here"}, path=path)
    assert [service.name for service in listed.list_services_response.service] == sorted(SERVICES)
    assert (listed.valid_host, listed.original_request.list_services) == ("here", "*")
    pool = DescriptorPool()
    answers = asked(channel, *({"file_containing_symbol": name} for name in sorted(SERVICES)), path=path)
    added = set()
    for answer in answers:
        # The file that was asked for comes first, those that it needs behind it.
        for encoded in reversed(answer.file_descriptor_response.file_descriptor_proto):
            if encoded not in added:
                pool.AddSerializedFile(encoded)
            added.add(encoded)
    for name, method in api().methods.items():
        service = method.containing_service.full_name
        found = pool.FindServiceByName(service).FindMethodByName(method.name)
        assert found.input_type.full_name == method.input_type.full_name, name
        assert (found.client_streaming, found.server_streaming) == (method.client_streaming, method.server_streaming)


@pytest.mark.ours_only
def test_questions_without_an_answer(channel):
    not_found = grpc.StatusCode.NOT_FOUND.value[0]
    answers = asked(
        channel, {"file_by_filename": "no/such.proto"}, {"file_containing_symbol": "no.Symbol"},
        {"file_containing_extension": {"containing_type": "etcdserverpb.KV", "extension_number": 5}},
        {"all_extension_numbers_of_type": "no.Type"}, {"all_extension_numbers_of_type": "mvccpb.KeyValue"},
        {"file_by_filename": "etcd/api/mvccpb/kv.proto"})
    assert [answer.error_response.error_code for answer in answers] == [not_found] * 4 + [0, 0]
    assert answers[4].all_extension_numbers_response.base_type_name == "mvccpb.KeyValue"
    assert len(answers[5].file_descriptor_response.file_descriptor_proto) == 1
    with pytest.raises(grpc.RpcError) as refused:
        asked(channel, {})
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def checked(client: Client, service: bytes = b"") -> bytes | Failure:
    """The answer of Health/Check, encoded."""
    body = bytes([0x0A, len(service)]) + service if service else b""
    return client.raw("/grpc.health.v1.Health/Check", body)


def test_health(pair):
    """Only the whole server has a health, as in etcd."""
    for member in (pair.genuine, pair.ours):
        client = Client(member.endpoint)
        assert checked(client) == b"\x08\x01"
        for service in (b"etcdserverpb.KV", b"nothing"):
            assert checked(client, service) == Failure("NOT_FOUND", "unknown service")
        client.close()


@pytest.mark.ours_only
def test_health_of_all_services(channel):
    """Since etcd 3.6, whose gRPC library lists them."""
    assert channel.unary_unary("/grpc.health.v1.Health/List")(b"", timeout=10) == b"\x0a\x06\x0a\x00\x12\x02\x08\x01"


def test_watching_health(pair):
    for member in (pair.genuine, pair.ours):
        with grpc.insecure_channel(member.endpoint) as channel:
            watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
            assert next(iter(watch(b"", timeout=10))) == b"\x08\x01"
            # Of a service that is not known it is said that it is not, and the stream goes on.
            assert next(iter(watch(b"\x0a\x02no", timeout=10))) == b"\x08\x03"


@pytest.mark.ours_only
def test_a_member_that_stops_says_so_first(member_with):
    member = member_with().start()
    with grpc.insecure_channel(member.endpoint) as channel:
        watch = iter(channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30))
        assert next(watch) == b"\x08\x01"
        member.process.terminate()
        assert next(watch) == b"\x08\x02"
    member.process.wait(30)
    member.process = None
