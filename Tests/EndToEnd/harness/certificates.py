"""Certificates for tests: an authority, what it signs, and what it takes back."""

import datetime
import ipaddress
import itertools
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_names = itertools.count()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


class Certificate:
    """A certificate with its key, as files in PEM."""

    def __init__(self, directory: Path, certificate: x509.Certificate, key, chain: tuple["Certificate", ...] = ()):
        self.certificate = certificate
        self.key = key
        name = f"{next(_names):03}"
        self.cert_file = str(directory / f"{name}.crt")
        self.key_file = str(directory / f"{name}.key")
        pem = b"".join(part.public_bytes(serialization.Encoding.PEM) for part in (certificate, *(one.certificate for one in chain)))
        Path(self.cert_file).write_bytes(pem)
        Path(self.key_file).write_bytes(self.key_pem())

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    def pem(self) -> bytes:
        return Path(self.cert_file).read_bytes()

    def key_pem(self, password: bytes | None = None) -> bytes:
        protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


class Authority(Certificate):
    """A certificate that signs others."""

    def __init__(
        self, directory: Path, name: str = "authority", parent: "Authority | None" = None, kind: str = "ecdsa",
        signs: bool = True,
    ):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.parent = parent
        key = _key(kind)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder().subject_name(subject)
            .issuer_name(parent.certificate.subject if parent else subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(_now() - datetime.timedelta(days=2)).not_valid_after(_now() + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(signs=signs), critical=True)
            .sign(parent.key if parent else key, hashes.SHA256())
        )
        super().__init__(self.directory, certificate, key)

    def issue(
        self, name: str = "", hosts: tuple[str, ...] = ("127.0.0.1", "localhost"), server: bool = True,
        client: bool = True, days: float = 1, started: float = 1, kind: str = "ecdsa", serial: int | None = None,
        critical: tuple[x509.ExtensionType, ...] = (),
    ) -> Certificate:
        """A certificate for `hosts`, valid since `started` days and for `days` more."""
        key = _key(kind)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []))
            .issuer_name(self.certificate.subject).public_key(key.public_key())
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(_now() - datetime.timedelta(days=started))
            .not_valid_after(_now() + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs=False), critical=True)
        )
        for extension in critical:
            builder = builder.add_extension(extension, critical=True)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=not name)
        chain = (self,) if self.parent else ()
        return Certificate(self.directory, builder.sign(self.key, hashes.SHA256()), key, chain)

    def revocations(self, *revoked: Certificate, der: bool = False) -> bytes:
        """A list of revoked certificates."""
        builder = (
            x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
            .last_update(_now() - datetime.timedelta(hours=1)).next_update(_now() + datetime.timedelta(days=1))
        )
        for one in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(_now()).build())
        encoding = serialization.Encoding.DER if der else serialization.Encoding.PEM
        return builder.sign(self.key, hashes.SHA256()).public_bytes(encoding)


def _key(kind: str):
    return {
        "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ecdsa-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "ecdsa-521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }[kind]()


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=not signs, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False)
