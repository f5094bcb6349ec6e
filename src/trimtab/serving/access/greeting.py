"""The first bytes of a connection to a port that speaks TLS, and what is told to a caller who does not."""

from __future__ import annotations

import ssl

from trimtab.serving.access.seldom import Seldom

_BODY = b'{"error":"this port speaks TLS","hint":"ask the same address with https:// instead of http://"}'
_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-content-type-options: nosniff\r\nconnection: close\r\n\r\n%b" % (len(_BODY), _BODY)
)
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")  # a request's method begins with one, no record of TLS does


class Greeting(ssl.SSLObject):
    """One connection's side of TLS. Plain HTTP is answered in plain HTTP, and waited for to be closed by the caller or
    by the time limit of handshakes; a handshake that fails for a cause that somebody can mend is told in the log."""

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    seldom: Seldom
    _looked = False
    _plain = False

    def do_handshake(self) -> None:
        """As its parent's; raises SSLWantReadError for as long as plain HTTP is what comes."""
        if not self._looked and self.incoming.pending:
            self._looked = True
            came = self.incoming.read()
            self._plain = came[0] in _LETTERS
            if self._plain:
                self.outgoing.write(_ANSWER)
                self.seldom.warn("plain HTTP reached the port that speaks TLS: callers are to ask with https://")
            else:
                self.incoming.write(came)
        if self._plain:
            self.incoming.read()  # the rest of the request, which nobody needs
            raise ssl.SSLWantReadError
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if error.reason in _MEANING:  # any other is noise, which an operator can do nothing about
                self.seldom.warn(f"a TLS handshake failed: {_MEANING[error.reason]}")
            raise


_UNTRUSTED = "the caller does not trust the certificate of [serve] tls_cert"
_MEANING = {
    "TLSV1_ALERT_UNKNOWN_CA": _UNTRUSTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _UNTRUSTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _UNTRUSTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "to the caller the certificate of [serve] tls_cert has expired",
    "UNSUPPORTED_PROTOCOL": "the caller speaks no TLS 1.2 or newer",
    "NO_SHARED_CIPHER": "the caller knows none of the ciphers",
}


class GreetingContext(ssl.SSLContext):
    """A server's context, of which each connection is a `Greeting`."""

    seldom: Seldom

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As its parent's."""
        found = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(found, Greeting):
            found.incoming, found.outgoing, found.seldom = incoming, outgoing, self.seldom
        return found


def greeting_context(seldom: Seldom) -> GreetingContext:
    """A context for servers that watches first bytes; `seldom` is told of what goes wrong."""
    context = GreetingContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = Greeting
    context.seldom = seldom
    return context
