"""Certificates and keys of one cluster, made once in its folder."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 3650
Key = ec.EllipticCurvePrivateKey
_SERVICE = "kubernetes.default.svc"
_NAMES = ("localhost", "kubernetes", "kubernetes.default", _SERVICE, f"{_SERVICE}.cluster.local")
_ADDRESSES = ("127.0.0.1", "::1", "10.96.0.1")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Pki:
    """The files in a folder, readable by their owner only; what exists is used again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.ca = self._pair("ca")
        if not self.ca.certificate.exists():
            self._make_ca()

    def _pair(self, name: str) -> Pair:
        return Pair(self.directory / f"{name}.crt", self.directory / f"{name}.key")

    def server(self, name: str) -> Pair:
        """Return a serving certificate for the loopback addresses."""
        return self._signed(name, f"system:{name}", None, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, name: str, user: str, group: str) -> Pair:
        """Return a client certificate of a user."""
        return self._signed(name, user, group, ExtendedKeyUsageOID.CLIENT_AUTH)

    def service_account_key(self) -> Path:
        """Return the key that signs the tokens of service accounts."""
        path = self.directory / "sa.key"
        if not path.exists():
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            _write(path, _pem(key))
        return path

    def token(self, name: str) -> str:
        """Return the secret token of a user."""
        path = self.directory / f"{name}.token"
        if not path.exists():
            _write(path, secrets.token_hex(32).encode())
        return path.read_text()

    def _make_ca(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("kubetune-local-ca", None)
        certificate = (
            _builder(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write(self.ca.key, _pem(key))
        _write(self.ca.certificate, certificate.public_bytes(serialization.Encoding.PEM))

    def _signed(self, name: str, user: str, group: str | None, usage: x509.ObjectIdentifier) -> Pair:
        pair = self._pair(name)
        if pair.certificate.exists():
            return pair
        ca_key = serialization.load_pem_private_key(self.ca.key.read_bytes(), None)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        ca = x509.load_pem_x509_certificate(self.ca.certificate.read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(user, group), ca.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if usage == ExtendedKeyUsageOID.SERVER_AUTH:
            places: list[x509.GeneralName] = [x509.DNSName(each) for each in _NAMES]
            places += [x509.IPAddress(ipaddress.ip_address(each)) for each in _ADDRESSES]
            builder = builder.add_extension(x509.SubjectAlternativeName(places), critical=False)
        certificate = builder.sign(ca_key, hashes.SHA256())
        _write(pair.key, _pem(key))
        _write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        return pair


def _name(user: str, group: str | None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group is not None:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)


def _builder(subject: x509.Name, issuer: x509.Name, key: Key) -> x509.CertificateBuilder:
    today = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=DAYS))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return the key unencrypted, in the traditional form that every Kubernetes program reads."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_bytes(content)
    part.replace(path)
