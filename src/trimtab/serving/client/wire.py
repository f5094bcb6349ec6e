"""HTTP/1.1 as a client needs it, apart from any socket: requests to bytes, bytes to answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httptools
import orjson

from trimtab.errors import PermanentError
from trimtab.serving.client.answers import AnswerError

if TYPE_CHECKING:
    import ssl

TOKEN = "TRIMTAB_TOKEN"
_ITS_NAMES = "ask the server by a name that its certificate holds"
_MENDS = {
    9: "its time has not come: look at this machine's clock, or let the server show another",
    10: "let the server show a new one: files that are replaced are read anew",
    62: _ITS_NAMES,
    64: _ITS_NAMES,
}  # by OpenSSL's X509_V_ERR_...: CERT_NOT_YET_VALID, CERT_HAS_EXPIRED, HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH
_NO_TLS = frozenset(("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"))
JSON_SIZE = b"inference-header-content-length"


class Address:
    """Where a server is, and what every request to it begins with. `token` None: that of the environment variable
    TRIMTAB_TOKEN, if it is set; empty: none. `ca` is a file of certificates to trust for https instead of the system's.
    Raises PermanentError for what is no address."""

    def __init__(self, url: str, token: str | None = None, ca: str | os.PathLike[str] | None = None) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise _no_address(url) from error
        if parts.scheme not in ("http", "https") or parts.hostname is None or parts.path.strip("/") or parts.query:
            raise _no_address(url)
        self.url = url
        self.host = parts.hostname
        self.port = port or (443 if parts.scheme == "https" else 80)
        self.tls = _tls(ca) if parts.scheme == "https" else None
        head = f"host: {parts.netloc.rpartition('@')[2]}\r\n"
        token = os.environ.get(TOKEN, "").strip() if token is None else token
        if token:
            head += f"authorization: Bearer {token}\r\n"
        if not head.isascii() or head.count("\n") != 1 + bool(token):
            raise PermanentError("the token holds characters that no token has")
        self._head = head.encode()

    def request(self, method: bytes, path: bytes, body: bytes, head: bytes, more: int = 0) -> bytes:
        """The bytes of a request; `head` holds further header lines, each with its end. `more` bytes of the body are
        sent by the caller."""
        return b"%b %b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n%b" % (
            method, path, self._head, head, len(body) + more, body,
        )  # fmt: skip

    def untrusted(self, error: OSError) -> PermanentError | None:
        """What a caller is told when it is the server's certificate that is wrong, or it has none: asking again mends
        nothing."""
        if getattr(error, "reason", None) in _NO_TLS:
            return PermanentError(f"{self.url} does not speak TLS", hint=f"ask http{self.url[5:]}")
        why = getattr(error, "verify_message", None)
        if why is None:
            return None
        hint = _MENDS.get(getattr(error, "verify_code", 0), "pass the file of its authority as `ca`")
        return PermanentError(f"{self.url} shows a certificate that is not trusted: {why}", hint=hint)


class Answer:
    """Takes the bytes of one answer as they come; whole once `done`. `keep` tells whether another request may follow
    on the connection, `wait` what `retry-after` said, in seconds, `json_size` where the bytes of tensors begin.
    The body of a good answer goes to `sink`, where there is one."""

    __slots__ = ("_parser", "_parts", "done", "json_size", "keep", "sink", "status", "wait")

    def __init__(self, sink: Callable[[bytes], None] | None = None) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.sink = sink
        self._parts: list[bytes] = []
        self.done = False
        self.keep = False
        self.status = 0
        self.wait: float | None = None
        self.json_size: int | None = None

    def feed(self, data: bytes) -> None:
        """Takes what came; nothing stands for the end. Raises ConnectionError for what is not an HTTP answer."""
        if not data:
            raise ConnectionResetError("the connection was closed")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:  # it is our own: what keeps the answer has failed
            raise (error.__context__ or error) from None
        except httptools.HttpParserError as error:
            raise ConnectionError(f"its answer is not HTTP: {error}") from error

    @property
    def begun(self) -> bool:
        """Whether anything of it has come."""
        return bool(self.status or self._parts)

    @property
    def body(self) -> bytes:
        """The body."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def error(self) -> AnswerError:
        """The refusal that it is, in the server's words."""
        try:
            told = orjson.loads(self.body)
            message, hint = str(told.get("error", told)), str(told.get("hint", ""))
        except (orjson.JSONDecodeError, AttributeError):
            message, hint = self.body[:200].decode("latin-1") or f"status {self.status}", ""
        return AnswerError(self.status, message, hint)

    # -- httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 11 and name.lower() == b"retry-after":
            try:
                self.wait = max(0.0, float(value))
            except ValueError:  # a date, which our server never sends
                self.wait = None
        elif len(name) == len(JSON_SIZE) and name.lower() == JSON_SIZE:
            self.json_size = int(value)

    def on_body(self, body: bytes) -> None:
        if self.sink is not None and self._parser.get_status_code() == 200:
            self.sink(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.keep = self._parser.should_keep_alive()
        self.done = self.status >= 200


def _no_address(url: str) -> PermanentError:
    return PermanentError(f"{url!r} is not the address of a server", hint="expected http://host:port")


def _tls(ca: str | os.PathLike[str] | None) -> ssl.SSLContext:
    import ssl  # 10 ms that callers over plain HTTP do not wait for

    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise PermanentError(f"{ca}: no certificates can be read there: {error}") from error
