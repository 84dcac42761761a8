"""Members that are reached over TLS."""

import http.client
import socket
import ssl
from pathlib import Path
from typing import Any

import grpc

from .api import Client
from .certificates import Certificate
from .cluster import Cluster, ClusterMember
from .member import Member


def context(authority: Certificate, shown: Certificate | None = None, **bounds: Any) -> ssl.SSLContext:
    """What a client trusts and shows."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(authority.cert_file)
    if shown is not None:
        made.load_cert_chain(shown.cert_file, shown.key_file)
    for name, value in bounds.items():
        setattr(made, name, value)
    return made


def ask(port: int, tls: ssl.SSLContext | None, path: str = "/health") -> int | None:
    """The status of a GET; None when the connection is refused at whatever stage."""
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=tls)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def shown_serial(port: int, tls: ssl.SSLContext) -> int:
    """The serial number of the certificate that a listener shows."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        with tls.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            return int(secured.getpeercert()["serialNumber"], 16)


class SecureMember(Member):
    """A single-member cluster whose clients speak TLS."""

    def __init__(self, binary: str, directory: Path, flags: tuple[str, ...], probe: ssl.SSLContext, name: str = "member"):
        super().__init__(binary, directory, flags, name)
        self.probe = probe
        self.health_port = self.port

    def command(self, *extra: str) -> list[str]:
        plain = f"http://{self.endpoint}"
        return [f"https://{self.endpoint}" if part == plain else part for part in super().command(*extra)]

    def is_healthy(self) -> bool:
        return ask(self.health_port, self.probe) == 200


class SecureClient(Client):
    """A gRPC channel over TLS."""

    def __init__(self, endpoint: str, authority: Certificate, shown: Certificate | None = None):
        super().__init__(endpoint)
        self.channel.close()
        self.channel = grpc.secure_channel(
            endpoint,
            grpc.ssl_channel_credentials(
                authority.pem(), shown.key_pem() if shown else None, shown.pem() if shown else None),
            options=[("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)])


class SecureClusterMember(ClusterMember):
    """A member whose peers speak TLS."""

    @property
    def peer_url(self) -> str:
        return f"https://127.0.0.1:{self.peer_port}"

    def settings(self) -> dict[str, Any]:
        values = super().settings()
        if self.is_genuine:
            # The only ones that 3.4's configuration file knows.
            names = ("peer-cert-file", "peer-key-file", "peer-trusted-ca-file", "peer-client-cert-auth", "peer-auto-tls")
            values["peer-transport-security"] = {
                name.removeprefix("peer-"): values.pop(name) for name in names if name in values}
        return values

    def command(self, *extra: str) -> list[str]:
        if not self.is_genuine or "snapshot-catchup-entries" in self.options:
            return super().command(*extra)
        flags = [f"--{name}={str(value).lower() if isinstance(value, bool) else value}"
                 for name, value in super().settings().items()]
        return [self.binary, "--logger=zap", "--log-outputs=stderr", *flags, *extra]


class SecureCluster(Cluster):
    """Members that talk to each other over TLS; each one shows what `identities` gives for its number."""

    def __init__(self, directory: Path, kinds, identities, **options: Any):
        self.identities = identities
        super().__init__(directory, kinds, **options)

    def _make(self, kind: str) -> ClusterMember:
        number = len(self.members) + len(self._gone)
        name = f"infra{number + 1}"
        options = dict(self.options)
        if (shown := self.identities(number)) is not None:
            options |= {"peer-cert-file": shown.cert_file, "peer-key-file": shown.key_file}
        member = SecureClusterMember(kind, self.directory / name, name, options)
        self.members.append(member)
        return member


