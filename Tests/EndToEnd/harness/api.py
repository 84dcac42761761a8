"""etcd's gRPC API through grpcio, with message classes made from the repository's .proto files."""

import queue
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message
from grpc_tools import protoc

from . import settings
from .member import Member

CALL_TIMEOUT = 30.0


class Api:
    """Message classes by name, and methods by `Service.Method`."""

    def __init__(self, protos: Path):
        files = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
        if not files:
            raise RuntimeError(f"no .proto files under {protos}")
        with tempfile.TemporaryDirectory() as scratch:
            output = Path(scratch) / "api.binpb"
            import grpc_tools

            well_known = Path(grpc_tools.__file__).parent / "_proto"
            code = protoc.main(
                ["protoc", f"-I{protos}", f"-I{well_known}", "--include_imports", f"--descriptor_set_out={output}", *files]
            )
            if code != 0:
                raise RuntimeError(f"protoc ended with {code}")
            descriptors = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())
        pool = descriptor_pool.DescriptorPool()
        for file in descriptors.file:
            pool.Add(file)
        self.messages = SimpleNamespace()
        self.methods: dict[str, Any] = {}
        for file in descriptors.file:
            for message in file.message_type:
                full_name = f"{file.package}.{message.name}"
                # etcdserverpb wins over packages that reuse a name.
                if file.package == "etcdserverpb" or not hasattr(self.messages, message.name):
                    found = pool.FindMessageTypeByName(full_name)
                    setattr(self.messages, message.name, message_factory.GetMessageClass(found))
            for service in file.service:
                described = pool.FindServiceByName(f"{file.package}.{service.name}")
                for method in described.methods:
                    if file.package in ("etcdserverpb", "v3lockpb", "v3electionpb"):
                        self.methods[f"{service.name}.{method.name}"] = method


@lru_cache(maxsize=1)
def api() -> Api:
    return Api(settings.PROTOS)


@dataclass(frozen=True)
class Failure:
    """A call that ended with a status other than OK."""

    code: str
    details: str

    def __str__(self) -> str:
        return f"{self.code}: {self.details}"


class Client:
    """A channel to one member."""

    def __init__(self, endpoint: str):
        self.channel = grpc.insecure_channel(endpoint, options=[
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            # A member that was restarted is found again at once.
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 200),
            # Each client its own connection, even to one address.
            ("grpc.use_local_subchannel_pool", 1),
            # Members go and come again; the default would wait for up to two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
            # In spite of its name the time that an attempt to connect is given. A busy machine takes more than a moment.
            ("grpc.min_reconnect_backoff_ms", 10_000),
        ])
        self._methods: dict[str, Callable] = {}

    def close(self) -> None:
        self.channel.close()

    def method(self, name: str) -> Callable:
        """The callable of `Service.Method`."""
        if name not in self._methods:
            method = api().methods[name]
            path = f"/{method.containing_service.full_name}/{method.name}"
            make = {
                (False, False): self.channel.unary_unary,
                (False, True): self.channel.unary_stream,
                (True, False): self.channel.stream_unary,
                (True, True): self.channel.stream_stream,
            }[(method.client_streaming, method.server_streaming)]
            self._methods[name] = make(
                path,
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
            )
        return self._methods[name]

    def call(self, name: str, /, timeout: float = CALL_TIMEOUT, **fields: Any) -> Message | list[Message] | Failure:
        """Calls `Service.Method` with a request made of `fields`: its response, its responses, or its failure."""
        method = api().methods[name]
        request = message_factory.GetMessageClass(method.input_type)(**fields)
        try:
            if method.client_streaming:
                return next(self.method(name)(iter([request]), timeout=timeout))
            if method.server_streaming:
                return list(self.method(name)(request, timeout=timeout))
            return self.method(name)(request, timeout=timeout)
        except grpc.RpcError as error:
            return Failure(error.code().name, error.details())

    def raw(self, path: str, body: bytes = b"", **options: Any) -> bytes | Failure:
        """A unary call of any path with any bytes."""
        try:
            return self.channel.unary_unary(path)(body, timeout=CALL_TIMEOUT, **options)
        except grpc.RpcError as error:
            return Failure(error.code().name, error.details())

    def stream(self, name: str) -> "Stream":
        return Stream(self.method(name), message_factory.GetMessageClass(api().methods[name].input_type))

    def watch(self) -> "WatchStream":
        return WatchStream(self.method("Watch.Watch"), api().messages.WatchRequest)


class Stream:
    """A bidirectional stream: what to send is queued, what came is queued."""

    def __init__(self, method: Callable, request_class: type):
        self.request_class = request_class
        self._outgoing: queue.Queue = queue.Queue()
        self._incoming: queue.Queue = queue.Queue()
        self._call = method(self._requests())
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _requests(self) -> Iterator[Message]:
        while (request := self._outgoing.get()) is not None:
            yield request

    def _read(self) -> None:
        try:
            for response in self._call:
                self._incoming.put(response)
            self._incoming.put(Failure("OK", ""))
        except grpc.RpcError as error:
            self._incoming.put(Failure(error.code().name, error.details()))

    def send(self, **fields: Any) -> None:
        self._outgoing.put(self.request_class(**fields))

    def half_close(self) -> None:
        self._outgoing.put(None)

    def next(self, timeout: float = CALL_TIMEOUT) -> Message | Failure:
        """The next response, or how the stream ended."""
        try:
            return self._incoming.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError("no response on the stream") from None

    def close(self) -> None:
        self._call.cancel()
        self._outgoing.put(None)


class WatchStream(Stream):
    """A watch stream with the requests spelled out."""

    def create(self, **fields: Any) -> None:
        self.send(create_request=api().messages.WatchCreateRequest(**fields))

    def created(self, **fields: Any) -> Message:
        """Creates a watch and returns the answer to that."""
        self.create(**fields)
        return self.next()

    def cancel(self, watch_id: int) -> None:
        self.send(cancel_request=api().messages.WatchCancelRequest(watch_id=watch_id))

    def progress(self) -> None:
        self.send(progress_request=api().messages.WatchProgressRequest())

    def events(self, count: int) -> list[Message]:
        """The next `count` events, however they are grouped into responses."""
        found: list[Message] = []
        while len(found) < count:
            response = self.next()
            assert not isinstance(response, Failure), response
            assert not response.canceled and not response.created, response
            found += response.events
        assert len(found) == count, f"{len(found)} events where {count} were awaited"
        return found


# Fields that say something about this process rather than about the store, by message name.
_FREE_FIELDS = {
    "StatusResponse": (
        "version", "dbSize", "raftIndex", "raftAppliedIndex", "dbSizeInUse", "storageVersion", "dbSizeQuota",
        "downgradeInfo",
    ),
    "HashResponse": ("hash",),
    # Since 3.5.
    "HashKVResponse": ("hash_revision",),
    # etcd 3.4 sends no header with it, later versions do.
    "AlarmResponse": ("header",),
}


def shown(answer: Any) -> str:
    """An answer as text that equals the text of an equal answer."""
    if isinstance(answer, list):
        return "\n".join(shown(part) for part in answer)
    if not isinstance(answer, Message):
        return str(answer)
    copy = type(answer)()
    copy.CopyFrom(answer)
    for name in _FREE_FIELDS.get(answer.DESCRIPTOR.name, ()):
        if name in answer.DESCRIPTOR.fields_by_name:
            copy.ClearField(name)
    return f"{answer.DESCRIPTOR.name} {{\n{text_format.MessageToString(copy, as_utf8=False)}}}"


class Calls:
    """A row of calls to one member, and their transcript."""

    def __init__(self, member: Member):
        self.member = member
        self.client = Client(member.endpoint)
        self.transcript: list[str] = []
        self._streams: list[Stream] = []

    def __call__(self, name: str, /, **fields: Any) -> Any:
        answer = self.client.call(name, **fields)
        request = message_factory.GetMessageClass(api().methods[name].input_type)(**fields)
        text = text_format.MessageToString(request, as_one_line=True, as_utf8=False)
        self.note(f"{name}({text[:2000]})", answer)
        return answer

    def quiet(self, name: str, /, **fields: Any) -> Any:
        """A call whose answer is not compared."""
        return self.client.call(name, **fields)

    def note(self, what: str, answer: Any) -> Any:
        """Keeps an answer in the transcript."""
        self.transcript.append(f"{what}\n{shown(answer)}")
        return answer

    def put(self, key: str | bytes, value: str | bytes = b"", **fields: Any) -> Any:
        return self("KV.Put", key=as_bytes(key), value=as_bytes(value), **fields)

    def get(self, key: str | bytes, range_end: str | bytes = b"", **fields: Any) -> Any:
        return self("KV.Range", key=as_bytes(key), range_end=as_bytes(range_end), **fields)

    def time_to_live(self, **fields: Any) -> Any:
        """What is left of a lease; of the seconds only whether there are any, since time goes on between two servers."""
        answer = self.quiet("Lease.LeaseTimeToLive", **fields)
        if isinstance(answer, Message):
            assert answer.TTL <= answer.grantedTTL or answer.TTL == -1, answer
            answer.TTL = min(answer.TTL, 1)
        return self.note(f"Lease.LeaseTimeToLive({fields})", answer)

    def delete(self, key: str | bytes, range_end: str | bytes = b"", **fields: Any) -> Any:
        return self("KV.DeleteRange", key=as_bytes(key), range_end=as_bytes(range_end), **fields)

    def everything(self) -> Any:
        return self.get(b"\0", b"\0")

    def watch(self) -> WatchStream:
        stream = self.client.watch()
        self._streams.append(stream)
        return stream

    def stream(self, name: str) -> Stream:
        stream = self.client.stream(name)
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        self.client.close()


def as_bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def in_parallel(count: int, action: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(action, range(count)))
