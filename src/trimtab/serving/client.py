"""A small synchronous client: one keep-alive connection, and patience with a server that is being restarted."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import orjson

from trimtab.errors import PermanentError, TemporaryError
from trimtab.records.server import ServerStatus

_PAUSE = 0.02
Time = datetime | Sequence[datetime] | None


class Prediction(NamedTuple):
    """One row's answer. `score` is a list for several classes; `label` is None for regression."""

    id: str
    score: float | list[float]
    label: str | int | None
    release: str
    model: str


class Truth(NamedTuple):
    """What became of a prediction; `time` None: now."""

    id: str
    truth: float | str | bool
    time: datetime | None = None


class AnswerError(PermanentError):
    """The server refused the request: `status` is its HTTP status."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Client:
    """Talks to one server; not for several threads at once.

    A request that meets a refused, reset or silent connection, or a server that is not ready (503), is sent again for
    up to `patience` seconds. That is safe: every prediction has an id, made here when the caller gives none, and
    telemetry keeps an id once. Raises AnswerError when the server refuses, TemporaryError when patience runs out.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 30.0, patience: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise PermanentError(f"{url!r} is not the address of a server", hint="expected http://host:port")
        self.url = url
        self.timeout = timeout
        self.patience = patience
        self._address = (parts.hostname, parts.port or 80)
        self._head = f"host: {parts.netloc}\r\ncontent-type: application/json\r\n".encode()
        if token:
            self._head += f"authorization: Bearer {token}\r\n".encode()
        self._socket: socket.socket | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def predict(
        self, rows: Sequence[Mapping[str, Any]], ids: Sequence[str] | None = None, time: Time = None
    ) -> list[Prediction]:
        """Predictions for rows. `time` is when they happened: one moment, or one a row (None: now)."""
        names = _names(ids, len(rows))
        body: dict[str, object] = {"rows": rows, "ids": names}
        if time is not None:
            body["time"] = time
        answer = orjson.loads(self._send(b"POST", b"/predict", orjson.dumps(body)))
        return [
            Prediction(one["id"], one["score"], one.get("label"), one["release"], one["model"])
            for one in answer["predictions"]
        ]

    def infer_columns(
        self,
        system: str,
        columns: Mapping[str, Sequence[Any]],
        ids: Sequence[str] | None = None,
        time: Time = None,
        model: str | None = None,
    ) -> dict[str, list[Any]]:
        """The outputs by name (`score`, `label`, `prediction_id`) for whole columns, through the Open Inference
        Protocol. `model` pins a version."""
        inputs = [_tensor(name, list(values)) for name, values in columns.items()]
        return self._infer(system, inputs, len(next(iter(columns.values()), ())), ids, time, model)

    def infer_encoded(
        self,
        system: str,
        matrix: Sequence[Sequence[float]],
        ids: Sequence[str] | None = None,
        time: Time = None,
        model: str | None = None,
    ) -> dict[str, list[Any]]:
        """The same for rows that are encoded already, [rows, features]."""
        shape = [len(matrix), len(matrix[0]) if len(matrix) else 0]
        data = [cell for row in matrix for cell in row]
        tensor = {"name": "input", "datatype": "FP32", "shape": shape, "data": data}
        return self._infer(system, [tensor], len(matrix), ids, time, model)

    def feedback(self, items: Sequence[Truth]) -> list[str]:
        """Tells what became of predictions; returns the ids the server never gave out (it keeps their truth too)."""
        told = []
        for one in items:
            item: dict[str, object] = {"id": one.id, "truth": one.truth}
            if one.time is not None:
                item["time"] = one.time
            told.append(item)
        answer = orjson.loads(self._send(b"POST", b"/feedback", orjson.dumps({"items": told})))
        return list(answer["unknown"])

    def status(self) -> ServerStatus:
        """What the server says about itself."""
        return msgspec.json.decode(self._send(b"GET", b"/trimtab/status", b""), type=ServerStatus)

    def metrics(self) -> str:
        """The counters as Prometheus text."""
        return self._send(b"GET", b"/metrics", b"").decode()

    def settle(self, timeout: float = 60.0) -> None:
        """Waits until every shadow release has scored all that was answered. Raises TemporaryError after `timeout`."""
        until = time.monotonic() + timeout
        while self.status().backlog:
            if time.monotonic() > until:
                raise TemporaryError(f"shadow releases are not done after {timeout:g} s")
            time.sleep(0.002)

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Waits until a release is live. Raises TemporaryError after `timeout`, with the server's reason."""
        before, self.patience = self.patience, timeout
        try:
            self._send(b"GET", b"/v2/health/ready", b"")
        finally:
            self.patience = before

    def _infer(  # noqa: PLR0917 - the two ways to ask, put together
        self,
        system: str,
        inputs: list[dict[str, Any]],
        count: int,
        ids: Sequence[str] | None,
        time: Time,
        model: str | None,
    ) -> dict[str, list[Any]]:
        parameters: dict[str, object] = {"prediction_ids": _names(ids, count)}
        if time is not None:
            parameters["time"] = time
        path = f"/v2/models/{system}/infer" if model is None else f"/v2/models/{system}/versions/{model}/infer"
        body = orjson.dumps({"inputs": inputs, "parameters": parameters})
        answer = orjson.loads(self._send(b"POST", path.encode(), body))
        return {one["name"]: one["data"] for one in answer["outputs"]}

    def _send(self, method: bytes, path: bytes, body: bytes) -> bytes:
        request = b"%b %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n%b" % (method, path, self._head, len(body), body)
        until = time.monotonic() + self.patience
        while True:
            try:
                status, answer = self._exchange(request)
            except OSError as error:
                self.close()
                trouble = f"{self.url} does not answer: {error}"
            else:
                if status == 200:
                    return answer
                message, hint = _told(answer)
                if status != 503:
                    raise AnswerError(status, message, hint)
                trouble = message
            if time.monotonic() + _PAUSE > until:
                raise TemporaryError(trouble)
            time.sleep(_PAUSE)

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        """Sends and receives once. Raises OSError when the connection fails in any way."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, self.timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        data = self._receive()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._receive()
        head = data[:end].lower()
        start = head.index(b"content-length:") + 15
        size = int(head[start:].split(b"\r\n", 1)[0])
        parts, missing = [data[end + 4 :]], size - (len(data) - end - 4)
        while missing > 0:
            parts.append(self._receive())
            missing -= len(parts[-1])
        if b"connection: close" in head:
            self.close()
        return int(head[9:12]), b"".join(parts)

    def _receive(self) -> bytes:
        assert self._socket is not None
        data = self._socket.recv(262_144)
        if not data:
            raise ConnectionResetError("the connection was closed")
        return data


def _names(ids: Sequence[str] | None, count: int) -> list[str]:
    return [uuid.uuid4().hex for _ in range(count)] if ids is None else list(ids)


def _told(answer: bytes) -> tuple[str, str]:
    try:
        told = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return answer[:200].decode("latin-1"), ""
    return str(told.get("error", told)), str(told.get("hint", ""))


def _tensor(name: str, values: list[Any]) -> dict[str, Any]:
    sample = next((value for value in values if value is not None), 0.0)
    if isinstance(sample, bool):
        datatype = "BOOL"
    elif isinstance(sample, str | datetime):
        datatype = "BYTES"
    else:
        datatype = "FP64"
    return {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}
