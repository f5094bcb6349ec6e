"""Who comes with something else than HTTP/1.1, and what is told."""

from __future__ import annotations

from trimtab.serving.access.seldom import Seldom
from trimtab.serving.refusals import RefusalError

_HELLO = b"\x16\x03"  # how a TLS handshake begins: a record of that type, of version 3


def stranger(error: Exception, data: bytes, seldom: Seldom) -> RefusalError:
    """What to answer to bytes in which the parser found that fault. A caller that speaks TLS understands none of it,
    so that the log tells it too."""
    if data[:2] != _HELLO:
        return RefusalError(400, f"not HTTP/1.1: {error}")
    seldom.warn("TLS reached the port that speaks plain HTTP: callers are to ask with http://, or declare tls_cert")
    return RefusalError(400, "this port speaks plain HTTP", hint="ask with http://, or declare [serve] tls_cert")
