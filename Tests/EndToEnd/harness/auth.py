"""Calls of users: clients that log in, and rows of calls under several names."""

from typing import Any

from google.protobuf import message_factory, text_format

from .api import Client, Failure, Stream, WatchStream, api, shown
from .member import Member

READ, WRITE, READWRITE = "READ", "WRITE", "READWRITE"


class User(Client):
    """A client that sends a token with each call."""

    def __init__(self, endpoint: str, token: str | None = None, field: str = "token"):
        super().__init__(endpoint)
        self.metadata = [] if token is None else [(field, token)]

    def method(self, name: str):
        call = super().method(name)
        return lambda request, **options: call(request, metadata=self.metadata, **options)


def log_in(endpoint: str, name: str, password: str) -> str | Failure:
    """A token for `name`, or why there is none."""
    client = Client(endpoint)
    try:
        answer = client.call("Auth.Authenticate", name=name, password=password)
        return answer if isinstance(answer, Failure) else answer.token
    finally:
        client.close()


class UserCalls:
    """A row of calls to one member under several names, and their transcript."""

    def __init__(self, member: Member):
        self.member = member
        self.transcript: list[str] = []
        self.tokens: dict[str, str] = {}
        self._clients: dict[str | None, User] = {None: User(member.endpoint)}
        self._streams: list[Stream] = []

    def log_in(self, name: str, password: str) -> None:
        """Logs in and keeps the token; a failure goes to the transcript."""
        token = log_in(self.member.endpoint, name, password)
        if isinstance(token, Failure):
            self.transcript.append(f"log in {name}: {token}")
            return
        self.transcript.append(f"log in {name}")
        self.use(name, token)

    def use(self, name: str, token: str | None, field: str = "token") -> None:
        """Makes calls as `name` with `token` from here on."""
        if name in self._clients:
            self._clients.pop(name).close()
        self.tokens[name] = token
        self._clients[name] = User(self.member.endpoint, token, field)

    def client(self, name: str | None) -> User:
        return self._clients[name]

    def __call__(self, user: str | None, name: str, /, **fields: Any) -> Any:
        answer = self._clients[user].call(name, **fields)
        self.note(f"{user or 'nobody'}: {name}({self._text(name, fields)})", answer)
        return answer

    def quiet(self, user: str | None, name: str, /, **fields: Any) -> Any:
        """A call whose answer is not compared."""
        return self._clients[user].call(name, **fields)

    def outcome(self, user: str | None, name: str, /, **fields: Any) -> Any:
        """A call of which only the failure is compared."""
        answer = self._clients[user].call(name, **fields)
        self.note(f"{user or 'nobody'}: {name}({self._text(name, fields)})", answer if isinstance(answer, Failure) else "OK")
        return answer

    @staticmethod
    def _text(name: str, fields: dict[str, Any]) -> str:
        request = message_factory.GetMessageClass(api().methods[name].input_type)(**fields)
        return text_format.MessageToString(request, as_one_line=True, as_utf8=False)[:2000]

    def note(self, what: str, answer: Any) -> None:
        self.transcript.append(f"{what}\n{shown(answer)}")

    def watch(self, user: str | None) -> WatchStream:
        stream = WatchStream(self._clients[user].method("Watch.Watch"), api().messages.WatchRequest)
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        for client in self._clients.values():
            client.close()


def permission(kind: str, key: str | bytes, range_end: str | bytes = b"") -> Any:
    """An `authpb.Permission`."""
    as_bytes = lambda text: text.encode() if isinstance(text, str) else text
    return api().messages.Permission(permType=kind, key=as_bytes(key), range_end=as_bytes(range_end))


def set_up(calls: UserCalls, *users: tuple[str, list[tuple]]) -> None:
    """Makes root and `users`, each with a password like its name and a role of its own with the permissions given, enables
    auth, and logs everyone in."""
    calls(None, "Auth.UserAdd", name="root", password="root")
    calls(None, "Auth.UserGrantRole", user="root", role="root")
    for name, permissions in users:
        calls(None, "Auth.UserAdd", name=name, password=name)
        calls(None, "Auth.RoleAdd", name=f"role-{name}")
        for granted in permissions:
            calls(None, "Auth.RoleGrantPermission", name=f"role-{name}", perm=permission(*granted))
        calls(None, "Auth.UserGrantRole", user=name, role=f"role-{name}")
    calls(None, "Auth.AuthEnable")
    for name in ("root", *(name for name, _ in users)):
        calls.log_in(name, name)


def compare(pair, script) -> list[str]:
    """Runs a script of calls by users against both members and fails where the answers differ."""
    from .pair import assert_equal_transcripts

    def run(member: Member) -> list[str]:
        calls = UserCalls(member)
        try:
            script(calls)
        finally:
            calls.close()
        return calls.transcript

    genuine, ours = pair.both(run)
    assert_equal_transcripts(genuine, ours)
    return genuine
