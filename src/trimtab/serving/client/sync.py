"""`trimtab.Client`: calls that wait for their answer."""

from __future__ import annotations

import os
import socket
import time as clock
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.errors import TemporaryError
from trimtab.records.server import ServerStatus
from trimtab.serving.client import calls, tensors
from trimtab.serving.client.answers import Inference, Prediction, Truth
from trimtab.serving.client.calls import Call, Terms, Time
from trimtab.serving.client.patience import Patience
from trimtab.serving.client.wire import Address, Answer

if TYPE_CHECKING:
    import polars as pl  # for types only
    from numpy.typing import ArrayLike, NDArray

_CHUNK = 262_144
T = TypeVar("T")


class Client:
    """Talks to one server; any number of threads may use one client. Connections are kept and used again.

    A request that meets a refused, reset or silent connection, or a server that is busy or not ready (429, 503), is
    sent again for up to `patience` seconds, at the server's own `retry-after`. That is safe: every row has an id, made
    here when the caller gives none, and the server keeps and counts an id once. `timeout` is how long one silence of
    the server is borne, in seconds. `token`: the bearer token (None: that of the environment variable TRIMTAB_TOKEN).

    Raises AnswerError when the server refuses, with its message and hint; TemporaryError when patience runs out.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        patience: float = 10.0,
        connections: int = 16,
        ca: str | os.PathLike[str] | None = None,
    ) -> None:
        """`connections`: how many are kept while nobody uses them. `ca`: certificates to trust for https instead of the
        system's."""
        self._address = Address(url, token, ca)
        self.url = url
        self.timeout = timeout
        self.patience = patience
        self._idle: deque[socket.socket] = deque(maxlen=connections)
        self._system = ""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections that nobody uses; the next request opens another."""
        while self._idle:
            self._idle.pop().close()

    def predict(
        self,
        rows: Sequence[Mapping[str, Any]] | pl.DataFrame | NDArray[Any],
        ids: Sequence[str] | None = None,
        time: Time = None,
        *,
        explain: bool = False,
        sticky: str | None = None,
    ) -> list[Prediction]:
        """Predictions for rows, in their order: mappings by column, a frame, or a matrix [rows, features] of rows that
        are encoded already. `time` is when they happened: one moment, or one a row (None: now). `explain` asks what
        each feature contributed; rows of the same `sticky` key meet the same release while a canary runs."""
        terms = Terms(self.timeout, explain, sticky)
        if calls.is_matrix(rows):
            return self._do(tensors.predict(self._named(), rows, ids, time, terms))
        return self._do(calls.predict(rows, ids, time, terms))

    def infer(
        self,
        inputs: Mapping[str, ArrayLike],
        ids: Sequence[str] | None = None,
        time: Time = None,
        model: str | None = None,
        *,
        explain: bool = False,
        sticky: str | None = None,
    ) -> Inference:
        """The model's outputs for named tensors, sent and answered as bytes; the first axis of each is the rows.
        `model` pins a version or a release, `explain` adds the outputs that explain the answer."""
        return self._do(tensors.infer(self._named(), inputs, ids, time, Terms(self.timeout, explain, sticky, model)))

    def feedback(self, items: Sequence[Truth]) -> list[str]:
        """Tells what became of predictions; returns the ids the server never gave out (it keeps their truth too)."""
        return self._do(calls.feedback(items))

    def metadata(self, model: str | None = None) -> dict[str, Any]:
        """What the live model, or that version or release, takes and gives, as the Open Inference Protocol tells it."""
        return self._do(calls.metadata(self._named(), model))

    def status(self) -> ServerStatus:
        """What the server says about itself."""
        return self._do(calls.status())

    def metrics(self) -> str:
        """The counters as Prometheus text."""
        return self._do(calls.metrics())

    def settle(self, timeout: float = 60.0) -> None:
        """Waits until every shadow release has scored all that was answered. Raises TemporaryError after `timeout`."""
        until = clock.monotonic() + timeout
        while self.status().backlog:
            if clock.monotonic() > until:
                raise TemporaryError(f"shadow releases are not done after {timeout:g} s")
            clock.sleep(0.002)

    def _named(self) -> str:
        if not self._system:
            self._system = self._do(calls.server())["system"]
        return self._system

    def _do(self, call: Call[T]) -> T:
        request = self._address.request(call.method, call.path, call.body, call.head)
        patience: Patience | None = None
        while True:
            try:
                answer = self._exchange(request)
                if answer.status == 200:
                    return call.read(answer)
                patience = patience or Patience(self.patience)
                pause = patience.refused(answer)
            except OSError as error:
                patience = patience or Patience(self.patience)
                pause = patience.failed(self.url, error)
            clock.sleep(pause)

    def _exchange(self, request: bytes) -> Answer:
        """Sends and receives once. Raises OSError when the connection fails in any way."""
        while True:
            try:
                used, kept = self._idle.pop(), True
            except IndexError:
                used, kept = self._connect(), False
            answer = Answer()
            try:
                used.sendall(request)
                while not answer.done:
                    answer.feed(used.recv(_CHUNK))
            except BaseException as error:
                used.close()
                if kept and not answer.begun and isinstance(error, ConnectionError):
                    continue  # the server had ended a connection that nobody used: nothing is wrong with it
                raise
            if not answer.keep:
                used.close()
            else:
                self._give_back(used)
            return answer

    def _connect(self) -> socket.socket:
        made = socket.create_connection((self._address.host, self._address.port), self.timeout)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._address.tls is None:
            return made
        try:
            return self._address.tls.wrap_socket(made, server_hostname=self._address.host)
        except OSError as error:
            made.close()
            if (refused := self._address.untrusted(error)) is not None:
                raise refused from error
            raise

    def _give_back(self, used: socket.socket) -> None:
        if len(self._idle) == self._idle.maxlen:
            used.close()
        else:
            self._idle.append(used)
