"""From the bytes of a connection to whole requests: parsing, and the limits on what is taken in."""

from __future__ import annotations

import logging
import re
from typing import Protocol

import httptools

from trimtab.serving.http.connections.known_head import KnownHead, known_head
from trimtab.serving.http.connections.strangers import stranger
from trimtab.serving.http.crowd import no_room
from trimtab.serving.http.port import Desk
from trimtab.serving.http.request import Request
from trimtab.serving.http.spool import Spool
from trimtab.serving.refusals import RefusalError

IDLE, HEAD, BODY, OVER = range(4)  # over: what follows cannot be understood, or is not wanted any more
_LOG = logging.getLogger("trimtab.serving")
_SMALL = 65_536  # a longer body is not taken in before the token is seen and room is found
_SLACK = 65_536  # bytes around the chunks of a body, beside as many as it holds
_STEP = 262_144  # room is found for a body of unknown length in steps of so many bytes
_UPGRADES = 16
_STRANGE = 16
_HOP_BY_HOP = frozenset((b"connection", b"http2-settings", b"upgrade"))
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_MAY_BE_BARE = b"/v2/repository/"  # asked with no body and no length of one, as the protocol's own examples do
_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class Taker(Protocol):
    """Who gets what was read."""

    since: float

    def may_come(self, token: bytes, url: bytes) -> None:
        """Raises RefusalError where the body of such a request is not wanted."""
        ...

    def go_on(self) -> bool:
        """The caller waits to be told to send the body; false: not yet, `Reader.remind` will ask again."""
        ...

    def take(self, request: Request) -> None:
        """A whole request."""
        ...

    def wait(self, *, full: bool) -> None:
        """No more bytes should come while what came is written to the disk; or they may again."""
        ...

    def fail(self, error: RefusalError) -> None:
        """Nothing that follows can be understood, or it is not wanted."""
        ...


class Reader:
    """Gives whole requests to `taker`, in order; after the first fault nothing more."""

    __slots__ = (
        "_body", "_bytes", "_chunked", "_desk", "_encoding", "_fed", "_fields", "_fresh", "_good_host", "_head",
        "_hosts", "_known", "_last", "_length", "_new", "_origin", "_parser", "_raw", "_reserved", "_small", "_spool",
        "_strange", "_taker", "_token", "_unusual", "_upgrade", "_upgrades", "_url", "expects", "phase",
    )  # fmt: skip

    def __init__(self, desk: Desk, taker: Taker) -> None:
        self._desk = desk
        self._taker = taker
        self._parser = httptools.HttpRequestParser(self)
        self.phase = HEAD
        self.expects = False  # the caller waits to be told to send a body
        self._small = min(_SMALL, desk.config.max_body)
        self._new = True  # no request yet on this connection
        self._good_host = b""
        self._upgrades = 0
        self._spool: Spool | None = None
        self._reserved = 0
        self._unusual = True
        self._known: KnownHead | None = None
        self._strange = 0  # heads that were not the one before, since the last that was
        self._last: Request | None = None
        self._clear()

    def _clear(self) -> None:
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._bytes = 0
        self._head = 0  # bytes of header lines that were read
        self._fed = 0  # bytes that came while the head was not whole
        self._hosts = 0
        self._length = -1
        self._token = b""
        self._fresh = True
        if self._unusual:
            self._unusual = False
            self._encoding = b""
            self._origin = b""
            self._chunked = False
            self._upgrade = False
            self._raw = 0
            self.expects = False

    @property
    def begun(self) -> bool:
        """Whether a request has begun and is not whole yet."""
        return self.phase == BODY or bool(self._url)

    def remind(self) -> None:
        """Asks again whether a caller that waits to be told to send its body may be told."""
        if self.expects and self.phase == BODY and not self._bytes:
            self.expects = not self._taker.go_on()

    @property
    def old(self) -> bool:
        """Whether the last request was of HTTP/1.0, which knows no chunks."""
        return bool(self._parser.get_http_version() == "1.0")

    def feed(self, data: bytes) -> None:
        """Takes what came."""
        if self.phase == OVER:
            return
        alone = self.phase == IDLE
        if alone:
            self._taker.since = 0.0
            if self._known is not None:
                request = self._known.again(data)
                if request is not None:
                    self._strange = 0
                    self._taker.take(request)
                    return
                self._known = None
                self._strange += 1
            self.phase = HEAD
            self._last = None
        elif self.phase == BODY and self._chunked:
            self._raw += len(data)
        self._fresh = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._stumble(error, data)
        if self.phase == HEAD and not self._fresh:
            self._fed += len(data)
            if self._fed > 2 * self._desk.config.max_header:  # a single line that never ends
                self._fail_head()
        elif self.phase == BODY and self._chunked and self._raw > 2 * self._bytes + _SLACK:
            self._fail(RefusalError(400, "the chunks of the body hold less than there is around them"))
        elif alone and self.phase == IDLE:
            self._learn(data)

    def _learn(self, data: bytes) -> None:
        """Remembers the head of the request that `data` was, unless its caller never sends the same one twice."""
        request = self._last
        if request is not None and self._strange < _STRANGE:
            self._known = known_head(data, request, self._small)

    def close(self) -> None:
        """Nothing more is read: lets go what was kept for the request that is not whole."""
        self.phase = OVER
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self._desk.crowd.release(self._reserved)
        self._reserved = 0

    def _stumble(self, error: Exception, data: bytes) -> None:
        """The parser has stopped: at a wish for another protocol, which is left out, or at a fault."""
        while isinstance(error, httptools.HttpParserUpgrade) and self.phase != OVER:
            data = self._without_upgrade() + data[error.args[0] :]
            if self.phase != OVER:
                try:
                    self._parser.feed_data(data)
                except (httptools.HttpParserError, httptools.HttpParserUpgrade) as another:
                    error = another
                else:
                    return
        if isinstance(error, httptools.HttpParserCallbackError):
            _LOG.error("a request could not be taken", exc_info=error)
            self._fail(RefusalError(500, "the server failed"))
        else:
            self._fail(stranger(error, data if self._new else b"", self._desk.crowd.seldom))

    def _without_upgrade(self) -> bytes:
        """The head of a request that asks for another protocol, without that wish: we stay with HTTP/1.1, as a server
        may. The parser does not: a new one gets the request."""
        self._upgrades += 1
        if self._upgrades > _UPGRADES:
            self._fail(RefusalError(400, "no other protocol than HTTP/1.1 is spoken here"))
            return b""
        fields = [b"%b: %b" % field for field in self._fields if field[0].lower() not in _HOP_BY_HOP]
        if any(name.lower() == b"connection" and b"close" in value.lower() for name, value in self._fields):
            fields.append(b"connection: close")
        version = self._parser.get_http_version().encode()
        head = b"%b %b HTTP/%b\r\n%b\r\n\r\n" % (self._parser.get_method(), self._url, version, b"\r\n".join(fields))
        self._parser = httptools.HttpRequestParser(self)
        self._clear()
        return head

    # -- httptools

    def on_url(self, url: bytes) -> None:
        if self.phase < OVER:
            self.phase = HEAD
        self._url = self._url + url if self._url else url

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: PLR0912 - each line of each request passes here
        size = len(name)
        self._head += size + len(value) + 4
        if self.phase != HEAD:  # behind a chunked body: nothing there counts
            if self._head > self._desk.config.max_header:
                self._fail_head()
            return
        self._fields.append((name, value))
        if size == 14:
            if name.lower() == b"content-length":
                self._length = int(value)
        elif size == 4:
            if name.lower() == b"host":
                self._hosts += 1
                if value != self._good_host:
                    self._check_host(value)
        elif size == 13:
            if name.lower() == b"authorization":
                self._token = self._once(self._token, name, value)
        elif size == 6:
            self._on_short(name.lower(), value)
        elif size == 17:
            if name.lower() == b"transfer-encoding":
                self._unusual = True
                if self._chunked or value.lower() != b"chunked":
                    self._fail(RefusalError(501, "transfer-encoding: only `chunked`, and only once, is understood"))
                self._chunked = True
        elif size == 16:
            if name.lower() == b"content-encoding":
                self._unusual = True
                self._encoding = self._once(self._encoding, name, value)
        elif size == 7 and name.lower() == b"upgrade":
            self._unusual = self._upgrade = True

    def on_headers_complete(self) -> None:
        if self.phase == OVER or (self._upgrade and self._parser.should_upgrade()):
            return
        self.phase = BODY
        self._taker.since = 0.0
        config = self._desk.config
        if self._head > config.max_header or len(self._url) > config.max_header:
            self._fail_head()
            return
        if self._url[:1] != b"/":
            self._check_form()
        if self._new or self._hosts != 1 or self._chunked:
            self._check_version()
        if self._chunked or self.expects or self._length > self._small:
            self._unusual = True
            self._let_come(config.max_body)
        if self.expects:
            self.remind()

    def on_body(self, body: bytes) -> None:
        if self.phase == OVER:
            return
        self._bytes += len(body)
        if self._spool is not None:
            self._set_aside(self._spool, body)
            return
        self._body.append(body)
        if self._chunked:
            if self._bytes > self._desk.config.max_body:
                self._fail_body()
            elif self._bytes > self._reserved:
                self._reserve(_STEP)

    def on_message_complete(self) -> None:
        if self.phase == OVER or (self._upgrade and self._parser.should_upgrade()):
            return
        self.phase = IDLE
        self._taker.since = 0.0
        method, parts = self._parser.get_method(), self._body
        if method == b"POST":
            if self._length < 0 and not self._chunked and not self._url.startswith(_MAY_BE_BARE):
                self._fail(RefusalError(411, "a POST needs content-length or transfer-encoding: chunked"))
                return
        elif method == b"CONNECT":  # what follows is another protocol to the parser, and a body to others
            self._fail(RefusalError(400, "CONNECT is not spoken here: this server is no proxy"))
            return
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        request = Request(method, self._url, self._fields, body, self._parser.should_keep_alive(), self._token)
        if self._unusual or method == b"HEAD":
            self._equip(request)
        self._last = request if self._last is None and not self._unusual and request.method == b"POST" else None
        self._new = False
        self._clear()
        self._taker.take(request)

    def _equip(self, request: Request) -> None:
        if request.method == b"HEAD":
            request.method, request.bare = b"GET", True
        request.encoding, request.origin = self._encoding, self._origin
        request.reserved, self._reserved = self._reserved, 0
        request.spool, self._spool = self._spool, None

    # -- what is wrong

    def _on_short(self, name: bytes, value: bytes) -> None:
        if name == b"origin":
            self._unusual = True
            self._origin = value
        elif name == b"expect":
            if value.lower() == b"100-continue":
                self._unusual = self.expects = True
            else:
                self._fail(RefusalError(417, "of `expect` only 100-continue is understood"))

    def _once(self, before: bytes, name: bytes, value: bytes) -> bytes:
        if before:
            self._fail(RefusalError(400, f"header {name.decode('latin-1').lower()} is given twice"))
        return value

    def _check_host(self, value: bytes) -> None:
        if _HOST.fullmatch(value):
            self._good_host = value
        else:
            self._fail(RefusalError(400, "header host is not that of a server"))

    def _check_form(self) -> None:
        """The request's target may also be a whole URL, of which the path is ours, or `*`."""
        found = _ABSOLUTE.match(self._url)
        if found is not None:
            rest = self._url[found.end() :]
            self._url = rest if rest.startswith(b"/") else b"/" + rest
        elif self._url != b"*" or self._parser.get_method() != b"OPTIONS":
            self._fail(RefusalError(400, "the request line names no address of this server"))

    def _check_version(self) -> None:
        version = self._parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            self._fail(RefusalError(505, f"HTTP/{version} is not spoken here", hint="use HTTP/1.1"))
        elif self._hosts > 1 or (self._hosts == 0 and version == "1.1"):
            self._fail(RefusalError(400, f"a request has one header host, not {self._hosts}"))
        elif self._chunked and version == "1.0":
            self._fail(RefusalError(400, "HTTP/1.0 knows no transfer-encoding"))

    def _let_come(self, most: int) -> None:
        """Finds room for the large body that begins, where the caller may send it at all."""
        if self.phase == OVER:
            return
        try:
            self._taker.may_come(self._token, self._url)
            if self._length > most or self._chunked:
                self._spool = self._desk.spool(self._url)
        except RefusalError as error:
            self._fail(error)
            return
        if self._spool is None:
            if self._length > most:
                self._fail_body()
            else:
                self._reserve(max(self._length, _SMALL))

    def _reserve(self, size: int) -> None:
        if self._desk.crowd.reserve(size):
            self._reserved += size
        else:
            self._fail(no_room())

    def _set_aside(self, spool: Spool, data: bytes) -> None:
        try:
            if spool.take(data, self._written):
                self._taker.since = 0.0  # a body this long may take its time, as long as it comes
                self._taker.wait(full=True)
        except RefusalError as error:
            self._written(error)

    def _written(self, error: RefusalError | None) -> None:
        self._taker.wait(full=False)
        if error is not None and self.phase != OVER:
            self._fail(error)

    def _fail_head(self) -> None:
        self._fail(RefusalError(431, f"the request's head is larger than {self._desk.config.max_header:,} bytes"))

    def _fail_body(self) -> None:
        limit = self._desk.config.max_body
        self._fail(RefusalError(413, f"the body is larger than {limit:,} bytes", hint="send fewer rows at a time"))

    def _fail(self, error: RefusalError) -> None:
        if self.phase != OVER:
            self.close()
            self._taker.fail(error)
