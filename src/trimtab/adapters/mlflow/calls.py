"""Calls to MLflow's REST API, its faults told in this house's errors.

The API is small and has been kept stable since MLflow 2; the vendor's own package brings several hundred megabytes, and
gathers the user, the host and the source of whoever calls it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import orjson
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, SSLError

from trimtab.errors import DeclarationError, TemporaryError
from trimtab.experiments.port import TrackerError

_API = "/api/2.0/mlflow/"
_FILES = "/api/2.0/mlflow-artifacts/artifacts/"
_SECONDS = 30.0
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_MISSING = "RESOURCE_DOES_NOT_EXIST"
_PIECE = 2**20
_MOST_BYTES = 2**28
_HERE = ("localhost", "127.0.0.1", "::1")
TOKEN, USER, PASSWORD = "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
"""Where MLflow's own clients look for keys."""


class NotThere(TrackerError):  # noqa: N818 - it says what is
    """The server knows of no such thing."""


class Calls:
    """One MLflow server at `url`, asked with the keys that the environment holds. Nothing is reached before the first
    question; a question and its answer may take `seconds`. A context manager that closes."""

    def __init__(self, url: str, environment: Mapping[str, str] = os.environ, *, seconds: float = _SECONDS) -> None:
        self.url = url.rstrip("/")
        keys = _keys(environment)
        self._headers = {"User-Agent": "trimtab", **keys}
        self._named = [name for name in (TOKEN, USER, PASSWORD) if environment.get(name)]
        if keys and urlsplit(url).scheme == "http" and urlsplit(url).hostname not in _HERE:
            raise DeclarationError(
                f"the keys of MLflow at {self.url} would be sent without encryption",
                hint=f"write https:// instead of http://, or unset {TOKEN} and {USER}",
            )
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, retries=False)
        self._timeout = urllib3.Timeout(total=seconds)

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._pool.clear()

    def get(self, path: str, /, **query: Any) -> Any:
        """What the API tells at a path."""
        return self._asked("GET", _API + path, fields={name: str(value) for name, value in query.items()})

    def send(self, path: str, body: Any, method: str = "POST") -> Any:
        """Tell the API something; its answer."""
        headers = {"Content-Type": "application/json"}
        return self._asked(method, _API + path, body=orjson.dumps(body), headers=headers)

    def find(self, path: str, /, **query: Any) -> Any | None:
        """What the API tells at a path, None where there is no such thing."""
        try:
            return self.get(path, **query)
        except NotThere:
            return None

    def pages(self, path: str, name: str, body: Mapping[str, Any], page: int, *, ask: bool = False) -> Iterator[Any]:
        """Everything in the list `name`, over all of its pages: sent for, or (`ask`) asked with a query."""
        token = ""
        while True:
            wanted = {**body, "max_results": page, **({"page_token": token} if token else {})}
            found = self.get(path, **wanted) if ask else self.send(path, wanted)
            yield from found.get(name, ())
            token = found.get("next_page_token", "")
            if not token:
                return

    def version(self) -> str:
        """The server's version."""
        return self._sent("GET", "/version").decode("utf-8", "replace").strip()[:40]

    def put_file(self, place: str, content: bytes | Path) -> None:
        """Have the server keep a file at a place of its artifacts (see `place_of`)."""
        if isinstance(content, bytes):
            self._sent("PUT", _FILES + quote(place), body=content)
            return
        with content.open("rb") as file:
            size = str(content.stat().st_size)
            self._sent("PUT", _FILES + quote(place), body=file, headers={"Content-Length": size})

    def get_file(self, run: str, path: str) -> Iterator[bytes]:
        """The bytes of a run's artifact, wherever the server keeps it, piece by piece."""
        return self._pieces("/get-artifact", f"the artifact {path!r}", {"run_id": run, "path": path})

    def get_kept(self, place: str) -> Iterator[bytes]:
        """The bytes of a file at a place of the server's own artifacts."""
        return self._pieces(_FILES + quote(place), f"the file {place!r}", {})

    def list_kept(self, place: str) -> list[Any]:
        """What lies in a folder of the server's own artifacts."""
        return list(self._asked("GET", _FILES.rstrip("/"), fields={"path": place}).get("files", ()))

    def _pieces(self, path: str, what: str, fields: Mapping[str, str]) -> Iterator[bytes]:
        response = self._response("GET", path, fields=fields)
        try:
            if response.status != 200:
                self._judge(response, response.read(_PIECE), what)
            while piece := response.read(_PIECE):
                yield piece
        except (HTTPError, OSError) as error:
            raise self._unreached(error) from error
        finally:
            response.close()  # what is left of it is not for the next question
            response.release_conn()

    def place_of(self, uri: str) -> str | None:
        """Where a run's artifacts lie among those that this server itself takes, None where it takes none."""
        parts = urlsplit(uri)
        if parts.scheme == "mlflow-artifacts" and parts.netloc in ("", urlsplit(self.url).netloc):
            return unquote(parts.path).strip("/")
        return None

    def _asked(self, method: str, path: str, **sent: Any) -> Any:
        body = self._sent(method, path, **sent)
        try:
            return orjson.loads(body) if body else {}
        except orjson.JSONDecodeError as error:
            raise TrackerError(
                f"{self.url} answered {path.rpartition('/')[2]} with no JSON", hint="is this the address of MLflow?"
            ) from error

    def _sent(self, method: str, path: str, **sent: Any) -> bytes:
        response = self._response(method, path, **sent)
        try:
            body = response.read(_MOST_BYTES)
        except (HTTPError, OSError) as error:
            response.close()
            raise self._unreached(error) from error
        finally:
            response.release_conn()
        if response.status not in (200, 201, 204):
            self._judge(response, body, path.removeprefix(_API).removeprefix("/"))
        return body

    def _response(self, method: str, path: str, **sent: Any) -> urllib3.BaseHTTPResponse:
        headers = {**self._headers, **sent.pop("headers", {})}
        try:
            return self._pool.request(
                method, self.url + path, headers=headers, timeout=self._timeout, redirect=False,
                preload_content=False, **sent,
            )  # fmt: skip
        except (HTTPError, OSError) as error:
            raise self._unreached(error) from error

    def _unreached(self, error: Exception) -> TrackerError | TemporaryError:
        if isinstance(error, SSLError):
            return TrackerError(f"MLflow at {self.url}: its certificate or its encryption cannot be trusted")
        if isinstance(error, LocationParseError):
            return TrackerError(f"{self.url} is no address")
        return TemporaryError(f"MLflow at {self.url} cannot be reached, or broke off its answer", delay=30.0)

    def _judge(self, response: urllib3.BaseHTTPResponse, body: bytes, what: str) -> None:
        code, said = _told(body)
        status = response.status
        if status in (401, 403):
            named = ", ".join(self._named)
            hint = f"look at what {named} holds" if named else f"set {TOKEN}, or {USER} and {PASSWORD}"
            raise TrackerError(f"MLflow at {self.url} refuses these keys ({status})", hint=hint)
        if code == _MISSING or status == 404:
            raise NotThere(f"MLflow at {self.url} has no {what}: {said or status}")
        if status in _BUSY and code != "INVALID_PARAMETER_VALUE":
            raise TemporaryError(f"MLflow at {self.url} is in trouble with {what}: {status} {said}", delay=30.0)
        raise TrackerError(f"MLflow at {self.url} refuses {what}: {status} {said}")


def address_of(text: str, environment: Mapping[str, str] = os.environ, line: int = 0) -> str:
    """The server's address: `text`, or what MLFLOW_TRACKING_URI holds. Raises DeclarationError for no such address."""
    address = text.strip() or environment.get("MLFLOW_TRACKING_URI", "").strip()
    hint = 'write "mlflow:http://127.0.0.1:5000", or set MLFLOW_TRACKING_URI'
    try:
        parts = urlsplit(address)
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound:
        raise DeclarationError(f'"mlflow:{text}" names no server of MLflow', line=line, hint=hint)
    if "@" in parts.netloc:
        raise DeclarationError("the address of MLflow holds keys", line=line, hint=f"set {USER} and {PASSWORD} instead")
    return urlunsplit(parts._replace(query="", fragment="")).rstrip("/")


def batches(items: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """The items in lists of at most `most`."""
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == most:
            yield batch
            batch = []
    if batch:
        yield batch


def _keys(environment: Mapping[str, str]) -> dict[str, str]:
    user, password = environment.get(USER, ""), environment.get(PASSWORD, "")
    if user and password:
        return urllib3.make_headers(basic_auth=f"{user}:{password}")
    token = environment.get(TOKEN, "").strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _told(body: bytes) -> tuple[str, str]:
    """The error code and the beginning of what a server said."""
    try:
        found = orjson.loads(body)
        return str(found["error_code"]), " ".join(str(found.get("message", "")).split())[:300]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        text = " ".join(body[:2000].decode("utf-8", "replace").split())
        return "", "" if text.startswith("<") else text[:200]
