"""The version-2 API of ours against that of etcd 3.4 with --enable-v2: equal statuses, headers and bodies."""

import http.client
import io
import json
import random
import socket

import pytest

from harness import settings
from harness.certificates import Authority
from harness.member import Member
from harness.pair import Pair, assert_equal_transcripts
from harness.secure import SecureMember, ask, context
from harness.v2 import V2, Stream, without_times
from harness.waiting import wait_until

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def pair(pair_with) -> Pair:
    return pair_with("--enable-v2")


def compare(pair: Pair, script) -> None:
    def run(member: Member) -> list[str]:
        client = V2(member)
        script(client)
        return client.transcript

    assert_equal_transcripts(*pair.both(run))


def test_keys(pair):
    def script(v2: V2) -> None:
        v2.get("")
        v2.get("/")
        v2.put("/a", "1")
        v2.put("/a", "2")
        v2.get("/a")
        v2.get("/a", quorum="true")
        v2.get("/none")
        v2.get("/none", quorum="true")
        v2.get("/a/below")
        v2.put("/a/below", "x")
        v2.put("/dir/in/side", "x")
        v2.get("/dir")
        v2.get("/dir", recursive="true")
        v2.get("/dir/", sorted="true")
        v2.put("/dir", "x")
        v2.put("/dir", dir="true")
        v2.put("/empty", dir="true")
        v2.put("/empty", dir="true", prevExist="true")
        v2.get("/empty")
        v2.put("/both", "value", dir="true")
        v2.put("/no-value")
        v2.get("/no-value")
        v2.put("/", "x")
        v2.put("", "x")
        v2.post("", "in the root")
        v2.put("/um%20laut/%F0%9F%A6%8A", "wért 🦊")
        v2.get("/um%20laut", recursive="true")
        v2.put("/escapes%3C%26%22", "<&>\"\\\n\t\x01\u2028")
        v2.get("/", recursive="true", sorted="true")
        v2.request("HEAD", "/v2/keys/a")
        v2.request("HEAD", "/v2/keys/none")

    compare(pair, script)


def test_hidden_keys(pair):
    def script(v2: V2) -> None:
        v2.put("/_hidden", "1")
        v2.put("/_etcd/registry/x", "2")
        v2.put("/shown/_inside", "3")
        v2.put("/shown/beside", "4")
        v2.get("/", recursive="true", sorted="true")
        v2.get("/_hidden")
        v2.get("/_etcd", recursive="true")
        v2.get("/shown")
        v2.delete("/shown", recursive="true")
        v2.get("/shown/_inside")

    compare(pair, script)


def test_conditions(pair):
    def script(v2: V2) -> None:
        v2.put("/a", "1", prevExist="true")
        v2.put("/a", "1", prevExist="false")
        v2.put("/a", "2", prevExist="false")
        v2.put("/a", "2", prevExist="true")
        v2.put("/a", "3", prevValue="1")
        v2.put("/a", "3", prevValue="2")
        v2.put("/a", "4", prevIndex="1")
        v2.put("/a", "4", prevIndex=str(v2.get("/a").node["modifiedIndex"]))
        v2.put("/a", "5", prevIndex="1", prevValue="1")
        v2.put("/a", "5", prevIndex="1", prevValue="4")
        v2.put("/a", "5", prevIndex="0")
        v2.put("/a", "6", prevValue="5", prevExist="true")
        v2.put("/a", "6", prevValue="5", prevExist="false")
        v2.put("/none", "1", prevValue="5")
        v2.put("/d/x", "1")
        v2.put("/d", "1", prevValue="5")
        v2.put("/d", "1", prevExist="true")
        v2.put("/d", "", prevExist="true")
        v2.put("/", "1", prevExist="true")
        v2.put("/", "1", prevValue="5")
        v2.delete("/a", prevValue="no")
        v2.delete("/a", prevIndex="1")
        v2.delete("/d", prevIndex="1")
        v2.delete("/none", prevIndex="1")
        v2.delete("/a", prevValue="6")
        v2.delete("/a")
        v2.delete("/d")
        v2.delete("/d", dir="true")
        v2.delete("/d", recursive="true")
        v2.put("/e", dir="true")
        v2.delete("/e", dir="true")
        v2.delete("/")
        v2.delete("/", recursive="true")
        for form in ({"noValueOnSuccess": "true"}, {"prevExist": "true", "noValueOnSuccess": "1"}):
            v2.put("/quiet", "1", **form)
        v2.put("/quiet", "1", prevValue="x", noValueOnSuccess="true")
        v2.get("/quiet", noValueOnSuccess="true")
        v2.delete("/quiet", noValueOnSuccess="true")
        # What cannot be compared in a body counts in the query; the body goes first.
        v2.request("PUT", "/v2/keys/q", {"value": "body"}, {"value": "query"})
        v2.request("PUT", "/v2/keys/q", None, {"value": "query", "prevExist": "true"})

    compare(pair, script)


def test_keys_in_order(pair):
    def script(v2: V2) -> None:
        for number in range(3):
            v2.post("/queue", str(number))
        v2.post("/queue", "d", dir="true")
        v2.post("/queue", "t", ttl="100")
        v2.get("/queue", sorted="true")
        v2.put("/file", "x")
        v2.post("/file", "y")

    compare(pair, script)


@pytest.mark.parametrize("method", ("GET", "PUT", "POST", "DELETE"))
def test_refusals(pair, method):
    def script(v2: V2) -> None:
        for name in ("recursive", "sorted", "wait", "dir", "quorum", "stream", "noValueOnSuccess", "prevExist", "refresh"):
            for value in ("maybe", "", "yes", "2", " true"):
                v2.request(method, "/v2/keys/a", None, {name: value})
        for name in ("prevIndex", "waitIndex", "ttl"):
            for value in ("-1", "+1", "1.5", "", "0x10", "18446744073709551616", " 1"):
                v2.request(method, "/v2/keys/a", None, {name: value})
        for query in ("prevValue=", "refresh=true", "refresh=true&value=x&ttl=5", "a=%zz", "a=%2", "%", "a;b", "prevValue=&prevIndex=x", "wait=true&prevIndex=x"):
            v2.request(method, "/v2/keys/a", None, query)
        if method != "GET":
            v2.request(method, "/v2/keys/a", None, {"wait": "true"})
        v2.request(method, "/v2/keys/a", "value=x&dir=maybe")
        v2.request(method, "/v2/keys/a", "value=%zz")
        v2.request(method, "/v2/keys/b", "value=x", headers={"Content-Type": "text/plain"})
        v2.request(method, "/v2/keys/c", '{"value": "x"}', headers=JSON)

    compare(pair, script)


def test_paths(pair):
    def script(v2: V2) -> None:
        for path in (
            "/v2/keys//a", "/v2/keys/a/", "/v2/keys/a/../b", "/v2/keys/./a", "/v2/keys/a/..", "/v2/keys/..", "/v2/keysx",
            "/v2/keys/a//b?x=1&y=%20", "/v2/keys/%2e%2e/x", "/v2/keys/a%2Fb", "/v2/keys/a%20b//c%3Cd", "/v2", "/v2/", "/v2/stats",
            "/v2/stats/", "/v2/stats/none", "/v2/machines/", "/v2/keys/~!@$^*()_+-=:,;'", "/v2/keys/a?", "/v2/members/none",
        ):
            for method in ("GET", "PUT"):
                v2.request(method, path, None)
        for path in ("/v2/keys/a", "/v2/members", "/v2/machines", "/v2/stats/self", "/v2/stats/store", "/v2/stats/leader"):
            v2.request("PATCH", path, None)

    compare(pair, script)


def test_long_lists(pair):
    """Answers of more than a piece, by this member's store and by way of the log."""
    def script(v2: V2) -> None:
        for number in range(80):
            v2.put(f"/long/{number % 7}/{number}", f"{number}<" * 4_000)
        v2.put("/long/_hidden/x", "y")
        del v2.transcript[:]
        for query in ({}, {"quorum": "true"}):
            answer = v2.get("/long", recursive="true", sorted="true", **query)
            assert len(answer.body) > 1_500_000
        v2.get("/long", sorted="true")
        v2.get("/long/3/3")
        assert v2.request("HEAD", "/v2/keys/long?recursive=true").status == 200
        del v2.transcript[-1]
        # Connections go on behind such answers.
        connection = http.client.HTTPConnection("127.0.0.1", v2.member.port, timeout=20)
        for method in ("GET", "HEAD", "GET"):
            connection.request(method, "/v2/keys/long?recursive=true&sorted=true")
            v2.transcript.append(f"{method} {connection.getresponse().read().decode()}")
        connection.close()

    compare(pair, script)


@pytest.mark.ours_only
def test_a_list_is_as_it_was(member_with):
    """While a client takes its time over a long list, the keys change, and others are answered; it gets what there was."""
    member = member_with(None, "--enable-v2").start()
    v2 = V2(member)
    for number in range(400):
        v2.put(f"/old/{number:03}", "x" * 40_000)
    with socket.create_connection(("127.0.0.1", member.port), timeout=30) as slow:
        # Sixteen megabytes are more than the sockets' buffers take.
        slow.sendall(b"GET /v2/keys/old?recursive=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = slow.recv(15)
        assert head == b"HTTP/1.1 200 OK"
        v2.delete("/old", recursive="true")
        v2.put("/new", "1")
        assert [node["key"] for node in v2.get("/").node["nodes"]] == ["/new"]
        response = http.client.HTTPResponse(_Spliced(slow, head))
        response.begin()
        listed = json.loads(response.read())
    assert [node["key"] for node in listed["node"]["nodes"]] == [f"/old/{number:03}" for number in range(400)]
    assert all(node["value"] == "x" * 40_000 for node in listed["node"]["nodes"])


class _Spliced:
    """A socket some of whose bytes were read already."""

    def __init__(self, connection: socket.socket, head: bytes):
        self.file = io.BufferedReader(_Chained(head, connection.makefile("rb", buffering=0)))

    def makefile(self, *_):
        return self.file


class _Chained(io.RawIOBase):
    def __init__(self, head: bytes, rest):
        self.head, self.rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self.head:
            return self.rest.readinto(buffer)
        count = min(len(buffer), len(self.head))
        buffer[:count], self.head = self.head[:count], self.head[count:]
        return count


def test_members(pair):
    def script(v2: V2) -> None:
        v2.request("GET", "/v2/members")
        v2.request("GET", "/v2/members/")
        v2.request("GET", "/v2/members/leader")
        v2.request("GET", "/v2/members/8e9e05c52164694d")
        v2.request("GET", "/v2/machines")
        v2.request("HEAD", "/v2/machines")
        for body in ("", "{}", "null", "x", '{"peerURLs":[]}', '{"peerURLs":["a"]}', '{"peerURLs":["http://a"]}',
                     '{"peerURLs":["http://a:1/x"]}', '{"peerURLs":["ftp://a:1"]}'):
            v2.request("POST", "/v2/members", body, headers=JSON)
            v2.request("PUT", "/v2/members/8e9e05c52164694d", body, headers=JSON)
        v2.request("POST", "/v2/members", "peerURLs=http://a:1")
        v2.request("POST", "/v2/members", "{}", headers={"Content-Type": "text/plain; charset=x"})
        v2.request("POST", "/v2/members", '{"peerURLs":["http://localhost:2380"]}', headers=JSON)
        v2.request("PUT", "/v2/members/1", '{"peerURLs":["http://localhost:2390"]}', headers=JSON)
        v2.request("PUT", "/v2/members/8e9e05c52164694d", '{"peerURLs":["http://localhost:2390"]}', headers=JSON)
        v2.request("PUT", "/v2/members/x", '{"peerURLs":["http://localhost:2390"]}', headers=JSON)
        v2.request("PUT", "/v2/members", '{"peerURLs":["http://localhost:2390"]}', headers=JSON)
        v2.request("GET", "/v2/members")
        v2.request("DELETE", "/v2/members")
        v2.request("DELETE", "/v2/members/zz")
        # An only member that has started may not go.
        v2.request("DELETE", "/v2/members/8e9e05c52164694d")
        # Keys count on from the changes of the members.
        v2.put("/after", "x")

    compare(pair, script)


def test_statistics(pair):
    def script(v2: V2) -> None:
        v2.put("/a", "1")
        v2.put("/a", "2", prevValue="1")
        v2.put("/a", "2", prevValue="1")
        v2.delete("/a")
        v2.post("/q", "1")
        # Refusals, some of which etcd counts as successes.
        v2.put("/f", "1")
        v2.put("/d/x", "1")
        for key in ("/", "/f/below", "/f", "/d", "/none"):
            for form in ({}, {"prevExist": "false"}, {"prevExist": "true"}, {"prevValue": "other"}, {"prevIndex": "1"}):
                v2.put(key, "2", **form)
        v2.post("/f", "1")
        for key in ("/", "/f/below", "/f", "/d", "/none"):
            for query in ({"prevValue": "other"}, {"prevIndex": "1"}, {"dir": "true"}):
                v2.delete(key, **query)
        found = v2.request("GET", "/v2/stats/store").json()
        # etcd looks its own v2 users up with each request.
        kept = {name: value for name, value in found.items() if not name.startswith("gets")}
        own = v2.request("GET", "/v2/stats/self").json()
        leader = v2.request("GET", "/v2/stats/leader").json()
        del v2.transcript[-3:]
        v2.transcript += [str(kept), str(list(own)), own["name"], own["id"], own["state"], own["leaderInfo"]["leader"], str(leader)]

    compare(pair, script)


def test_times_to_live(pair):
    """Keys and directories go when their time is over, and watchers and indexes tell of it alike."""
    def script(v2: V2) -> None:
        stream = Stream(v2.member, "/", recursive="true", stream="true")
        # Two seconds, so that a slow machine comes to what keeps a key in time.
        v2.put("/kept", "1", ttl="2")
        v2.put("/kept", "1", prevExist="true")
        v2.put("/long", "1", ttl="2")
        v2.put("/long", refresh="true", ttl="500", prevExist="true")
        v2.put("/long", refresh="true", ttl="400")
        v2.put("/long", refresh="true", ttl="300", prevValue="1")
        v2.put("/none", refresh="true", ttl="300")
        v2.put("/gone", "1", ttl="0")
        v2.put("/huge", "1", ttl="9223372036")
        v2.put("/a", "1", ttl="1")
        v2.put("/d", dir="true", ttl="1")
        v2.put("/d/inside", "1")
        expired: list[str] = []
        while len(expired) < 3:
            event = stream.next()
            if event["action"] == "expire":
                expired.append(event["node"]["key"])
        stream.close()
        v2.transcript.append(f"expired: {sorted(expired)}")
        for key in ("/a", "/d", "/kept", "/gone"):
            v2.get(key)
        v2.get("/long")

    compare(pair, script)


def test_waits(pair):
    def script(v2: V2) -> None:
        member = v2.member
        heard = []

        def told(stream: Stream) -> None:
            heard.append(f"{stream.response.status} {stream.index} {without_times(stream.next())} rest: {stream.rest()}")
            stream.close()

        first = v2.put("/w/a", "1").node["modifiedIndex"]
        v2.put("/w/b", "2")
        v2.delete("/w/a")
        # From the past.
        for query in ({"waitIndex": first}, {"waitIndex": first, "recursive": "true"}, {"waitIndex": first + 1}):
            told(Stream(member, "/w/a", **query))
        told(Stream(member, "/w", waitIndex=first + 1, recursive="true"))
        # What comes.
        waiting = [Stream(member, "/w/c"), Stream(member, "/w", recursive="true"), Stream(member, "/", recursive="true"),
                   Stream(member, "/w/c", waitIndex=first + 4)]
        v2.put("/w/_hidden/x", "1")
        v2.put("/w/c", "1")
        for stream in waiting:
            told(stream)
        # The end of a directory is the end of what is inside, and afterwards of what might have been.
        waiting = [Stream(member, "/w/c"), Stream(member, "/w")]
        end = v2.delete("/w", recursive="true").node["modifiedIndex"]
        for stream in waiting + [Stream(member, "/w/none", waitIndex=end)]:
            told(stream)
        # A refresh is told to nobody.
        v2.put("/r", "1", ttl="100")
        stream = Stream(member, "/r")
        v2.put("/r", refresh="true", ttl="200")
        v2.put("/r", "2")
        told(stream)
        v2.transcript += heard

    compare(pair, script)


def test_streams(pair):
    def script(v2: V2) -> None:
        stream = Stream(v2.member, "/s", recursive="true", stream="true")
        other = Stream(v2.member, "/s/3", stream="true")
        for number in range(5):
            v2.put(f"/s/{number}", "x")
        v2.delete("/s/3")
        v2.put("/end", "x")
        events = [str(stream.next()) for _ in range(6)] + [str(other.next()) for _ in range(2)]
        stream.close()
        other.close()
        v2.transcript += events

    compare(pair, script)


def test_outdated_waits(pair):
    """A thousand events are kept."""
    def script(v2: V2) -> None:
        for number in range(1010):
            v2.request("PUT", f"/v2/keys/n/{number % 10}", "value=x")
        del v2.transcript[:]
        last = v2.get("/n/9").node["modifiedIndex"]
        for since in (1, last - 1000):
            v2.get("/n/9", wait="true", waitIndex=since)
        for since in (last - 999, last):
            event = Stream(v2.member, "/n", recursive="true", waitIndex=since)
            v2.transcript.append(f"{event.index} {event.next()}")
            event.close()

    compare(pair, script)


@pytest.mark.parametrize("seed", range(3))
def test_random_sessions(pair, seed):
    def script(v2: V2) -> None:
        choice = random.Random(seed)
        names = ("a", "b", "_c")

        def key() -> str:
            return "".join(f"/{choice.choice(names)}" for _ in range(choice.randrange(1, 4)))

        for _ in range(250):
            method = choice.choice(("GET", "PUT", "PUT", "PUT", "POST", "DELETE"))
            form = {}
            for name, values, likelihood in (
                ("value", ("1", "2", ""), 0.8 if method in ("PUT", "POST") else 0.0), ("dir", ("true", "false"), 0.2),
                ("recursive", ("true",), 0.3), ("prevValue", ("1", "2"), 0.2), ("prevIndex", (str(choice.randrange(4, 250)),), 0.1),
                ("prevExist", ("true", "false"), 0.2), ("ttl", ("1000", ""), 0.1), ("refresh", ("true", "false"), 0.05),
                ("quorum", ("true",), 0.2), ("sorted", ("true",), 1.0),
            ):
                if choice.random() < likelihood:
                    form[name] = choice.choice(values)
            body = form if method in ("PUT", "POST") and choice.random() < 0.5 else None
            v2.request(method, f"/v2/keys{key()}", body, {} if body else form)
        v2.get("/", recursive="true", sorted="true")

    compare(pair, script)


def test_over_tls(directory):
    """Requests and waits over TLS; who shows no certificate where one is asked for is let in by neither."""
    authority = Authority(directory / "certificates")
    server, shown = authority.issue("server"), authority.issue("client")
    flags = ("--enable-v2", "--cert-file", server.cert_file, "--key-file", server.key_file, "--client-cert-auth",
             "--trusted-ca-file", authority.cert_file)

    def run(binary: str, name: str) -> list:
        member = SecureMember(binary, directory / name, flags, context(authority, shown), name)
        try:
            member.start()

            def connection() -> http.client.HTTPSConnection:
                return http.client.HTTPSConnection("127.0.0.1", member.port, timeout=20, context=context(authority, shown))

            waiting = connection()
            waiting.request("GET", "/v2/keys/a?wait=true")
            response = waiting.getresponse()
            told = []
            asking = connection()
            for method, path in (("PUT", "/v2/keys/a?value=1"), ("GET", "/v2/keys/a"), ("GET", "/v2/stats/leader"), ("DELETE", "/v2/keys/a")):
                asking.request(method, path)
                answer = asking.getresponse()
                told.append((answer.status, answer.read()))
            told.append(response.read())
            waiting.close()
            asking.close()
            return told + [ask(member.port, context(authority), "/v2/keys/a"), ask(member.port, None, "/v2/keys/a") in (None, 400)]
        finally:
            member.close()

    genuine, ours = run(settings.GENUINE, "genuine"), run(settings.UNDER_TEST, "ours")
    assert ours == genuine
    assert ours[-2:] == [None, True]


def test_without_the_flag(pair_with):
    """The version-2 API is not there unless it is asked for."""
    def script(v2: V2) -> None:
        for path in ("/v2/keys/a", "/v2/members", "/v2/machines", "/v2/stats/self", "/v2/auth/enable"):
            for method in ("GET", "PUT"):
                v2.request(method, path)

    def bare(v2: V2) -> None:
        script(v2)
        v2.transcript[:] = [text.replace("x-content-type-options: nosniff\n", "") for text in v2.transcript]

    compare(pair_with(), bare)


def test_a_client_that_goes_is_forgotten(member_with):
    """Watches end with their connections."""
    member = member_with(None, "--enable-v2").start()
    v2 = V2(member)

    def watchers() -> int:
        return v2.request("GET", "/v2/stats/store").json()["watchers"]

    streams = [Stream(member, "/x", stream="true") for _ in range(20)]
    assert watchers() == 20
    for stream in streams:
        stream.close()
    wait_until(lambda: watchers() == 0, "the watchers to be gone")


def test_many_waits_at_once(member_with):
    member = member_with(None, "--enable-v2").start()
    streams = [Stream(member, "/many", recursive="true") for _ in range(200)]
    V2(member).put("/many/x", "1")
    assert {stream.next()["node"]["key"] for stream in streams} == {"/many/x"}
    for stream in streams:
        stream.close()
