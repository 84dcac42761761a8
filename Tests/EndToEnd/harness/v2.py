"""The version-2 API over plain HTTP, as any client speaks it."""

import http.client
import json
import re
from dataclasses import dataclass, field
from typing import Any, Iterable
from urllib.parse import urlencode

from .member import Member

# Headers that say something of the store; Go writes them with capitals, and ours in any case.
_KEPT = ("content-type", "x-etcd-index", "x-raft-term", "x-etcd-cluster-id", "allow", "location", "x-content-type-options")
_TIME = re.compile(r'"(expiration|startTime)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"')
_LEFT = re.compile(r'"ttl":(\d{3,})')


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def node(self) -> dict[str, Any]:
        return self.json()["node"]

    @property
    def index(self) -> int:
        return int(self.headers["x-etcd-index"])

    def text(self) -> str:
        """The answer without what two runs cannot have in common."""
        shown = [f"{name}: {self.headers[name]}" for name in _KEPT if name in self.headers]
        # The raft index counts more than what clients ask: only that it is told is compared.
        shown += [f"{name}: …" for name in ("x-raft-index",) if name in self.headers]
        body = _TIME.sub(r'"\1":"TIME"', self.body)
        # Some seconds of a long time to live have passed on a busy machine.
        body = _LEFT.sub(lambda found: f'"ttl":{-(-int(found[1]) // 100) * 100}', body)
        return "\n".join([str(self.status), *shown, body])


@dataclass
class V2:
    """Requests to one member, and what they were answered."""

    member: Member
    transcript: list[str] = field(default_factory=list)

    def request(
        self, method: str, path: str, form: dict[str, Any] | str | None = None, query: dict[str, Any] | str = "",
        headers: dict[str, str] | None = None, timeout: float = 20.0,
    ) -> Answer:
        """Any request; `form` goes into the body, `query` behind the path."""
        query = query if isinstance(query, str) else urlencode(query)
        body = form if isinstance(form, str) or form is None else urlencode(form)
        fields = dict(headers or {})
        if form is not None and "Content-Type" not in fields:
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", self.member.port, timeout=timeout)
        try:
            connection.request(method, path + ("?" + query if query else ""), body, fields)
            response = connection.getresponse()
            answer = Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()},
                response.read().decode("utf-8", "surrogateescape"))
        finally:
            connection.close()
        self.transcript.append(f"{method} {path} {form} {query}\n{answer.text()}")
        return answer

    def get(self, key: str, **query: Any) -> Answer:
        return self.request("GET", f"/v2/keys{key}", query=query)

    def put(self, key: str, value: str | None = None, **form: Any) -> Answer:
        return self.request("PUT", f"/v2/keys{key}", ({} if value is None else {"value": value}) | form)

    def post(self, key: str, value: str, **form: Any) -> Answer:
        return self.request("POST", f"/v2/keys{key}", {"value": value} | form)

    def delete(self, key: str, **query: Any) -> Answer:
        return self.request("DELETE", f"/v2/keys{key}", query=query)


class Stream:
    """A request whose answer is read line by line."""

    def __init__(self, member: Member, key: str, timeout: float = 20.0, **query: Any):
        self.connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=timeout)
        self.connection.request("GET", f"/v2/keys{key}?{urlencode({'wait': 'true'} | query)}")
        # The head comes before any event.
        self.response = self.connection.getresponse()

    @property
    def index(self) -> int:
        return int(self.response.getheader("X-Etcd-Index"))

    def next(self) -> dict[str, Any]:
        return json.loads(self.response.readline())

    def rest(self) -> str:
        return self.response.read().decode()

    def close(self) -> None:
        self.connection.close()


def without_times(event: dict[str, Any]) -> dict[str, Any]:
    """An event without expirations and what is left until then."""
    def shorn(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shorn(part) for name, part in value.items() if name not in ("expiration", "ttl")}
        return [shorn(part) for part in value] if isinstance(value, list) else value

    return shorn(event)


def tree(node: dict[str, Any]) -> Iterable[tuple[str, Any, int, int]]:
    """All nodes of a recursive listing: key, value, and both indexes."""
    yield node.get("key", "/"), node.get("value"), node.get("modifiedIndex", 0), node.get("createdIndex", 0)
    for child in sorted(node.get("nodes", []), key=lambda child: child["key"]):
        yield from tree(child)
