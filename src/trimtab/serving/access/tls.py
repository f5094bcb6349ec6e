"""The certificate that the server shows, and how a new one takes its place without a connection being dropped."""

from __future__ import annotations

import logging
import math
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, NoReturn

from trimtab.errors import PermanentError
from trimtab.serving.access.greeting import greeting_context
from trimtab.serving.access.seldom import Seldom

_LOG = logging.getLogger("trimtab.serving")
_DAY = 86_400.0
_SOON = 14 * _DAY
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for
_PROTOCOLS = ["http/1.1"]
Signature = tuple[tuple[int, int, int], ...]


class Validity(NamedTuple):
    """Between which moments a certificate holds, in seconds since 1970."""

    start: float
    end: float

    def __str__(self) -> str:
        told = [f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}" for moment in self]
        return f"from {told[0]} to {told[1]} UTC"


class ServerTls:
    """The files of a certificate chain and its key, both PEM. `context` is what a listener takes, once and for all:
    each new connection is handed on to the context of the files as they were read last. Belongs to the event loop.

    A whole new context for new files, rather than new files in the one that runs: OpenSSL would keep a certificate for
    each kind of key, and go on showing the former one where the kind changes. Raises PermanentError where the files
    cannot be used. One that has expired is shown all the same at the start, but never takes the place of another.

    `pem` is the key and the chain that are shown, for a listener that brings a TLS of its own and may read them from
    any thread; `shown` is told of the chain.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        shown: Callable[[bytes], None] = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._files = (certificate, key)
        self._seldom = Seldom()
        self._now = now
        self._shown = shown
        self._complaint = ""
        self._warned = -math.inf
        self._seen = _signature(*self._files)
        self._current, self.pem, self.validity = self._load()
        shown(self.pem[1])
        self._warn()
        self.context = self._current
        self.context.sni_callback = self._hand_on

    def refresh(self) -> None:
        """Looks whether the files have changed; when they have, new connections are shown the new certificate. When
        they cannot be used, the former one stays, and the log says so, once. Microseconds when nothing has changed."""
        seen: Signature = ()
        try:
            seen = _signature(*self._files)
            if seen == self._seen:
                self._complaint = ""
                self._warn()
                return
            loaded = self._load(valid=True)
        except PermanentError as error:
            told = f"{error.in_one_line()} {seen}"
            if told != self._complaint:
                _LOG.error("the certificate stays as it was: %s", error.in_one_line())
                self._complaint = told
        else:
            self._current, self.pem, self.validity = loaded
            self._seen, self._complaint = seen, ""
            self._shown(self.pem[1])
            _LOG.info("a new certificate is shown from here on, valid %s", self.validity)

    def _warn(self) -> None:
        """Once a day where the certificate is not valid, or will soon not be."""
        now = self._now()
        if not self.validity.start <= now < self.validity.end - _SOON and now > self._warned + _DAY:
            self._warned = now
            _LOG.warning("the certificate is valid only %s", self.validity)

    def _hand_on(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """Called in each handshake, whether or not the caller names the server."""
        connection.context = self._current

    def _load(self, *, valid: bool = False) -> tuple[ssl.SSLContext, tuple[bytes, bytes], Validity]:
        context, pem, validity = _read(*self._files, self._seldom)
        if valid and not validity.start <= self._now() < validity.end:
            raise PermanentError(f"the new one is valid only {validity}")
        return context, pem, validity


def check_files(certificate: Path, key: Path) -> None:
    """Raises PermanentError where a server could not show that certificate; one that has expired it could."""
    _signature(certificate, key)
    _read(certificate, key, Seldom())


def _signature(*files: Path) -> Signature:
    found = []
    for path in files:
        try:
            state = path.stat()
        except OSError as error:
            raise PermanentError(f"{path} cannot be read: {error.strerror}", hint="see [serve] tls_cert") from error
        found.append((state.st_mtime_ns, state.st_size, state.st_ino))
    return tuple(found)


def _read(certificate: Path, key: Path, seldom: Seldom) -> tuple[ssl.SSLContext, tuple[bytes, bytes], Validity]:
    context = greeting_context(seldom)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(_PROTOCOLS)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
        pem = key.read_bytes(), certificate.read_bytes()
    except OSError as error:  # ssl.SSLError is one
        why = str(getattr(error, "reason", "") or "one of them is not in PEM form")
        raise PermanentError(
            f"tls_cert {certificate} and tls_key {key} cannot be used: {_WORDS.get(why, why)}",
            hint="both in PEM form, the key of that very certificate and without a password",
        ) from error
    return context, pem, _validity(context, certificate)


_WORDS = {
    "KEY_VALUES_MISMATCH": "the key is that of another certificate",
    "EE_KEY_TOO_SMALL": "its key is too short",
    "CA_MD_TOO_WEAK": "it is signed with too weak a digest",
}


def _no_password() -> NoReturn:
    raise PermanentError("tls_key is protected by a password", hint="keep it without one, readable by its owner alone")


def _validity(context: ssl.SSLContext, certificate: Path) -> Validity:
    """When the certificate is valid, found by shaking hands with ourselves in memory. Raises PermanentError for one
    that callers would refuse whatever the time is."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is what we trust here
    trusting.verify_flags |= _NO_CHECK_TIME
    trusting.load_verify_locations(certificate)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server, client = context.wrap_bio(up, down, server_side=True), trusting.wrap_bio(down, up)
    try:
        for _ in range(4):
            for side in (client, server):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or error.reason
        raise PermanentError(f"tls_cert {certificate} would be refused by callers: {why}") from error
    shown = client.getpeercert() or {}
    moments = [float(ssl.cert_time_to_seconds(str(shown[name]))) for name in ("notBefore", "notAfter")]
    return Validity(*moments)
