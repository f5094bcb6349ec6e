"""Certificates made on the spot: an authority of the test's own, and what it signs."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Authority:
    """Signs certificates for `localhost` and the loopback addresses; `path` is its own, for callers to trust."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._serial = 1
        built = self._builder(self._name, self._key, timedelta(days=-1), timedelta(days=10)).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self._certificate = built.sign(self._key, hashes.SHA256())
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        certificate: Path,
        key: Path,
        *,
        kind: str = "ec",
        start: timedelta = timedelta(days=-1),
        end: timedelta = timedelta(days=90),
        password: bytes = b"",
    ) -> int:
        """Writes a certificate and its key; returns its serial number."""
        made: Key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
        self._serial += 1
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"server {self._serial}")])
        hosts = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ("127.0.0.1", "::1"))]
        built = (
            self._builder(name, made, start, end)
            .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        signed = built.sign(self._key, hashes.SHA256())
        how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        _put(certificate, signed.public_bytes(serialization.Encoding.PEM))
        _put(key, made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))
        return self._serial

    def _builder(self, name: x509.Name, key: Key, start: timedelta, end: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(self._serial)
            .not_valid_before(now + start)
            .not_valid_after(now + end)
        )


def _put(path: Path, data: bytes) -> None:
    """As those who renew certificates do: beside it, then in its place."""
    draft = path.with_suffix(".new")
    draft.write_bytes(data)
    draft.replace(path)
