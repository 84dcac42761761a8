"""What the client port serves without gRPC: /version, /health and /metrics, over HTTP/1.1 and over HTTP/2 without TLS."""

import http.client
import json
import re
import subprocess

import pytest

from harness.member import Member


def curl(member: Member, path: str, *options: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "10", *options,
         "--write-out", "\n%{http_code}\n%{content_type}", f"http://{member.endpoint}{path}"],
        capture_output=True, text=True, check=True,
    )
    body, status, content_type = done.stdout.rsplit("\n", 2)
    return int(status), content_type, body


@pytest.fixture(params=["--http1.1", pytest.param("--http2-prior-knowledge", marks=pytest.mark.ours_only)])
def protocol(request) -> str:
    return request.param


@pytest.fixture
def member(member_with) -> Member:
    return member_with().start()


def test_version(member, protocol):
    status, content_type, body = curl(member, "/version", protocol)
    assert status == 200
    assert content_type.startswith("application/json")
    versions = json.loads(body)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", versions["etcdserver"])
    assert re.fullmatch(r"\d+\.\d+\.0", versions["etcdcluster"])


def test_health(member, protocol):
    status, _, body = curl(member, "/health", protocol)
    assert status == 200
    assert json.loads(body)["health"] == "true"


def test_metrics(member, protocol):
    """The text exposition format: every line a comment or a sample, every family with its type before its samples."""
    status, content_type, body = curl(member, "/metrics", protocol)
    assert status == 200
    assert content_type.startswith("text/plain")
    sample = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)$')
    typed: set[str] = set()
    values: dict[str, float] = {}
    for line in body.strip().split("\n"):
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in typed, f"{name} typed twice"
            typed.add(name)
        elif not line.startswith("#"):
            match = sample.match(line)
            assert match, line
            family = re.sub(r"_(bucket|sum|count)$", "", match.group(1))
            assert family in typed or match.group(1) in typed, f"{line}: no type"
            values[match.group(1) + (match.group(2) or "")] = float(match.group(3))
    assert values["etcd_server_has_leader"] == 1
    assert values["etcd_server_is_leader"] == 1


def test_unknown_path(pair):
    def status(member: Member) -> int:
        return curl(member, "/nothing", "--http1.1")[0]

    assert pair.both(status) == (404, 404)


def test_methods(pair):
    def statuses(member: Member) -> list[int]:
        return [curl(member, path, "--http1.1", "-X", "POST", "-d", "x")[0] for path in ("/health", "/version")]

    genuine, ours = pair.both(statuses)
    assert genuine == ours


def test_connection_is_kept(member):
    """Many requests on one HTTP/1.1 connection."""
    connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=10)
    for _ in range(20):
        connection.request("GET", "/health")
        response = connection.getresponse()
        assert response.status == 200
        assert json.loads(response.read())["health"] == "true"
    connection.close()


@pytest.mark.ours_only
@pytest.mark.parametrize("flags", [["--discovery-password=hush"], ["--discovery-password", "hush"]])
def test_variables_hold_no_secrets(member_with, flags):
    """/debug/vars is for everybody, and shows the command line."""
    member = member_with(None, *flags).start()
    status, _, body = curl(member, "/debug/vars")
    assert status == 200
    assert "--discovery-password" in " ".join(json.loads(body)["cmdline"])
    assert "hush" not in body
