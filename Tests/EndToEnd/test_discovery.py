"""New clusters whose members find each other: by version-2 and version-3 discovery services, and by the DNS."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from harness import settings
from harness.api import Client, Failure
from harness.certificates import Authority
from harness.cluster import GO, OURS, TIMERS, ClusterMember
from harness.member import Member
from harness.secure import SecureClient, SecureMember, context
from harness.v2 import V2
from harness.waiting import wait_until

MIXES = {"ours": (OURS, OURS, OURS), "mixed": (GO, OURS, OURS), "mixed the other way": (OURS, GO, GO)}


@pytest.fixture(params=(GO, OURS))
def service(request, member_with) -> Member:
    """A discovery service of one's own: any etcd with the version-2 API."""
    return member_with(settings.GENUINE if request.param == GO else settings.UNDER_TEST, "--enable-v2").start()


@pytest.fixture
def ours(member_with) -> Member:
    return member_with(settings.UNDER_TEST, "--enable-v2").start()


@pytest.fixture
def make(directory):
    """Makes members (not started) that are told nothing of the others."""
    members: list[ClusterMember] = []

    class Alone(ClusterMember):
        def settings(self):
            values = super().settings()
            del values["initial-cluster"]
            return values

    def make(kind: str, name: str | None = None, **options) -> ClusterMember:
        name = name or f"infra{len(members) + 1}"
        member = Alone(kind, directory / f"{name}-{len(members)}", name, TIMERS | {key.replace("_", "-"): value for key, value in options.items()})
        members.append(member)
        return member

    yield make
    for member in members:
        member.close()


def new_token(service: Member, size: object) -> str:
    token = uuid.uuid4().hex
    assert V2(service).put(f"/discovery/{token}/_config/size", str(size)).status == 201
    return f"http://{service.endpoint}/v2/keys/discovery/{token}"


def assert_one_cluster(members: list[ClusterMember]) -> None:
    for member in members:
        member.wait_healthy()
    lists = [sorted((one.ID, one.name, tuple(one.peerURLs)) for one in member.ask("Cluster.MemberList").members) for member in members]
    assert all(found == lists[0] for found in lists)
    assert {name for _, name, _ in lists[0]} == {member.name for member in members}
    members[0].put("found", "each other")
    assert members[-1].get("found") == "each other"


def refusal(member: Member, timeout: float = 20.0) -> str:
    """What a member that cannot start says."""
    member.launch()
    wait_until(lambda: member.process.poll() is not None, "the member to give up", timeout)
    assert member.process.returncode == 1, member.log()
    member.process = None
    return member.log()


@pytest.mark.parametrize("kinds", MIXES.values(), ids=MIXES.keys())
def test_version_2(service, make, kinds):
    url = new_token(service, 3)
    members = [make(kind, discovery=url) for kind in kinds]
    # One after the other, so that the last finds the others waiting.
    for number, member in enumerate(members):
        member.launch()
        if number < 2:
            wait_until(lambda: len(V2(service).get(url.split("/v2/keys")[1]).node.get("nodes", [])) == number + 1, f"{member} to register")
    assert_one_cluster(members)
    # A fourth one is too late.
    late = make(OURS, discovery=url)
    assert "discovery: cluster is full" in refusal(late)
    # Whoever has a data directory does not ask again, and needs no service.
    service.stop()
    members[1].stop()
    members[1].start()
    assert_one_cluster(members)


def test_version_2_refusals(ours, make):
    v2 = V2(ours)
    base = f"http://{ours.endpoint}/v2/keys/discovery"
    assert "discovery: size key not found" in refusal(make(OURS, discovery=f"{base}/none"))
    assert "discovery: size key is bad" in refusal(make(OURS, discovery=new_token(ours, "many")))
    assert "discovery: bad discovery endpoint" in refusal(make(OURS, discovery=f"http://{ours.endpoint}/version/x"))
    # Of two with one name, and of one that has lost its directory.
    url = new_token(ours, 2)
    v2.put(f"{url.split('/v2/keys')[1]}/1", "infra9=http://127.0.0.1:1")
    assert "discovery: found duplicate name" in refusal(make(OURS, name="infra9", discovery=url))
    url = new_token(ours, 3)
    member = make(OURS, discovery=url).launch()
    wait_until(lambda: "waiting for more" in member.log(), "the member to wait")
    member.kill()
    assert "discovery: found duplicate id" in refusal(member)
    assert "discovery: invalid discovery URL" in refusal(make(OURS, discovery="http://127.0.0.1:1"))


def test_a_service_that_comes_late(member_with, make):
    """A service that is not there is asked again, with longer and longer pauses."""
    service = member_with(settings.GENUINE, "--enable-v2").start()
    url = new_token(service, 1)
    service.stop()
    member = make(OURS, discovery=url).launch()
    wait_until(lambda: "retry connecting to discovery service" in member.log(), "the member to ask in vain")
    service.start()
    assert_one_cluster([member])


def test_version_2_through_a_proxy(ours, make, directory):
    """The requests go to the proxy with the whole URL."""
    port = make(OURS).port
    script = directory / "proxy.py"
    script.write_text(PROXY)
    proxy = subprocess.Popen([sys.executable, str(script), str(port)], stdout=subprocess.PIPE, text=True)
    try:
        assert proxy.stdout.readline() == "ready\n"
        member = make(OURS, discovery=new_token(ours, 1), discovery_proxy=f"127.0.0.1:{port}").start()
        assert_one_cluster([member])
        assert proxy.stdout.readline().startswith(f"GET http://{ours.endpoint}/v2/keys/discovery/")
    finally:
        proxy.kill()
        proxy.wait()


PROXY = '''
import http.client, http.server, sys
from urllib.parse import urlsplit

class Proxy(http.server.BaseHTTPRequestHandler):
    def forward(self):
        print(self.command, self.path, flush=True)
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        other = http.client.HTTPConnection(url.netloc)
        other.request(self.command, f"{url.path}?{url.query}", body, dict(self.headers))
        answer = other.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = forward

    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Proxy)
print("ready", flush=True)
server.serve_forever()
'''


def test_version_2_over_https(directory, make):
    """Whom the system's authorities vouch for is asked, and nobody else. The system's are what is mounted over them."""
    authority = Authority(directory / "certificates")
    server = authority.issue("server")
    service = SecureMember(
        settings.GENUINE, directory / "service", ("--enable-v2", "--cert-file", server.cert_file, "--key-file", server.key_file),
        context(authority), "service")
    try:
        service.start()
        path = f"/v2/keys/discovery/{uuid.uuid4().hex}"
        secure = http.client.HTTPSConnection("127.0.0.1", service.port, timeout=20, context=context(authority))
        secure.request("PUT", f"{path}/_config/size", "value=1", {"Content-Type": "application/x-www-form-urlencoded"})
        assert secure.getresponse().status == 201
        secure.close()
        member = make(OURS, discovery=f"https://{service.endpoint}{path}").launch()
        wait_until(lambda: "retry connecting to discovery service" in member.log(), "the member to refuse the service", 30.0)
        member.kill()
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        script = 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"'
        plain = member.command
        member.command = lambda *extra: ["unshare", *user, "--mount", "sh", "-c", script, authority.cert_file, *plain(*extra)]
        member.start()
        assert_one_cluster([member])
    finally:
        service.close()


# ---- Version 3


def new_v3_token(service: Member, size: object) -> str:
    token = uuid.uuid4().hex
    client = Client(service.endpoint)
    client.call("KV.Put", key=f"/_etcd/registry/{token}/_config/size".encode(), value=str(size).encode())
    client.close()
    return token


def test_version_3(service, make):
    token = new_v3_token(service, 3)
    options = {"discovery_token": token, "discovery_endpoints": f"127.0.0.1:1,http://{service.endpoint}"}
    members = [make(OURS, **options) for _ in range(3)]
    for member in members:
        member.launch()
    assert_one_cluster(members)
    client = Client(service.endpoint)
    registered = client.call("KV.Range", key=f"/_etcd/registry/{token}/members/".encode(), range_end=f"/_etcd/registry/{token}/members0".encode())
    assert {kv.key.decode().rsplit("/", 1)[1] for kv in registered.kvs} == {f"{member.id:x}" for member in members}
    client.close()
    assert "discovery: cluster is full" in refusal(make(OURS, **options))
    members[0].stop()
    members[0].start()
    assert_one_cluster(members)


def test_version_3_refusals(ours, make):
    def options(token: str) -> dict:
        return {"discovery_token": token, "discovery_endpoints": f"http://{ours.endpoint}"}

    assert "discovery: size key not found" in refusal(make(OURS, **options("none")))
    assert "discovery: size key is bad" in refusal(make(OURS, **options(new_v3_token(ours, "x"))))


def test_version_3_with_a_user(member_with, make):
    """The service asks who it is."""
    service = member_with(settings.GENUINE).start()
    token = new_v3_token(service, 1)
    client = Client(service.endpoint)
    for name, fields in (
        ("Auth.UserAdd", {"name": "root", "password": "secret"}), ("Auth.RoleAdd", {"name": "root"}),
        ("Auth.UserGrantRole", {"user": "root", "role": "root"}), ("Auth.AuthEnable", {}),
    ):
        client.call(name, **fields)
    client.close()
    options = {"discovery_token": token, "discovery_endpoints": f"http://{service.endpoint}"}
    member = make(OURS, **options, discovery_user="root:secret").start()
    assert_one_cluster([member])
    assert "secret" not in member.log()


def test_version_3_with_a_token_in_a_file(ours, make):
    """A file may have the token of whoever asks in place of a name and a password."""
    token = new_v3_token(ours, 1)
    client = Client(ours.endpoint)
    for name, fields in (
        ("Auth.UserAdd", {"name": "root", "password": "secret"}), ("Auth.RoleAdd", {"name": "root"}),
        ("Auth.UserGrantRole", {"user": "root", "role": "root"}), ("Auth.AuthEnable", {}),
    ):
        client.call(name, **fields)
    word = client.call("Auth.Authenticate", name="root", password="secret").token
    client.close()
    member = make(OURS)
    section = {"token": token, "client": {"endpoints": [ours.endpoint], "auth": {"token": word}, "max-recv-bytes": 1000}}
    file = member.directory / "etcd.json"
    # JSON is YAML.
    file.write_text(json.dumps(member.settings() | {"discovery-config": section}))
    member.command = lambda *extra: [member.binary, "--config-file", str(file), *extra]
    member.start()
    assert_one_cluster([member])
    assert word not in member.log()


# What bounds the wait for a discovery service that is silent: the flag that is looked at, and those that keep others from it.
SILENCE = {
    "discovery_dial_timeout": {},
    "discovery_request_timeout": {"discovery_keepalive_time": "1h"},
    "discovery_keepalive_time": {"discovery_request_timeout": "1h", "discovery_keepalive_timeout": "100ms"},
    "discovery_keepalive_timeout": {"discovery_request_timeout": "1h", "discovery_keepalive_time": "100ms"},
}


@pytest.mark.parametrize("flag, others", SILENCE.items(), ids=SILENCE.keys())
def test_version_3_with_a_service_that_is_silent(make, flag, others):
    """One that takes the connection and says nothing, or does not even take it, is waited for as long as the flags say."""
    with socket.socket() as listener, contextlib.ExitStack() as full:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0 if flag == "discovery_dial_timeout" else 100)
        address = listener.getsockname()
        if flag == "discovery_dial_timeout":
            # The queue is full, so that whoever else comes gets no answer.
            for _ in range(4):
                filler = full.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(address)
        options = {"discovery_token": "t", "discovery_endpoints": f"{address[0]}:{address[1]}"} | others
        patient = make(OURS, **options, **{flag: "1h"}).launch()
        impatient = make(OURS, **options, **{flag: "100ms"}).launch()
        wait_until(lambda: "discovering the cluster's members" in patient.log(), "the patient member to ask")
        wait_until(lambda: "retry connecting to discovery service" in impatient.log(), "the other to give up")
        assert "retry connecting to discovery service" not in patient.log()


@pytest.mark.parametrize("shows", (True, False), ids=("a certificate", "a user"))
def test_version_3_over_tls(directory, make, shows):
    """The service asks for a certificate, or for a user's name; its own is verified by the authority that is named."""
    authority = Authority(directory / "certificates")
    server, client = authority.issue("server"), authority.issue("root")
    flags = ("--cert-file", server.cert_file, "--key-file", server.key_file)
    if shows:
        flags += ("--trusted-ca-file", authority.cert_file, "--client-cert-auth")
    service = SecureMember(settings.GENUINE, directory / "service", flags, context(authority, client), "service")
    try:
        service.start()
        probe = SecureClient(service.endpoint, authority, client)
        token = uuid.uuid4().hex
        answers = [probe.call("KV.Put", key=f"/_etcd/registry/{token}/_config/size".encode(), value=b"3")]
        if not shows:
            for name, fields in (
                ("Auth.UserAdd", {"name": "root", "password": "sec:ret"}), ("Auth.RoleAdd", {"name": "root"}),
                ("Auth.UserGrantRole", {"user": "root", "role": "root"}), ("Auth.AuthEnable", {}),
            ):
                answers.append(probe.call(name, **fields))
        assert not [answer for answer in answers if isinstance(answer, Failure)]
        probe.close()
        secrets = {"discovery_cert": client.cert_file, "discovery_key": client.key_file} if shows else {
            "discovery_user": "root", "discovery_password": "sec:ret"}
        options = {"discovery_token": token, "discovery_insecure_transport": False} | secrets
        # Who is not signed by the named authority is not asked, nor is one that asks for what is not shown.
        stranger = Authority(directory / "certificates", "stranger")
        doubting = make(OURS, **options, discovery_endpoints=service.endpoint, discovery_cacert=stranger.cert_file).launch()
        bare = make(OURS, **{name: value for name, value in options.items() if name not in secrets}, discovery_endpoints=service.endpoint, discovery_cacert=authority.cert_file).launch()
        for member in (doubting, bare):
            wait_until(lambda: "retry connecting to discovery service" in member.log(), "a member to ask in vain", 30.0)
            member.kill()
        # By an endpoint with its scheme, and by one without; and by one whom nobody vouches for, when that is asked for.
        members = [
            make(OURS, **options, discovery_endpoints=f"https://{service.endpoint}", discovery_cacert=authority.cert_file),
            make(OURS, **(options | {"discovery_insecure_transport": True}), discovery_endpoints=service.endpoint, discovery_cacert=authority.cert_file),
            make(OURS, **options, discovery_endpoints=service.endpoint, discovery_cacert=stranger.cert_file, discovery_insecure_skip_tls_verify=True)]
        for member in members:
            member.launch()
        assert_one_cluster(members)
        assert all("sec:ret" not in member.log() for member in members)
    finally:
        service.close()


def test_the_proxy_that_is_gone_is_refused_clearly(make):
    """etcd 3.4 becomes a proxy when the cluster is full; later ones, and this one, say at once that they do not."""
    member = make(OURS, discovery="http://127.0.0.1:1/token", discovery_fallback="proxy")
    assert "--discovery-fallback can't be configured as" in refusal(member)
    member = make(OURS, discovery="http://127.0.0.1:1/token", proxy="on")
    assert "proxy" in refusal(member)


# ---- DNS


@pytest.mark.parametrize("secure", (False, True), ids=("plain", "over TLS"))
def test_service_records(directory, secure):
    """Three members, and then etcdctl, know a domain alone. The DNS is a stub, in a network and with a resolv.conf of its own.

    Without TLS none is of etcd 3.4, which gives up where there are no records for https beside those for http.
    """
    script = Path(__file__).parent / "harness" / "domain.py"
    namespaces = ["unshare", "--net", "--mount"]
    if os.geteuid() != 0:
        namespaces[1:1] = ["--user", "--map-root-user"]
    arguments = [settings.UNDER_TEST] * 3
    if secure:
        authority = Authority(directory / "certificates")
        shown = authority.issue("member", hosts=("cluster.test", "m0.cluster.test", "m1.cluster.test", "m2.cluster.test", "127.0.0.1"))
        arguments = [settings.UNDER_TEST, settings.GENUINE, settings.UNDER_TEST, shown.cert_file, shown.key_file, authority.cert_file]
    done = subprocess.run(
        [*namespaces, sys.executable, str(script), str(directory), *arguments], capture_output=True, text=True, timeout=180, check=False,
        env=os.environ | {"ETCDCTL": settings.ETCDCTL})
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["healthy"] == 3, done.stderr
    assert found["refusal"] == 'cannot find local etcd member "stranger" in SRV records'
    assert found["etcdctl"] == "OK\nfound\nby domain\n"
