"""One question over HTTP and its answer: within a time and a size, at the host that was declared, tried again where
that may help. No secret reaches an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import orjson
import urllib3
from urllib3.exceptions import DecodeError, HTTPError, LocationParseError, NewConnectionError, SSLError, TimeoutError

from trimtab.adapters.http.kind import HttpOptions
from trimtab.data.port import DataError
from trimtab.data.sources.patience import Pace, Patience, Waiting
from trimtab.errors import TemporaryError, TrimtabError

_MOST_REDIRECTS = 5
_PIECE = 2**16
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Answer:
    """What an address gave, as JSON; `next` is the address in its `Link` header, if any."""

    content: Any
    next: str = ""


@dataclass(frozen=True)
class Secrets:
    """What the environment holds for the headers and parameters of every question."""

    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, options: HttpOptions, environment: Mapping[str, str]) -> Secrets:
        """Raises DataError with the name of a variable that is not set."""

        def held(variable: str) -> str:
            value = environment.get(variable, "").strip()
            if not value:
                raise DataError(f"the environment variable {variable}, which holds a secret, is not set")
            if not value.isascii() or not value.isprintable():
                raise DataError(f"the environment variable {variable} holds what cannot be sent")
            return value

        headers = {name: held(variable) for name, variable in options.headers_env.items()}
        if options.token_env:
            headers["Authorization"] = f"Bearer {held(options.token_env)}"
        return cls(headers, {name: held(variable) for name, variable in options.parameters_env.items()})


class Asking:
    """Asks one host. `address` is the declared one: no question goes to another scheme, host or port."""

    def __init__(self, address: str, options: HttpOptions, secrets: Secrets, waiting: Waiting | None = None) -> None:
        self._waiting = waiting or Waiting()
        self._origin = _origin(address)
        self._options = options
        self._secrets = secrets
        self._patience = Patience(tries=options.tries, waiting=self._waiting)
        self._pace = Pace(options.rate, self._waiting)
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, retries=False)

    def get(self, address: str) -> Answer:
        """Raises TemporaryError once patience has ended, and DataError for what trying again does not mend."""
        return self._patience.ask(lambda: self._once(address))

    def close(self) -> None:
        """Let go of the connection."""
        self._pool.clear()

    def without_secrets(self, address: str) -> str:
        """The address without the secret parameters, as it may be kept."""
        parts = urlsplit(address)
        secret = self._secrets.parameters
        kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in secret]
        return urlunsplit(parts._replace(query=urlencode(kept), fragment=""))

    def _once(self, address: str) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            if _origin(address) != self._origin:
                raise DataError(
                    f"{shown(address)} lies elsewhere than the declared {self._origin}: it was not asked",
                    hint="declare the address that really answers",
                )
            self._pace.wait()
            found = self._sent(address)
            if not isinstance(found, str):
                return found
            address = urljoin(address, found)
        raise DataError(f"{shown(address)} redirects more than {_MOST_REDIRECTS} times")

    def _sent(self, address: str) -> Answer | str:
        """The answer, or where it redirects to."""
        options, end = self._options, self._waiting.clock() + self._options.timeout
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "trimtab"}
        headers |= {**options.headers, **self._secrets.headers}
        timeout = urllib3.Timeout(total=options.timeout)
        try:
            response = self._pool.request(
                "GET", self._with_secrets(address), headers=headers, timeout=timeout, redirect=False,
                preload_content=False,
            )  # fmt: skip
            try:
                if response.status in _REDIRECTS and response.headers.get("Location"):
                    response.drain_conn() if response.headers.get("Content-Length") == "0" else response.close()
                    return str(response.headers["Location"])
                body = self._read(response, address, end)
            finally:
                response.release_conn()
        except TrimtabError:
            raise
        except (HTTPError, OSError) as error:
            raise self._failed(error, address) from self._harmless(error)
        self._judge(response, body, address)
        return self._understood(response, body, address)

    def _read(self, response: urllib3.BaseHTTPResponse, address: str, end: float) -> bytes:
        body = bytearray()
        try:
            while piece := response.read1(_PIECE, decode_content=True):  # what there is, so that one who drips is seen
                body += piece
                self._check_bounds(len(body), address, end)
        except BaseException:
            response.close()  # what is left of the answer is not for the next question
            raise
        return bytes(body)

    def _check_bounds(self, size: int, address: str, end: float) -> None:
        most = self._options.largest
        if size > most:
            raise DataError(
                f"{shown(address)} answered with more than {most / 2**20:.4g} MiB, unpacked",
                hint="ask for smaller pages, or raise `largest` in options",
            )
        if self._waiting.clock() > end:
            raise TemporaryError(f"{shown(address)} did not finish its answer in time", delay=0.0)

    def _failed(self, error: Exception, address: str) -> TrimtabError:
        where = shown(address)
        if isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError):
            return TemporaryError(f"{where} did not answer within {self._options.timeout:g} s", delay=0.0)
        if isinstance(error, SSLError):
            return DataError(f"{where}: its certificate or its encryption cannot be trusted")
        if isinstance(error, LocationParseError):
            return DataError(f"{where} is no address")
        if isinstance(error, DecodeError):
            return TemporaryError(f"{where} answered with what cannot be unpacked", delay=0.0)
        return TemporaryError(f"{where} cannot be reached, or broke off its answer", delay=0.0)

    def _harmless(self, error: Exception) -> Exception:
        """The library's error, or its kind alone where its text holds a secret."""
        told = f"{error!r}{error}"
        values = (*self._secrets.headers.values(), *self._secrets.parameters.values())
        return ConnectionError(type(error).__name__) if any(value in told for value in values) else error

    def _judge(self, response: urllib3.BaseHTTPResponse, body: bytes, address: str) -> None:
        status = response.status
        if 200 <= status < 300:
            return
        what = f"{shown(address)} answered {status}{_phrase(status)}"
        if status in _TEMPORARY:
            raise TemporaryError(what, delay=retry_after(response.headers.get("Retry-After", ""), datetime.now(UTC)))
        if status in (401, 403):
            options = self._options
            named = (options.token_env, *options.headers_env.values(), *options.parameters_env.values())
            variables = ", ".join(name for name in named if name)
            hint = f"look at what {variables} holds" if variables else "declare token_env, or headers_env, in options"
            raise DataError(what, hint=hint)
        raise DataError(f"{what}{self._said(body)}")

    def _said(self, body: bytes) -> str:
        """The beginning of what a server said, without secrets that it repeated."""
        text = " ".join(body[:2000].decode("utf-8", "replace").split())
        for value in (*self._secrets.headers.values(), *self._secrets.parameters.values()):
            text = text.replace(value, "***").replace(value.removeprefix("Bearer "), "***")
        return f": {text[:200]}" if text and not text.startswith("<") else ""

    def _understood(self, response: urllib3.BaseHTTPResponse, body: bytes, address: str) -> Answer:
        if response.status == HTTPStatus.NO_CONTENT:
            return Answer(content=None)
        try:
            content = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html":
                raise DataError(f"{shown(address)} answered with a page for people, not with JSON") from error
            raise TemporaryError(f"{shown(address)} answered with what is not whole JSON", delay=0.0) from error
        return Answer(content=content, next=linked(response.headers.get("Link", "")))

    def _with_secrets(self, address: str) -> str:
        secret = self._secrets.parameters
        return with_parameters(address, secret) if secret else address


def shown(address: str) -> str:
    """An address as it may be told: without its query, which may hold anything."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]))


def with_parameters(address: str, parameters: Mapping[str, str]) -> str:
    """The address with these query parameters in place of those of the same names."""
    parts = urlsplit(address)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*kept, *parameters.items()]), fragment=""))


def retry_after(text: str, now: datetime) -> float:
    """The seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3), as a number or a date; 0 if none."""
    text = text.strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


def linked(header: str) -> str:
    """The address of the next page in a `Link` header (RFC 8288), empty where there is none."""
    rest = header
    while rest:
        _, opened, rest = rest.partition("<")
        address, closed, rest = rest.partition(">")
        if not opened or not closed:
            return ""
        parameters, _, _ = rest.partition("<")
        for part in parameters.split(";")[1:]:
            name, _, value = part.strip().rstrip(",").partition("=")
            if name.strip().lower() == "rel" and "next" in value.strip().strip('"').lower().split():
                return address.strip()
    return ""


def _origin(address: str) -> str:
    try:
        parts = urlsplit(address)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return ""
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}" if host and port else ""


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""
