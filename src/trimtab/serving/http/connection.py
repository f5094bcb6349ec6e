"""One HTTP/1.1 connection on a bare asyncio protocol: parsing, limits and time-outs, the token, answers in order."""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from typing import cast

import httptools

from trimtab.serving.access.guard import NOBODY, Grant, Guard
from trimtab.serving.http.port import Desk
from trimtab.serving.http.replies import JSON, refusal, reply
from trimtab.serving.http.request import Request
from trimtab.serving.http.spool import Spool
from trimtab.serving.http.stream import Stream
from trimtab.serving.refusals import RefusalError

_IDLE, _HEAD, _BODY, _DEAF, _LINGER = range(5)  # deaf: answers what is due, then the refusal; linger: only waits
_AHEAD = 32  # requests that wait behind the one being answered before we stop reading
_LINGER_TIME = 2.0
_HOP_BY_HOP = frozenset((b"connection", b"http2-settings", b"upgrade"))
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TRUSTED_BODY = 65_536  # a longer one is not taken in before the token is seen


class Connection(asyncio.Protocol):
    """Requests are handed over one at a time and answered in the order they came."""

    __slots__ = (
        "_body", "_busy", "_bytes", "_chunked", "_desk", "_encoding", "_ended", "_expect", "_fields", "_grant",
        "_guard", "_header", "_keep", "_knocked", "_last", "_length", "_parser", "_phase", "_shown", "_since", "_spool",
        "_stream", "_stuck", "_token", "_transport", "_upgrade", "_url", "_waiting",
    )  # fmt: skip

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._phase = _HEAD
        self._since = 0.0  # when the present wait began; 0: set by the next sweep that sees it
        self._busy = False
        self._waiting: deque[Request] = deque()
        self._guard: Guard | None = None
        self._grant, self._shown = NOBODY, b""  # what the guard gave, and the token that it was given for
        self._stuck = False
        self._stream: Stream | None = None
        self._ended = False
        self._knocked = 0
        self._keep = True
        self._last: RefusalError | None = None
        self._clear()

    def _clear(self) -> None:
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._bytes = 0
        self._header = 0
        self._length = -1
        self._token = b""
        self._encoding = b""
        self._chunked = False
        self._expect = False
        self._upgrade = False
        self._spool: Spool | None = None

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self._desk.connections.add(self)
        if self._desk.draining:
            self._refuse(RefusalError(503, "the server is shutting down"))
        elif len(self._desk.connections) > self._desk.config.max_connections:
            self._refuse(RefusalError(503, f"more than {self._desk.config.max_connections:,} connections"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._desk.connections.discard(self)
        self._phase = _LINGER
        self._forget()
        if self._stream is not None:
            self._stream.leave()

    def data_received(self, data: bytes) -> None:
        if self._phase >= _DEAF:
            return
        if self._phase == _IDLE:
            self._phase = _HEAD
            self._since = 0.0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse(RefusalError(400, f"not HTTP/1.1: {error}"))
            return
        if self._phase == _HEAD:
            self._header += len(data)
            if self._header > 2 * self._desk.config.max_header:  # a single line that never ends
                self._refuse_header()

    def eof_received(self) -> bool:
        self._ended = True
        return self._busy  # a caller that has sent its last request still gets the answers

    def pause_writing(self) -> None:
        self._stuck = True
        self._since = 0.0
        if self._stream is not None:
            self._stream.hold(stuck=True)
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._stuck = False
        self._since = 0.0
        if self._stream is not None:
            self._stream.hold(stuck=False)
        if len(self._waiting) < _AHEAD:
            self._transport.resume_reading()

    # -- httptools

    def on_url(self, url: bytes) -> None:
        if self._phase < _DEAF:
            self._phase = _HEAD
        self._url = self._url + url if self._url else url

    def on_header(self, name: bytes, value: bytes) -> None:
        size = len(name)
        self._header += size + len(value) + 4
        self._fields.append((name, value))
        if size == 14:
            if name.lower() == b"content-length":
                self._length = int(value)
        elif size == 13:
            if name.lower() == b"authorization":
                self._token = value
        elif size == 17:
            if name.lower() == b"transfer-encoding":
                self._chunked = True
        elif size == 16:
            if name.lower() == b"content-encoding":
                self._encoding = value
        elif size == 6:
            if name.lower() == b"expect":
                self._expect = value.lower() == b"100-continue"
        elif size == 7 and name.lower() == b"upgrade":
            self._upgrade = True

    def on_headers_complete(self) -> None:
        if self._phase >= _DEAF:
            return
        self._phase = _BODY
        self._since = 0.0
        config = self._desk.config
        if self._header > config.max_header or len(self._url) > config.max_header:
            self._refuse_header()
        elif (self._chunked or self._length > min(_TRUSTED_BODY, config.max_body)) and not self._may_come():
            return
        elif self._expect and not self._busy:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        if self._phase >= _DEAF:
            return
        if self._spool is not None:
            self._set_aside(self._spool, body)
            return
        self._body.append(body)
        self._bytes += len(body)
        if self._bytes > self._desk.config.max_body:
            self._refuse_body()

    def on_message_complete(self) -> None:
        if self._phase >= _DEAF or (self._upgrade and self._parser.should_upgrade()):
            return
        self._phase = _IDLE
        self._since = 0.0
        method = self._parser.get_method()
        keep = self._parser.should_keep_alive()
        parts = self._body
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        request = Request(method, self._url, self._fields, body, keep, self._token)
        request.spool = self._spool
        if self._length < 0 and not self._chunked and method == b"POST":
            self._refuse(RefusalError(411, "a POST needs content-length or transfer-encoding: chunked"))
            return
        if self._encoding and self._encoding.lower() != b"identity":
            told = self._encoding.decode("latin-1")[:40]
            self._refuse(
                RefusalError(415, f"content-encoding {told!r} is not supported", hint="send the body as it is")
            )
            return
        self._clear()
        if self._busy:
            self._waiting.append(request)
            if len(self._waiting) >= _AHEAD:
                self._transport.pause_reading()
        else:
            self._begin(request)

    # -- the desk

    def answer(self, status: int, body: bytes, kind: bytes = JSON, extra: bytes = b"") -> None:
        """Answers the request that was handed over last. Once only; after the caller has gone it does nothing."""
        if not self._busy:
            return
        if self._phase == _LINGER:
            self._answered(status, close=False)
            return
        due = bool(self._waiting) or self._last is not None
        close = not self._keep or ((self._desk.draining or self._ended) and not due)
        self._transport.write(reply(status, body, close=close, kind=kind, extra=extra))
        self._answered(status, close=close)

    def stream(self) -> Stream:
        """In place of `answer`: an answer that comes in pieces."""
        old = self._parser.get_http_version() == "1.0"  # it has no chunks: the connection's end is the answer's
        self._keep = self._keep and not old and not self._desk.draining
        self._stream = Stream(self._transport, self._streamed, chunked=not old, close=not self._keep)
        self._stream.gone = self._phase == _LINGER
        self._stream.stuck = self._stuck
        return self._stream

    def _streamed(self, status: int) -> None:
        self._stream = None
        self._answered(status, close=not self._keep)

    def _answered(self, status: int, *, close: bool) -> None:
        self._busy = False
        self._desk.count(status)
        self._since = 0.0
        if self._phase == _LINGER:
            return
        if close:
            self._linger()
        elif self._waiting:
            if len(self._waiting) == _AHEAD and not self._stuck and self._phase != _DEAF:
                self._transport.resume_reading()
            self._begin(self._waiting.popleft())
        elif self._last is not None:
            self._refuse(self._last)

    def refuse(self, error: RefusalError) -> None:
        """Answers with an error."""
        status, body, extra = refusal(error)
        self.answer(status, body, JSON, extra)

    def charge(self, rows: int) -> None:
        """Counts rows against the rate of the caller's token, once it is known how many the request has."""
        if self._guard is not None and self._grant.rows is not None:
            self._guard.charge(self._grant, rows)

    @property
    def caller(self) -> str:
        """The name of the caller's token, empty where none was asked for."""
        return self._grant.name

    @property
    def gone(self) -> bool:
        """Whether an answer would reach nobody."""
        return self._phase == _LINGER

    def sweep(self, now: float) -> None:
        """Closes what has waited too long; called a few times a second."""
        if not self._since:
            self._since = now
            return
        waited, config = now - self._since, self._desk.config
        if self._phase == _LINGER:
            if waited > _LINGER_TIME:
                self._transport.abort()
        elif self._stuck:
            if waited > config.body_timeout:  # a caller that does not read its answers
                self._transport.abort()
        elif self._busy:
            self._wait_for_answer(waited, config.answer_timeout)
        elif self._phase == _HEAD:
            if waited > (limit := config.header_timeout):
                self._refuse(RefusalError(408, f"the request's head did not arrive within {limit:g} s"))
        elif self._phase == _BODY:
            if waited > (limit := config.body_timeout):
                self._refuse(RefusalError(408, f"the request's body did not arrive within {limit:g} s"))
        elif waited > config.idle_timeout:
            self._transport.close()

    def _wait_for_answer(self, waited: float, limit: float) -> None:
        if self._stream is not None:
            if self._stream.rested() > limit:
                self._transport.abort()
        elif waited > limit:
            self._keep = False
            self.refuse(RefusalError(503, f"no answer within {limit:g} s"))
        elif self._ended and self._knocked < 2:
            self._knocked += 1  # a caller who has gone altogether is found out by sending twice; others take no notice
            if self._parser.get_http_version() == "1.1":
                self._transport.write(_CONTINUE)

    def drain(self) -> None:
        """The server is going: closes the connection once nothing is due."""
        if not self._busy and self._phase in (_IDLE, _HEAD) and not self._url:
            self._transport.close()

    def _stay(self, rest: bytes) -> None:
        """We stay with HTTP/1.1, as a server may. The parser does not: a new one gets the request without the wish."""
        method = self._parser.get_method()
        fields = [b"%b: %b" % field for field in self._fields if field[0].lower() not in _HOP_BY_HOP]
        head = b"%b %b HTTP/1.1\r\n%b\r\n\r\n" % (method, self._url, b"\r\n".join(fields))
        self._parser = httptools.HttpRequestParser(self)
        self._clear()
        self.data_received(head + rest)

    def _begin(self, request: Request) -> None:
        self._busy, self._keep = True, request.keep
        guard, scope = self._desk.admission(request.url)
        if scope:
            try:
                guard.check(self._recognised(guard, request.token), scope)
            except RefusalError as error:
                self.refuse(error)
                return
        self._desk.handle(self, request)

    def _recognised(self, guard: Guard, token: bytes) -> Grant:
        """Whose token that is; one that this connection has shown before need not be looked up again."""
        if guard is not self._guard or self._grant.void or not hmac.compare_digest(token, self._shown):
            self._grant = guard.recognise(token)
            self._guard = guard
            self._shown = token
        return self._grant

    def _may_come(self) -> bool:
        """Whether the large body that begins may come, and where to. Refuses it otherwise."""
        try:
            guard, scope = self._desk.admission(self._url)
            if scope:
                guard.allow(self._recognised(guard, self._token), scope)
            if self._length > self._desk.config.max_body or self._chunked:
                self._spool = self._desk.spool(self._url)
        except RefusalError as error:
            self._refuse(error)
        else:
            if self._spool is not None or self._length <= self._desk.config.max_body:
                return True
            self._refuse_body()
        return False

    def _set_aside(self, spool: Spool, data: bytes) -> None:
        try:
            if spool.take(data, self._written):
                self._since = 0.0  # a body this long may take its time, as long as it comes
                self._transport.pause_reading()
        except RefusalError as error:
            self._written(error)

    def _written(self, error: RefusalError | None) -> None:
        if self._phase >= _DEAF:
            return
        if error is not None:
            self._refuse(error)
        elif len(self._waiting) < _AHEAD and not self._stuck:
            self._transport.resume_reading()

    def _forget(self) -> None:
        """What still waits is not answered: lets go what was kept aside for it."""
        for spool in (self._spool, *(one.spool for one in self._waiting)):
            if spool is not None:
                spool.close()
        self._waiting.clear()

    def _refuse_header(self) -> None:
        self._refuse(RefusalError(431, f"the request's head is larger than {self._desk.config.max_header:,} bytes"))

    def _refuse_body(self) -> None:
        limit = self._desk.config.max_body
        self._refuse(RefusalError(413, f"the body is larger than {limit:,} bytes", hint="send fewer rows at a time"))

    def _refuse(self, error: RefusalError) -> None:
        """Answers with an error, after what is due, and closes: what follows here cannot be understood."""
        if self._busy:
            self._last = error
            self._phase = _DEAF
            return
        status, body, extra = refusal(error)
        self._desk.count(status)
        self._transport.write(reply(status, body, close=True, extra=extra))
        self._linger()

    def _linger(self) -> None:
        """Ends our side and waits for the caller to end its own, so that the last answer is not lost to a reset."""
        self._phase = _LINGER
        self._since = 0.0
        self._forget()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()
