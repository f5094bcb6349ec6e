"""`trimtab.Client`: calls that wait for their answer."""

from __future__ import annotations

import os
import socket
import time as clock
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from trimtab.errors import TemporaryError
from trimtab.records.server import ServerStatus
from trimtab.serving.client import calls, tensors
from trimtab.serving.client.answers import AnswerError, Inference, Prediction, Truth
from trimtab.serving.client.calls import Call, Table, Terms, Time, understood
from trimtab.serving.client.files import Batch, Source
from trimtab.serving.client.patience import Patience, never
from trimtab.serving.client.wire import Address, Answer

if TYPE_CHECKING:
    import polars as pl  # for types only
    from numpy.typing import ArrayLike, NDArray

_CHUNK = 262_144
T = TypeVar("T")


class Client:
    """Talks to one server; any number of threads may use one client, and a process that is forked goes on with
    connections of its own. Connections are kept and used again.

    A request that meets a refused, reset or silent connection, or a server that is busy or not ready (429, 503), is
    sent again for up to `patience` seconds, at the server's own `retry-after`. That is safe: every row has an id, made
    here when the caller gives none, and the server keeps and counts an id once. `timeout` is how long one silence of
    the server is borne, in seconds. `token`: the bearer token (None: that of the environment variable TRIMTAB_TOKEN).
    `system` names the one of several systems that a server has.

    Raises AnswerError when the server refuses, with its message and hint; TemporaryError when patience runs out.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        system: str = "",
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
        self._process = os.getpid()
        self.system = system
        self._sole = ""

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
        rows: Sequence[Mapping[str, Any]] | pl.DataFrame | Table | NDArray[Any],
        ids: Sequence[str] | None = None,
        time: Time = None,
        *,
        explain: bool = False,
        sticky: str | None = None,
    ) -> list[Prediction]:
        """Predictions for rows, in their order: mappings by column, a frame (Polars, pandas,
        pyarrow), or a matrix [rows, features] of rows that
        are encoded already. `time` is when they happened: one moment, or one a row (None: now). `explain` asks what
        each feature contributed; rows of the same `sticky` key meet the same release while a canary runs."""
        terms = Terms(self.timeout, explain, sticky, system=self.system)
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

    def feedback(self, items: Truth | Sequence[Truth]) -> list[str]:
        """Tells what became of predictions, in as many requests as it takes, each of which is taken as a whole or not
        at all; returns the ids the server never gave out (it keeps their truth too)."""
        waiting, unknown = calls.pieces(items), list[str]()
        while waiting:
            piece = waiting.pop()
            try:
                found = self._do(calls.feedback(piece, self.system))
            except AnswerError as error:
                waiting += calls.smaller(piece, error)
            else:
                unknown += found
        return unknown

    @overload
    def batch(
        self,
        source: Source,
        into: None = None,
        *,
        ids: str | None = None,
        times: str | None = None,
        model: str | None = None,
    ) -> pl.DataFrame: ...

    @overload
    def batch(
        self,
        source: Source,
        into: Path | str,
        *,
        ids: str | None = None,
        times: str | None = None,
        model: str | None = None,
    ) -> None: ...

    def batch(
        self,
        source: Source,
        into: Path | str | None = None,
        *,
        ids: str | None = None,
        times: str | None = None,
        model: str | None = None,
    ) -> pl.DataFrame | None:
        """Predictions for a file of rows of any size (Parquet, Arrow stream, NDJSON or CSV, told by its name), or for a
        frame: as a frame with `row`, `id`, `score`, `label`, `release`, `model` and `error`, or into a file, whole or
        not at all. `ids` and `times` name the columns of the rows' ids and moments; with ids the batch is sent again
        when the connection breaks."""
        with Batch(source, into, ids, times) as batch:
            path, head = batch.request(self._named(), model)
            request = self._address.request(b"POST", path, b"", head, batch.size)
            self._persist(lambda: self._exchange_batch(request, batch), batch.unsafe)
            return batch.finish()

    def metadata(self, model: str | None = None) -> dict[str, Any]:
        """What the live model, or that version or release, takes and gives, as the Open Inference Protocol tells it."""
        return self._do(calls.metadata(self._named(), model))

    def status(self) -> ServerStatus:
        """What the server says about itself."""
        return self._do(calls.status(self.system))

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
        if not self.system and not self._sole:
            self._sole = calls.sole_system(self._do(calls.server()))
        return self.system or self._sole

    def _do(self, call: Call[T]) -> T:
        request = self._address.request(call.method, call.path, call.body, call.head)
        return understood(call, self._persist(lambda: self._exchange(request)), self.url)

    def _persist(self, ask: Callable[[], Answer], unsafe: Callable[[OSError], str] = never) -> Answer:
        """Asks until there is a good answer, for as long as patience lasts; after a failure not where
        that is `unsafe`, which then says what to do."""
        patience: Patience | None = None
        while True:
            try:
                answer = ask()
                if answer.status == 200:
                    return answer
                patience = patience or Patience(self.patience)
                pause = patience.refused(answer)
            except OSError as error:
                patience = patience or Patience(self.patience)
                pause = patience.failed(self.url, error, unsafe(error))
            clock.sleep(pause)

    def _exchange(self, request: bytes) -> Answer:
        """Sends and receives once. Raises OSError when the connection fails in any way."""
        if self._process != os.getpid():
            self._leave_those_of_the_parent()
        while True:
            kept = bool(self._idle)
            used = self._idle_or_new()
            answer = Answer()
            try:
                used.sendall(request)
                return self._receive(used, answer)
            except BaseException as error:
                used.close()
                if not kept or answer.begun or not isinstance(error, ConnectionError):
                    raise
                # the server had ended a connection that nobody used: nothing is wrong with it

    def _exchange_batch(self, request: bytes, batch: Batch) -> Answer:
        """The same for a body that is sent, and an answer that is kept, piece by piece."""
        used, answer = self._connect(), Answer(batch.take)
        try:
            try:
                used.sendall(request)
                for chunk in batch.chunks():
                    used.sendall(chunk)
            except ConnectionError:
                with suppress(OSError):  # the server may have refused it before it was whole, and said why
                    return self._receive(used, answer)
                raise
            return self._receive(used, answer)
        except BaseException:
            used.close()
            raise

    def _receive(self, used: socket.socket, answer: Answer) -> Answer:
        """Takes an answer, and keeps the connection where another request may follow."""
        while not answer.done:
            answer.feed(used.recv(_CHUNK))
        if answer.keep and len(self._idle) != self._idle.maxlen:
            self._idle.append(used)
        else:
            used.close()
        return answer

    def _leave_those_of_the_parent(self) -> None:
        """This process was forked: on the connections that it came with the answers of both would be mixed up."""
        self._process = os.getpid()
        self.close()  # only here: what the parent holds of them stays open

    def _idle_or_new(self) -> socket.socket:
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

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
