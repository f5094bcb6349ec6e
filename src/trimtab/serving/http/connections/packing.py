"""Bodies compressed and inflated beside the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from trimtab.serving.http.connections.coding import Inflation, compressed
from trimtab.serving.http.request import Request
from trimtab.serving.refusals import RefusalError

_LOG = logging.getLogger("trimtab.serving")


def unpack(request: Request, most: int, done: Callable[[RefusalError | None], None]) -> bool:
    """Whether the body of a request that came with `content-encoding` is inflated when this returns. Where that takes
    longer, `done` is called afterwards, with what is wrong. Raises RefusalError (400, 413 or 415)."""
    encoding, request.encoding = request.encoding, b""
    if encoding.lower() == b"identity" or (not request.body and request.spool is None):
        return True
    if request.spool is not None:
        raise RefusalError(415, "a body this large must come as it is", hint="send it without content-encoding")
    inflation = Inflation(encoding, request.body, most)
    body = inflation.first()
    if body is not None:
        request.body = body
        return True

    def inflated(inflating: asyncio.Future[bytes]) -> None:
        error = inflating.exception()
        if error is None:
            request.body = inflating.result()
        elif not isinstance(error, RefusalError):
            _LOG.error("a body could not be inflated", exc_info=error)
            error = RefusalError(500, f"the server failed: {type(error).__name__}")
        done(error)

    asyncio.get_running_loop().run_in_executor(None, inflation.rest).add_done_callback(inflated)
    return False


def pack(body: bytes, form: bytes, done: Callable[[bytes, bytes], None]) -> None:
    """Compresses an answer; `done` gets it, and the header line that says so."""

    def packed(packing: asyncio.Future[bytes]) -> None:
        done(packing.result(), b"content-encoding: %b\r\n" % form)

    asyncio.get_running_loop().run_in_executor(None, compressed, body, form).add_done_callback(packed)
