"""One HTTP/1.1 connection on a bare asyncio protocol: whose turn it is, how long is waited, answers in order."""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from functools import partial
from typing import cast

from trimtab.serving.access.guard import NOBODY, Grant, Guard
from trimtab.serving.http.connections.coding import chosen
from trimtab.serving.http.connections.packing import pack, unpack
from trimtab.serving.http.connections.reader import BODY, HEAD, IDLE, Reader
from trimtab.serving.http.crowd import no_room
from trimtab.serving.http.port import Desk
from trimtab.serving.http.replies import JSON, OK, allowed, nothing, refusal, reply
from trimtab.serving.http.request import Request
from trimtab.serving.http.stream import Stream
from trimtab.serving.refusals import RefusalError

_AHEAD = 32  # requests that wait behind the one being answered before we stop reading
_LINGER_TIME = 2.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """Requests are handed over one at a time and answered in the order they came."""

    __slots__ = (
        "_address", "_busy", "_desk", "_ended", "_guard", "_keep", "_knocked", "_last", "_lines", "_lingers",
        "_packing", "_paused", "_reader", "_request", "_shown", "_spooling", "_stream", "_stuck", "_transport",
        "_turning", "_waiting", "_weight", "data_received", "grant", "parts", "since",
    )  # fmt: skip

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._reader = Reader(desk, self)
        self.data_received = self._reader.feed  # type: ignore[method-assign] # no call between the two
        self._transport: asyncio.Transport
        self._address = ""
        self.since = 0.0  # when the present wait began; 0: set by the next sweep that sees it
        self._guard: Guard | None = None
        self.grant, self._shown = NOBODY, b""  # what the guard gave, and the token that it was given for
        self._request: Request | None = None  # the one being answered
        self._busy = False
        self._keep = True
        self._lines = b""
        self._packing = False  # an answer is being compressed
        self._stream: Stream | None = None
        self._waiting: deque[Request] = deque()
        self._weight = 0  # bytes of their bodies
        self._turning = False
        self._last: RefusalError | None = None  # to be answered after what is due
        self._stuck = False  # the caller does not read its answers
        self._spooling = False
        self._paused = False
        self._ended = False  # the caller sends no more, or is to come again: the last answer that is due ends it
        self.parts = False
        self._knocked = 0
        self._lingers = False

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if isinstance(peer, tuple) else ""
        try:
            self._desk.crowd.enter(self, self._address)
        except RefusalError as error:
            self.fail(error)
            if self._desk.crowd.overrun:
                self._transport.abort()
        else:
            if self._desk.draining:
                self.fail(RefusalError(503, "the server is shutting down", retry_after=1.0))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._desk.crowd.leave(self, self._address)
        self._lingers = True
        self._forget()
        if self._request is not None:
            self._release(self._request)
        if self._stream is not None:
            self._stream.leave()

    def eof_received(self) -> bool:
        self._ended = True
        # a caller that has sent its last request still gets the answers; TLS cannot be half open
        return self._busy and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        self._stuck = True
        self.since = 0.0
        if self._stream is not None:
            self._stream.hold(stuck=True)
        self._pace()

    def resume_writing(self) -> None:
        self._stuck = False
        self.since = 0.0
        if self._stream is not None:
            self._stream.hold(stuck=False)
        self._turn()

    # -- the reader

    def may_come(self, token: bytes, url: bytes) -> None:
        """Raises RefusalError (401 or 403) where the caller may not send such a request."""
        guard, scope = self._desk.admission(url)
        if scope:
            guard.allow(self._recognised(guard, token), scope)

    def go_on(self) -> bool:
        """Tells the caller to send the body; false where others are to be answered first."""
        if self._busy or self._waiting:
            return False
        self._transport.write(_CONTINUE)
        return True

    def take(self, request: Request) -> None:
        """A whole request, whose turn comes now or later."""
        if self._busy or self._stuck or self._waiting:
            self._waiting.append(request)
            self._weight += len(request.body)
            self._pace()
        else:
            self._begin(request)

    def wait(self, *, full: bool) -> None:
        """Reading waits for the disk, or no longer."""
        self._spooling = full
        self._pace()

    def fail(self, error: RefusalError) -> None:
        """Answers with an error, after what is due, and closes: what follows here cannot be understood."""
        self._reader.close()
        if self._busy or self._waiting:
            self._last = error
            return
        if self._lingers:
            return
        status, body, extra = refusal(error)
        self._desk.count(status)
        self._transport.write(reply(status, body, close=True, extra=extra))
        self._linger()

    # -- the desk

    def answer(self, status: int, body: bytes, kind: bytes = JSON, extra: bytes = b"") -> None:
        """Answers the request that was handed over last. Once only; after the caller has gone it does nothing."""
        if not self._busy or self._packing:
            return
        request = self._request
        if self._lingers or request is None:
            self._answered(status, close=False)
            return
        desk = self._desk
        usual = status == 200 and kind is JSON and self._keep and not (extra or self._lines or request.bare)
        if usual and len(body) < desk.config.compress_over and not (desk.draining or self._ended):
            self._transport.write(b"%b%d\r\n\r\n%b" % (OK, len(body), body))
            self._answered(200, close=False)
            return
        if len(body) >= desk.config.compress_over and b"content-encoding" not in extra:
            extra += b"vary: accept-encoding\r\n"
            form = chosen(request.field(b"accept-encoding"))
            if form and not request.bare:
                self._packing = True
                pack(body, form, lambda packed, line: self._packed(status, packed, kind, line + extra))
                return
        if self._lines:
            extra += self._lines
        close = (not self._keep or desk.draining or self._ended) and self._is_last()
        self._transport.write(reply(status, body, close=close, kind=kind, extra=extra, bare=request.bare))
        self._answered(status, close=close)

    def stream(self) -> Stream:
        """In place of `answer`: an answer that comes in pieces."""
        old = self._reader.old  # it has no chunks: the connection's end is the answer's
        self._keep = self._keep and not old and not self._desk.draining
        bare = self._request is not None and self._request.bare
        self._stream = Stream(
            self._transport, self._streamed, lines=self._lines, chunked=not old, close=not self._keep, bare=bare
        )
        self._stream.gone = self._lingers
        self._stream.stuck = self._stuck
        return self._stream

    def refuse(self, error: RefusalError) -> None:
        """Answers with an error. One that says which methods there are is what OPTIONS asks for."""
        request = self._request
        if request is not None and request.method == b"OPTIONS" and (error.allow or request.url == b"*"):
            self._answer_empty(allowed(error.allow).encode() if error.allow else b"allow: GET, HEAD, POST, OPTIONS\r\n")
            return
        status, body, extra = refusal(error)
        self.answer(status, body, JSON, extra)

    def charge(self, rows: int) -> None:
        """Counts rows against the rate of the caller's token, once it is known how many the request has."""
        if self._guard is not None and self.grant.rows is not None:
            self._guard.charge(self.grant, rows)

    @property
    def gone(self) -> bool:
        """Whether an answer would reach nobody."""
        return self._lingers

    def sweep(self, now: float) -> None:
        """Closes what has waited too long; called a few times a second."""
        if not self.since:
            self.since = now
            return
        waited, config, phase = now - self.since, self._desk.config, self._reader.phase
        if self._lingers:
            if waited > _LINGER_TIME:
                self._transport.abort()
        elif self._stuck:
            if waited > config.body_timeout:  # a caller that does not read its answers
                self._transport.abort()
        elif self._busy:
            self._wait_for_answer(waited, config.answer_timeout)
        elif phase == HEAD:
            if waited > config.header_timeout:
                self.fail(RefusalError(408, f"the request's head did not arrive within {config.header_timeout:g} s"))
        elif phase == BODY:
            if waited > config.body_timeout:
                self.fail(RefusalError(408, f"the request's body did not arrive within {config.body_timeout:g} s"))
        elif waited > config.idle_timeout:
            self._transport.close()

    def drain(self) -> None:
        """The server is going: closes the connection once nothing is due."""
        if not self._busy and not self._waiting and self._reader.phase in (IDLE, HEAD) and not self._reader.begun:
            self._transport.close()

    def part(self) -> None:
        """Asks the caller to come again with another connection: the next answer says that it ends this one."""
        self.parts = self._ended = True
        self._knocked = 2  # whether the caller is still there is not in question

    # -- one request after the other

    def _begin(self, request: Request) -> None:
        self._busy = True
        self._request = request
        self._keep = request.keep
        self._lines = b""
        head = request.head
        try:
            if head is not None and head.admission is not None:  # it asks for nothing out of the ordinary
                guard, scope = head.admission
                known = guard is self._guard and request.token is self._shown and not self.grant.void
                guard.check(self.grant if known else self._recognised(guard, request.token), scope)
                (head.desk or self._desk).handle(self, request)
                return
            guard, scope = self._desk.admission(request.url)
            if request.origin and self._asks_beforehand(request, guard):
                return
            if scope:
                guard.check(self._recognised(guard, request.token), scope)
            if request.encoding and not unpack(request, self._desk.config.max_body, partial(self._unpacked, request)):
                return
        except RefusalError as error:
            self.refuse(error)
        else:
            self._desk.handle(self, request)

    def _recognised(self, guard: Guard, token: bytes) -> Grant:
        """Whose token that is; one that this connection has shown before need not be looked up again."""
        if guard is not self._guard or self.grant.void or not hmac.compare_digest(token, self._shown):
            self.grant = guard.recognise(token)
            self._guard = guard
        self._shown = token
        return self.grant

    def _asks_beforehand(self, request: Request, guard: Guard) -> bool:
        """Whether a browser asked if a page may send a request, which is answered then. Raises RefusalError (403) for a
        request of a page that may not."""
        origins = self._desk.origins
        self._lines = origins.lines(request, guarded=guard.required)
        preflight = origins.preflight(request)
        if preflight is None:
            return False
        self._answer_empty(preflight)
        return True

    def _answer_empty(self, extra: bytes) -> None:
        if not self._busy:
            return
        close = self._is_last()
        if not self._lingers:
            self._transport.write(nothing(extra + self._lines, close=close))
        self._answered(204, close=close)

    def _unpacked(self, request: Request, error: RefusalError | None) -> None:
        """A body that came compressed is whole."""
        if self._request is not request or not self._busy:
            return
        if error is None and not self._desk.crowd.reserve(len(request.body)):
            error = no_room()
        elif error is None:
            request.reserved += len(request.body)
        if error is None:
            self._desk.handle(self, request)
        else:
            self.refuse(error)

    def _packed(self, status: int, body: bytes, kind: bytes, extra: bytes) -> None:
        self._packing = False
        self.answer(status, body, kind, extra)

    def _is_last(self) -> bool:
        due = bool(self._waiting) or self._last is not None
        return not self._keep or ((self._desk.draining or self._ended) and not due)

    def _streamed(self, status: int) -> None:
        self._stream = None
        self._answered(status, close=not self._keep)

    def _answered(self, status: int, *, close: bool) -> None:
        self._busy = False
        self._desk.count(status)
        request, self._request = self._request, None
        if request is not None and request.reserved:
            self._release(request)
        self.since = 0.0
        if self._lingers:
            return
        if close:
            self._linger()
        elif self._waiting or self._last is not None or self._reader.expects:
            self._turn()

    def _turn(self) -> None:
        """The turn of those that wait, one after the other; never within another turn, however many they are."""
        if self._turning:
            return
        self._turning = True
        while self._waiting and not self._busy and not self._stuck and not self._lingers:
            request = self._waiting.popleft()
            self._weight -= len(request.body)
            self._begin(request)
        self._turning = False
        if self._busy or self._waiting or self._lingers:
            self._pace()
            return
        if self._last is not None:
            self.fail(self._last)
            return
        self._pace()
        self._reader.remind()

    def _pace(self) -> None:
        """Reads on, or not for a while."""
        full = len(self._waiting) >= _AHEAD or self._weight > self._desk.config.max_body
        pause = self._stuck or self._spooling or full
        if pause != self._paused and not self._lingers:
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _wait_for_answer(self, waited: float, limit: float) -> None:
        if self._stream is not None:
            if self._stream.rested() > limit:
                self._transport.abort()
        elif waited > limit:
            self._keep = False
            self.refuse(RefusalError(503, f"no answer within {limit:g} s"))
        elif self._ended and self._knocked < 2:
            self._knocked += 1  # a caller who has gone altogether is found out by sending twice; others take no notice
            if not self._reader.old:
                self._transport.write(_CONTINUE)

    def _forget(self) -> None:
        """What still waits is not answered: lets go what was kept for it."""
        self._reader.close()
        for one in self._waiting:
            if one.spool is not None:
                one.spool.close()
            self._release(one)
        self._waiting.clear()
        self._weight = 0

    def _release(self, request: Request) -> None:
        if request.reserved:
            self._desk.crowd.release(request.reserved)
            request.reserved = 0

    def _linger(self) -> None:
        """Ends our side and waits for the caller to end its own, so that the last answer is not lost to a reset."""
        self._lingers = True
        self.since = 0.0
        self._forget()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()
