"""Requests that a web page made a browser send: whose pages may, and what their browsers are told."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trimtab.serving.config import is_private
from trimtab.serving.http.request import Request
from trimtab.serving.refusals import RefusalError

_PAGE = re.compile(rb"https?://([^/?#]+)", re.IGNORECASE)
_METHODS = b"GET, HEAD, POST"
_SENT = (
    b"authorization, content-encoding, content-type, inference-header-content-length, x-request-timeout-ms, "
    b"x-sticky-key"
)
_SHOWN = b"inference-header-content-length, retry-after"


class Origins:
    """`allowed` are the origins whose pages may ask (`https://app.example`, or `*` for all), `host` is where the server
    listens.

    A browser lets any page send a request here, and that is enough to tell the server something (a truth, say), even
    though the page then may not read the answer. So a request with an `origin` is refused unless the page is ours or
    one of those that are allowed. Where no token is asked for, our own pages have to be at a name that only this
    machine has: another could be made to lead here for a moment ("DNS rebinding").
    """

    def __init__(self, allowed: Sequence[str], host: str) -> None:
        self._allowed = frozenset(one.lower().rstrip("/").encode() for one in allowed)
        self._all = b"*" in self._allowed
        self._host = host.lower()

    def lines(self, request: Request, *, guarded: bool) -> bytes:
        """The header lines of an answer to a page's request; `guarded`: a token is asked for. Raises RefusalError (403)
        where the page may not ask."""
        origin = request.origin
        if self._all:
            return b"access-control-allow-origin: *\r\naccess-control-expose-headers: %b\r\n" % _SHOWN
        if origin.lower() in self._allowed:
            return b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\nvary: origin\r\n" % (
                origin, _SHOWN,
            )  # fmt: skip
        if self._is_ours(origin, request.field(b"host"), guarded=guarded):
            return b""
        told = origin.decode("latin-1")[:200]
        if told == "null":  # files and sandboxed frames of any page have it: nobody should be told to let it in
            hint = "open the page from a server of its own, and see [serve] cors"
            raise RefusalError(403, "pages without an origin of their own may not ask this server", hint=hint)
        raise RefusalError(403, f"pages of {told} may not ask this server", hint=f'see [serve] cors = ["{told}"]')

    def preflight(self, request: Request) -> bytes | None:
        """The further header lines where a browser asks beforehand whether it may send a request; None where it is no
        such question."""
        if request.method != b"OPTIONS" or not request.field(b"access-control-request-method"):
            return None
        return (
            b"access-control-allow-methods: %b\r\naccess-control-allow-headers: %b\r\naccess-control-max-age: 600\r\n"
            % (_METHODS, _SENT)
        )

    def _is_ours(self, origin: bytes, host: bytes, *, guarded: bool) -> bool:
        page = _PAGE.fullmatch(origin)
        if page is None or page[1].lower() != host.lower():
            return False
        name = host.decode("latin-1").lower()
        name = name.partition("]")[0].removeprefix("[") if name.startswith("[") else name.partition(":")[0]
        return guarded or name == self._host or is_private(name)
