"""The common name of a client's certificate as its user: the same certificates against genuine etcd and ours."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import settings
from harness.api import Failure
from harness.auth import READWRITE, permission
from harness.certificates import Authority
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
