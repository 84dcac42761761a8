"""TLS for clients: the same certificates against genuine etcd and the server under test."""

import os
import random
import re
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from harness import settings
from harness.api import Failure
from harness.certificates import Authority, Certificate
from harness.member import clean_environment
from harness.ports import free_port
from harness.secure import SecureClient, SecureMember, ask, context, shown_serial
from harness.waiting import wait_until


class Setting:
    """An authority, a server's certificate, and members that use them."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.authority = Authority(directory / "certificates")
        self.server = self.authority.issue("server")
        self.client = self.authority.issue("client")
        self.members: list[SecureMember] = []

    def flags(self, *more: str, server: Certificate | None = None) -> tuple[str, ...]:
        server = server or self.server
        return ("--cert-file", server.cert_file, "--key-file", server.key_file, *more)

    def member(self, binary: str, *flags: str, shown: Certificate | None = None) -> SecureMember:
        name = f"member-{len(self.members)}"
        member = SecureMember(binary, self.directory / name, flags, context(self.authority, shown or self.client), name)
        self.members.append(member)
        return member

    def both(self, *flags: str, shown: Certificate | None = None) -> list[SecureMember]:
        """Started members: the genuine one and the one under test."""
        made = [self.member(binary, *flags, shown=shown) for binary in (settings.GENUINE, settings.UNDER_TEST)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda member: member.start(), made))
        return made

    def ours(self, *flags: str, shown: Certificate | None = None) -> SecureMember:
        return self.member(settings.UNDER_TEST, *flags, shown=shown).start()

    def taken(self, member: SecureMember, shown: Certificate | None) -> bool:
        return ask(member.port, context(self.authority, shown)) == 200


@pytest.fixture
def tls(directory: Path):
    made = Setting(directory)
    yield made
    for member in made.members:
        member.close()


def written(path: Path, content: bytes) -> str:
    """Puts `content` where a file of settings is, at once."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content)
    os.replace(temporary, path)
    return str(path)


def test_client_certificates_are_taken_and_refused_alike(tls):
    authority = tls.authority
    middle = Authority(authority.directory, "middle", parent=authority)
    idle = Authority(authority.directory, "idle", parent=authority, signs=False)
    policies = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    stranger = Authority(authority.directory, "stranger")
    namesake = Authority(authority.directory, "authority")
    second = Authority(authority.directory, "second", kind="rsa")
    trusted = authority.directory / "trusted.crt"
    trusted.write_bytes(authority.pem() + b"two in one file\n" + second.pem())
    revoked, kept = authority.issue("revoked"), authority.issue("kept")
    shown = {
        "good": (authority.issue("someone"), True),
        "RSA": (authority.issue("someone", kind="rsa"), True),
        "P-384": (authority.issue("someone", kind="ecdsa-384"), True),
        "P-521": (authority.issue("someone", kind="ecdsa-521"), True),
        "of an authority with RSA": (second.issue("someone"), True),
        "without a name": (authority.issue(), True),
        "without alternative names": (authority.issue("someone", hosts=()), True),
        "of another address": (authority.issue("someone", hosts=("10.9.8.7", "elsewhere.example")), True),
        "for any use": (authority.issue("someone", server=False, client=False), True),
        "for clients": (authority.issue("someone", server=False), True),
        "for servers": (authority.issue("someone", client=False), False),
        "through another authority": (middle.issue("someone"), True),
        "through an authority that may not sign": (idle.issue("someone"), False),
        "with policies that count": (authority.issue("someone", critical=(policies,)), True),
        "with something unknown that counts": (authority.issue("someone", critical=(unknown,)), False),
        "of a stranger": (stranger.issue("someone"), False),
        "of a namesake": (namesake.issue("someone"), False),
        "expired": (authority.issue("someone", days=-0.01), False),
        "not yet valid": (authority.issue("someone", started=-0.5), False),
        "revoked": (revoked, False),
        "of a stranger with a revoked one's number": (stranger.issue("someone", serial=revoked.serial), False),
        "the server's": (tls.server, True),
        "none": (None, False),
    }
    crl = tls.directory / "crl"
    written(crl, authority.revocations(revoked))
    members = tls.both(*tls.flags("--client-cert-auth", "--trusted-ca-file", str(trusted), "--client-crl-file", str(crl)))
    wanted = {name: taken for name, (_, taken) in shown.items()}
    for member in members:
        assert {name: tls.taken(member, one) for name, (one, _) in shown.items()} == wanted, member.name
        assert ask(member.port, None) != 200
    # What is revoked may change while a member runs, and may be in DER.
    for der in (True, False):
        written(crl, authority.revocations(kept, der=der))
        for member in members:
            assert tls.taken(member, revoked), (member.name, der)
            assert not tls.taken(member, kept), (member.name, der)
        written(crl, authority.revocations(revoked, der=der))
        for member in members:
            assert not tls.taken(member, revoked), (member.name, der)
            assert tls.taken(member, kept), (member.name, der)
    log = members[1].log()
    for reason in (
        "certificate signed by unknown authority", "certificate has expired or is not yet valid", "incompatible key usage",
        "client didn't provide a certificate", f"transport: certificate serial {revoked.serial:x} revoked",
        "first record does not look like a TLS handshake",
    ):
        assert re.search(rf"rejected connection on client endpoint.*{re.escape(reason)}", log), reason


def test_a_file_of_authorities_alone_asks_for_certificates(tls):
    for member in tls.both(*tls.flags("--trusted-ca-file", tls.authority.cert_file)):
        assert tls.taken(member, tls.client)
        assert not tls.taken(member, None)


def test_only_allowed_host_names_are_taken(tls):
    good = tls.authority.issue("someone", hosts=("good.example",))
    members = tls.both(
        *tls.flags(
            "--client-cert-auth", "--trusted-ca-file", tls.authority.cert_file,
            "--client-cert-allowed-hostname", "good.example"), shown=good)
    wildcard = tls.authority.issue("someone", hosts=("*.example",))
    common = tls.authority.issue("good.example", hosts=())
    for member in members:
        assert [tls.taken(member, one) for one in (good, wildcard, common, tls.client)] == [True, True, False, False]


def test_programs_of_others_use_the_port(tls):
    """etcdctl, curl and grpcio: gRPC and plain HTTP, HTTP/1.1 and HTTP/2 on one port."""
    for member in tls.both(*tls.flags("--client-cert-auth", "--trusted-ca-file", tls.authority.cert_file)):
        url = f"https://{member.endpoint}"
        shown = tls.client
        files = ("--cacert", tls.authority.cert_file, "--cert", shown.cert_file, "--key", shown.key_file)

        def run(*command: str) -> subprocess.CompletedProcess:
            return subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environment() | {"ETCDCTL_API": "3"})

        def etcdctl(endpoint: str, *command: str) -> subprocess.CompletedProcess:
            return run(settings.ETCDCTL, "--endpoints", endpoint, "--dial-timeout", "5s", "--command-timeout", "5s", *command)

        assert etcdctl(url, *files, "put", "a", "1").stdout == "OK\n"
        assert etcdctl(url, *files, "get", "a", "--print-value-only").stdout == "1\n"
        for version in ("--http1.1", "--http2"):
            assert '"health":"true"' in run("curl", "-s", version, *files, f"{url}/health").stdout
        assert run("curl", "-s", "--cacert", tls.authority.cert_file, f"{url}/health").returncode != 0
        assert run("curl", "-s", f"http://{member.endpoint}/health").stdout != '{"health":"true"}'
        client = SecureClient(member.endpoint, tls.authority, tls.client)
        # More than one record, and more than one window.
        big = os.urandom(1_000_000)
        client.call("KV.Put", key=b"big", value=big)
        assert client.call("KV.Range", key=b"big").kvs[0].value == big
        watch = client.watch()
        watch.created(key=b"w")
        client.call("KV.Put", key=b"w", value=b"1")
        assert [event.kv.value for event in watch.events(1)] == [b"1"]
        watch.close()
        client.close()
        stranger = SecureClient(member.endpoint, tls.authority)
        assert stranger.call("KV.Range", key=b"a", timeout=5).code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
        stranger.close()


def test_the_name_in_a_certificate_is_its_users(tls):
    """Auth by the certificate's common name, which gRPC's callers have and the JSON gateway's do not."""

    def script(member: SecureMember) -> list[str]:
        said: list[str] = []
        clients = {name: SecureClient(member.endpoint, tls.authority, tls.authority.issue(name)) for name in ("root", "ann", "nobody", "")}

        def call(who: str, method: str, **fields) -> None:
            answer = clients[who].call(method, **fields)
            said.append(f"{who} {method} {fields}: {answer if isinstance(answer, Failure) else 'done'}")

        for user in ("root", "ann"):
            call("", "Auth.UserAdd", name=user, options={"no_password": True})
        call("", "Auth.RoleAdd", name="root")
        call("", "Auth.RoleAdd", name="writer")
        call("", "Auth.RoleGrantPermission", name="writer", perm={"permType": 2, "key": b"a"})
        call("", "Auth.UserGrantRole", user="root", role="root")
        call("", "Auth.UserGrantRole", user="ann", role="writer")
        call("", "Auth.AuthEnable")
        for who in clients:
            for key in (b"a", b"b"):
                call(who, "KV.Put", key=key)
                call(who, "KV.Range", key=key)
            call(who, "Auth.UserList")
        for who in ("root", ""):
            shown = tls.authority.issue(who)
            said.append(subprocess.run(
                ["curl", "-s", "-w", " %{http_code}", "--cacert", tls.authority.cert_file, "--cert", shown.cert_file,
                 "--key", shown.key_file, f"https://{member.endpoint}/v3/kv/range", "-d", '{"key": "YQ=="}'],
                capture_output=True, text=True, timeout=60, check=True).stdout)
        for client in clients.values():
            client.close()
        return said

    genuine, ours = (
        script(member) for member in tls.both(*tls.flags("--client-cert-auth", "--trusted-ca-file", tls.authority.cert_file)))
    assert genuine == ours
    assert "CommonName of client" in ours[-2] and "user name is empty" in ours[-1]
    assert sum("PERMISSION_DENIED" in line for line in ours) > 4


@pytest.mark.ours_only
@pytest.mark.parametrize("scheme", ("listen-client-http-urls", "listen-metrics-urls"))
def test_checks_hold_on_every_listener(tls, scheme):
    """Listeners for HTTP alone and for metrics ask what the others ask, revocations included (an advisory of 2026)."""
    revoked = tls.authority.issue("revoked")
    crl = tls.directory / "crl"
    written(crl, tls.authority.revocations(revoked))
    port = free_port()
    member = tls.member(
        settings.UNDER_TEST,
        *tls.flags("--client-cert-auth", "--trusted-ca-file", tls.authority.cert_file, "--client-crl-file", str(crl)),
        f"--{scheme}", f"https://127.0.0.1:{port}")
    member.health_port = port
    member.start()
    stranger = Authority(tls.authority.directory, "stranger").issue("stranger")
    for path in ("/metrics", "/health"):
        answers = [ask(port, context(tls.authority, shown), path) for shown in (tls.client, revoked, stranger, None)]
        assert answers == [200, None, None, None], path
        assert ask(port, None, path) is None
    client, guest = (SecureClient(member.endpoint, tls.authority, shown) for shown in (tls.client, revoked))
    assert not isinstance(client.call("KV.Put", key=b"a"), Failure)
    assert guest.call("KV.Put", key=b"a", timeout=5).code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    client.close()
    guest.close()


def test_a_certificate_is_exchanged_without_a_restart(tls):
    pair = [tls.directory / name for name in ("own.crt", "own.key")]
    for path, content in zip(pair, (tls.server.pem(), tls.server.key_pem())):
        written(path, content)
    members = tls.both("--cert-file", str(pair[0]), "--key-file", str(pair[1]))
    tls_context = context(tls.authority)
    clients = [SecureClient(member.endpoint, tls.authority) for member in members]
    for member, client in zip(members, clients):
        assert shown_serial(member.port, tls_context) == tls.server.serial
        assert not isinstance(client.call("KV.Put", key=b"a"), Failure)
    following = tls.authority.issue("server")
    # First the certificate, then its key: in between there is no pair, and ours goes on with the one it has.
    written(pair[0], following.pem())
    assert shown_serial(members[1].port, tls_context) == tls.server.serial
    written(pair[1], following.key_pem())
    for member, client in zip(members, clients):
        assert shown_serial(member.port, tls_context) == following.serial
        # Connections that are there go on.
        assert not isinstance(client.call("KV.Put", key=b"a"), Failure)
        client.close()
    assert "failed to read changed TLS files; those read before stay in use" in members[1].log()


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
def test_a_session_does_not_outlive_its_certificate(tls, version):
    """A client that was taken before its certificate was revoked cannot come back on the session from then."""
    crl = tls.directory / "crl"
    written(crl, tls.authority.revocations())
    guest = tls.authority.issue("guest")
    own = context(tls.authority, guest, maximum_version=version)

    def visit(member: SecureMember, session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        try:
            with socket.create_connection(("127.0.0.1", member.port), timeout=20) as plain:
                with own.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secured:
                    secured.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    return b" 200 " in secured.recv(4096), secured.session
        except OSError:
            return False, None

    for member in tls.both(*tls.flags("--client-cert-auth", "--trusted-ca-file", tls.authority.cert_file, "--client-crl-file", str(crl))):
        written(crl, tls.authority.revocations())
        is_taken, session = visit(member, None)
        assert is_taken and session is not None
        assert visit(member, session)[0]
        written(crl, tls.authority.revocations(guest))
        assert not visit(member, session)[0]
        assert not visit(member, None)[0]


@pytest.mark.ours_only
def test_authorities_are_exchanged_without_a_restart(tls):
    trusted = tls.directory / "trusted.crt"
    written(trusted, tls.authority.pem())
    following = Authority(tls.authority.directory, "following")
    newcomer = following.issue("newcomer")
    member = tls.ours(*tls.flags("--client-cert-auth", "--trusted-ca-file", str(trusted)))
    assert [tls.taken(member, one) for one in (tls.client, newcomer)] == [True, False]
    written(trusted, tls.authority.pem() + following.pem())
    assert [tls.taken(member, one) for one in (tls.client, newcomer)] == [True, True]
    written(trusted, following.pem())
    assert [tls.taken(member, one) for one in (tls.client, newcomer)] == [False, True]


def test_a_member_makes_its_own_certificate(tls):
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    for binary in (settings.GENUINE, settings.UNDER_TEST):
        # 3.4 makes it for a year always.
        years, more = (1, []) if binary == settings.GENUINE else (3, ["--self-signed-cert-validity=3"])
        member = tls.member(binary, "--auto-tls", *more)
        member.probe = unverified
        member.start()
        made = member.data_dir / "fixtures" / "client"
        assert sorted(path.name for path in made.iterdir()) == ["cert.pem", "key.pem"]
        certificate = x509.load_pem_x509_certificate((made / "cert.pem").read_bytes())
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=years * 365)
        assert (made / "key.pem").stat().st_mode & 0o777 == 0o600
        # Whoever trusts it by name is content, others are not.
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.load_verify_locations(str(made / "cert.pem"))
        assert ask(member.port, trusting) == 200
        assert ask(member.port, context(tls.authority)) is None
        serial = shown_serial(member.port, trusting)
        member.stop()
        member.start()
        assert shown_serial(member.port, trusting) == serial
        member.stop()
    # The server under test takes genuine etcd's directory over, with the certificate.
    former = tls.members[0]
    former.binary = settings.UNDER_TEST
    former.start()


@pytest.mark.ours_only
def test_versions_and_cipher_suites(tls):
    def agreed(member: SecureMember, **bounds) -> tuple[str, str] | None:
        try:
            with socket.create_connection(("127.0.0.1", member.port), timeout=20) as plain:
                with context(tls.authority, **bounds).wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                    return secured.version(), secured.cipher()[0]
        except (OSError, ssl.SSLError):
            return None

    old = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    member = tls.ours(*tls.flags())
    assert agreed(member)[0] == "TLSv1.3"
    assert agreed(member, **old)[0] == "TLSv1.2"
    member = tls.ours(*tls.flags("--tls-min-version", "TLS1.3"))
    assert agreed(member)[0] == "TLSv1.3"
    assert agreed(member, **old) is None
    member = tls.ours(*tls.flags("--tls-max-version", "TLS1.2"))
    assert agreed(member)[0] == "TLSv1.2"
    member = tls.ours(*tls.flags("--cipher-suites", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_RSA_WITH_RC4_128_SHA"))
    assert agreed(member, **old) == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")
    narrow = context(tls.authority, **old)
    narrow.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    assert ask(member.port, narrow) is None


def test_cipher_suites_hold_for_genuine_etcd_alike(tls):
    narrow, wide = (context(tls.authority, maximum_version=ssl.TLSVersion.TLSv1_2) for _ in range(2))
    narrow.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    wide.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    # Go serves no HTTP/2 without this one.
    for member in tls.both(*tls.flags("--cipher-suites", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")):
        assert (ask(member.port, narrow), ask(member.port, wide)) == (None, 200)


def test_mistakes_end_the_start(tls):
    text = tls.directory / "text"
    text.write_text("nothing of use\n")
    locked = tls.directory / "locked.key"
    locked.write_bytes(tls.server.key_pem(password=b"secret"))
    own, other = tls.server, tls.client

    def pair(certificate: str, key: str) -> tuple[str, ...]:
        return ("--cert-file", certificate, "--key-file", key)

    cases = {
        "no certificate at all": ((), "must be provided for client url"),
        "no certificate there": (pair("/missing", own.key_file), "open /missing: no such file or directory"),
        "no key there": (pair(own.cert_file, "/missing"), "open /missing: no such file or directory"),
        "another's key": (pair(own.cert_file, other.key_file), "private key does not match public key"),
        "no PEM": (pair(str(text), own.key_file), "failed to find any PEM data in certificate input"),
        "a key with a password": (pair(own.cert_file, str(locked)), "protected by a password"),
        "an unknown cipher suite": (tls.flags("--cipher-suites", "TLS_NONE"), 'unexpected TLS cipher suite "TLS_NONE"'),
    }
    for name, (flags, words) in cases.items():
        for binary in (settings.GENUINE, settings.UNDER_TEST):
            member = tls.member(binary, *flags).launch()
            assert member.process.wait(20) != 0, (name, binary)
            member.process = None
            if not member.is_genuine:
                assert words in member.log().replace('\\"', '"'), (name, member.log_end())


@pytest.mark.ours_only
def test_more_mistakes_end_the_start(tls):
    cases = {
        ("--tls-min-version", "TLS1.1"): 'TLS1.1"',
        ("--tls-min-version", "TLS1.3", "--tls-max-version", "TLS1.2"): "min version (TLS1.3) is greater than max version (TLS1.2)",
        ("--tls-min-version", "TLS1.3", "--cipher-suites", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"):
            "cipher suites cannot be configured when only TLS1.3 is enabled",
        ("--client-crl-file", tls.server.cert_file): "malformed certificate revocation list",
        # Genuine etcd starts and takes nobody.
        ("--trusted-ca-file", tls.server.key_file): "failed to find any PEM data",
    }
    for flags, words in cases.items():
        member = tls.member(settings.UNDER_TEST, *tls.flags(*flags)).launch()
        assert member.process.wait(20) != 0, flags
        member.process = None
        assert words in member.log().replace('\\"', '"'), member.log_end()


@pytest.mark.ours_only
def test_a_socket_of_the_file_system(tls):
    path = tls.directory / "client.sock"

    class SocketMember(SecureMember):
        def command(self, *extra: str) -> list[str]:
            secure = f"https://{self.endpoint}"
            return [f"{secure},unixs://{path}" if part == secure else part for part in super().command(*extra)]

    member = SocketMember(
        settings.UNDER_TEST, tls.directory / "member", tls.flags(), context(tls.authority, tls.client))
    tls.members.append(member)
    member.start()
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(str(path))
        with context(tls.authority).wrap_socket(plain, server_hostname="localhost") as secured:
            secured.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert secured.recv(4096).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.ours_only
def test_a_configuration_file_has_sections_for_tls(tls):
    member = file_member(tls, "client-cert-auth: true", f"trusted-ca-file: {tls.authority.cert_file}")
    assert tls.taken(member, tls.client)
    assert not tls.taken(member, None)


@pytest.mark.ours_only
def test_a_configuration_file_allows_common_names(tls):
    """For clients etcd has this in files alone."""
    member = file_member(
        tls, f"trusted-ca-file: {tls.authority.cert_file}", "allowed-cn: [client, other]",
        "skip-client-san-verification: true")
    assert tls.taken(member, tls.client)
    assert not tls.taken(member, tls.authority.issue("guest"))
    assert "client-transport-security.skip-client-san-verification has no effect" in member.log()


def file_member(tls: Setting, *security: str) -> SecureMember:
    """A started member that has all from a file, with these lines among its TLS for clients."""
    file = tls.directory / "etcd.yaml"

    class FileMember(SecureMember):
        def command(self, *extra: str) -> list[str]:
            words = super().command(*extra)
            pairs = dict(zip(words[1::2], words[2::2]))
            lines = [f"{name.removeprefix('--')}: {value}" for name, value in pairs.items()]
            lines += ["client-transport-security:", f"  cert-file: {tls.server.cert_file}", f"  key-file: {tls.server.key_file}"]
            file.write_text("\n".join(lines + [f"  {line}" for line in security]) + "\n")
            return [words[0], "--config-file", str(file)]

    member = FileMember(settings.UNDER_TEST, tls.directory / "member", (), context(tls.authority, tls.client))
    tls.members.append(member)
    return member.start()


@pytest.mark.ours_only
def test_handshakes_that_do_not_end_harm_nobody(tls):
    """Connections that say nothing, or half a greeting, are ended in time, cost little, and keep nobody out."""
    member = tls.ours(*tls.flags("--client-cert-auth", "--trusted-ca-file", tls.authority.cert_file))
    assert tls.taken(member, tls.client)
    before = member.status_file("VmRSS")
    begun = time.monotonic()
    silent = [socket.create_connection(("127.0.0.1", member.port)) for _ in range(400)]
    half = [socket.create_connection(("127.0.0.1", member.port)) for _ in range(400)]
    for connection in half:
        # The head of a record of 512 bytes, and one byte of it.
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")
    noise = random.Random(1)
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", member.port)) as connection:
            connection.sendall(b"\x16\x03\x01" + noise.randbytes(noise.randrange(600)))
    assert tls.taken(member, tls.client)
    assert member.status_file("VmRSS") - before < 64 * 1024
    for connection in silent + half:
        connection.settimeout(30)
        # The end of the connection, or an alert and then the end.
        while connection.recv(100):
            pass
        connection.close()
    assert time.monotonic() - begun < 30
    assert tls.taken(member, tls.client)
    assert "handshake not finished within 10s" in member.log()
