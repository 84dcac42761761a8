"""The common name of a client's certificate as its user: the same certificates against genuine etcd and ours."""

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import settings
from harness.api import Failure
from harness.auth import READWRITE, permission
from harness.certificates import Authority, Certificate
from harness.gateway import b64
from harness.pair import assert_equal_transcripts
from harness.secure import SecureClient, SecureMember, context


@pytest.mark.parametrize("asks", (True, False), ids=("client-cert-auth", "trusted-ca alone"))
def test_certificates_name_users(directory, asks):
    authority = Authority(directory / "certificates")
    server = authority.issue("server")
    shown = {name: authority.issue(name) for name in ("root", "alice", "stranger", "")}
    flags = (
        "--cert-file", server.cert_file, "--key-file", server.key_file, "--trusted-ca-file", authority.cert_file,
        "--bcrypt-cost", "4", *(("--client-cert-auth",) if asks else ()),
    )
    members = [
        SecureMember(binary, directory / name, flags, context(authority, shown["alice"]), name)
        for name, binary in (("genuine", settings.GENUINE), ("ours", settings.UNDER_TEST))
    ]

    def run(member: SecureMember) -> list[str]:
        member.start()
        lines: list[str] = []
        clients = {name: SecureClient(member.endpoint, authority, certificate) for name, certificate in shown.items()}

        def call(who: str, name: str, /, token: str | None = None, **fields) -> None:
            client = clients[who]
            if token is None:
                answer = client.call(name, **fields)
            else:
                method = client.method(name)
                from harness.auth import User

                user = User.__new__(User)
                user.channel, user._methods, user.metadata = client.channel, {}, [("token", token)]
                answer = user.call(name, **fields)
            lines.append(f"{who or 'no name'} {token is not None}: {name} {answer if isinstance(answer, Failure) else 'OK'}")
            return answer

        call("alice", "Auth.UserAdd", name="root", password="root")
        call("alice", "Auth.UserGrantRole", user="root", role="root")
        call("alice", "Auth.UserAdd", name="alice", options={"no_password": True})
        call("alice", "Auth.UserAdd", name="bob", password="bob")
        call("alice", "Auth.RoleAdd", name="r")
        call("alice", "Auth.RoleGrantPermission", name="r", perm=permission(READWRITE, "a", "b"))
        call("alice", "Auth.UserGrantRole", user="alice", role="r")
        call("alice", "Auth.AuthEnable")
        token = clients["alice"].call("Auth.Authenticate", name="bob", password="bob").token
        for who in shown:
            call(who, "KV.Put", key=b"a")
            call(who, "KV.Put", key=b"x")
            call(who, "KV.Range", key=b"a")
            call(who, "KV.Range", key=b"a", serializable=True)
            call(who, "KV.Txn", success=[{"request_put": {"key": b"a"}}])
            call(who, "Auth.UserList")
            call(who, "Auth.UserGet", name="alice")
            # A token comes before the certificate.
            call(who, "KV.Put", token=token, key=b"a")
            call(who, "KV.Put", token="x.1", key=b"a")
        for client in clients.values():
            client.close()
        return lines

    try:
        with ThreadPoolExecutor(2) as pool:
            genuine, ours = pool.map(run, members)
        assert_equal_transcripts(genuine, ours)
        assert ("alice False: KV.Put OK" in ours) == asks
    finally:
        for member in members:
            member.close()


@pytest.mark.ours_only
def test_a_certificate_of_no_user_logs_nobody_in(directory):
    """Calls that any user may make are not made by whoever shows a certificate without a name, or with one that no user
    has. Genuine etcd 3.4 leaves most of them open to anyone."""
    authority = Authority(directory / "certificates")
    server = authority.issue("server")
    shown = {name: authority.issue(name) for name in ("root", "alice", "stranger", "")}
    member = SecureMember(
        settings.UNDER_TEST, directory / "ours",
        ("--cert-file", server.cert_file, "--key-file", server.key_file, "--trusted-ca-file", authority.cert_file,
         "--client-cert-auth"), context(authority, shown["alice"]))
    clients: dict[str, SecureClient] = {}
    try:
        member.start()
        clients = {name: SecureClient(member.endpoint, authority, certificate) for name, certificate in shown.items()}
        for name in ("root", "alice"):
            clients["root"].call("Auth.UserAdd", name=name, options={"no_password": True})
        clients["root"].call("Auth.UserGrantRole", user="root", role="root")
        clients["root"].call("Lease.LeaseGrant", ID=7, TTL=600)
        clients["root"].call("Auth.AuthEnable")
        refusals = {
            "": Failure("INVALID_ARGUMENT", "etcdserver: user name is empty"),
            "stranger": Failure("PERMISSION_DENIED", "etcdserver: permission denied"),
        }
        calls = [
            ("Cluster.MemberList", {}), ("Maintenance.Status", {}), ("Maintenance.Alarm", {"action": "GET"}),
            ("Lease.LeaseGrant", {"TTL": 600}), ("Lease.LeaseTimeToLive", {"ID": 7}),
            ("Lease.LeaseTimeToLive", {"ID": 7, "keys": True}), ("Lease.LeaseLeases", {}), ("Lease.LeaseRevoke", {"ID": 8}),
            ("Lease.LeaseKeepAlive", {"ID": 7}),
        ]
        for name, fields in calls:
            for who, client in clients.items():
                answer = client.call(name, **fields)
                assert who not in refusals or answer == refusals[who], f"{name} by {who!r}: {answer}"
                refused = isinstance(answer, Failure) and answer.code != "NOT_FOUND"
                assert refused == (who in refusals), f"{name} by {who!r}: {answer}"
    finally:
        for client in clients.values():
            client.close()
        member.close()


JSON_PATHS = (
    "/v3/kv/range", "/v3beta/kv/range", "/v3/kv/put", "/v3/auth/authenticate", "/v3/watch",
    "/v3/election/leader", "/v3/nothing", "/v3/", "/v3", "//v3/kv/range", "/v2/keys", "/health", "/version",
)


def test_a_certificate_names_nobody_in_json(directory):
    """While auth is on, a request to the JSON gateway with a certificate that has a name is refused, whatever else it has:
    its client would take itself for the certificate's user. Without a name, and for other paths, it goes on."""
    authority = Authority(directory / "certificates")
    server = authority.issue("server")
    shown = {name: authority.issue(name) for name in ("root", "stranger", "")}
    flags = (
        "--cert-file", server.cert_file, "--key-file", server.key_file, "--trusted-ca-file", authority.cert_file,
        "--client-cert-auth", "--bcrypt-cost", "4",
    )
    members = [
        SecureMember(binary, directory / name, flags, context(authority, shown[""]), name)
        for name, binary in (("genuine", settings.GENUINE), ("ours", settings.UNDER_TEST))
    ]

    def ask(member: SecureMember, who: str, path: str, body: dict, method: str = "POST", **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", member.port, timeout=30, context=context(authority, shown[who]))
        try:
            # Without this field genuine etcd takes its gateway's own certificate for the user's.
            connection.request(method, path, json.dumps(body), {"Accept": "*/*", **headers})
            response = connection.getresponse()
            # A stream that is open has no end.
            return response.status, "" if response.status == 200 else response.read().decode()
        finally:
            connection.close()

    def upgrade(member: SecureMember, certificate: Certificate) -> str:
        with socket.create_connection(("127.0.0.1", member.port), timeout=30) as plain:
            with context(authority, certificate).wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                secured.sendall(
                    b"GET /v3/watch HTTP/1.1\r\nHost: member\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
                return secured.makefile("rb").readline().decode().strip()

    def run(member: SecureMember) -> list[str]:
        member.start()
        lines: list[str] = []
        client = SecureClient(member.endpoint, authority, shown["root"])
        client.call("Auth.UserAdd", name="root", password="root")
        client.call("Auth.UserGrantRole", user="root", role="root")

        def every(stage: str, **headers: str) -> None:
            for who in shown:
                for path in JSON_PATHS:
                    body = {"create_request": {"key": b64("a")}} if path == "/v3/watch" else {"key": b64("a")}
                    status, text = ask(member, who, path, body, "GET" if path in ("/health", "/version") else "POST", **headers)
                    lines.append(f"{stage}: {who!r} {path} {status} {text}".replace(str(member.port), "PORT"))
                lines.append(f"{stage}: {who!r} OPTIONS {ask(member, who, '/v3/kv/range', {}, 'OPTIONS')[0]}")
                lines.append(f"{stage}: {who!r} WebSocket {upgrade(member, shown[who])}")

        every("off")
        client.call("Auth.AuthEnable")
        token = client.call("Auth.Authenticate", name="root", password="root").token
        every("on")
        every("with a token", Authorization=token)
        client.call("Auth.AuthDisable")
        every("off again")
        client.close()
        return lines

    try:
        with ThreadPoolExecutor(2) as pool:
            genuine, ours = pool.map(run, members)
        assert_equal_transcripts(genuine, ours)
        assert sum("CommonName of client sending a request against gateway" in line for line in ours) >= 2 * 2 * 7
        assert "with a token: '' /v3/kv/range 200 " in ours and "on: 'root' WebSocket HTTP/1.1 400 Bad Request" in ours
    finally:
        for member in members:
            member.close()
