"""Which address means what: hands each request to whoever answers it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import orjson

import trimtab
from trimtab.errors import TemporaryError
from trimtab.records.server import ReleaseStatus, ServerStatus
from trimtab.serving.execution.feedback import read_feedback
from trimtab.serving.execution.questions import Question, read_json
from trimtab.serving.http import open_inference, plain
from trimtab.serving.http.connection import Connection
from trimtab.serving.http.replies import TEXT
from trimtab.serving.http.request import Request
from trimtab.serving.http.spool import Spool
from trimtab.serving.open_inference.metadata import model_metadata
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import Release
from trimtab.serving.system import ServedSystem

_LOG = logging.getLogger("trimtab.serving")
_OPEN = frozenset((b"/v2/health/live", b"/v2/health/ready"))
Endpoint = Callable[[Connection, Request], None]


class PredictionDesk:
    """Answers every request for one system; what takes time is answered later, by the batcher. `connections` are those
    of the whole process."""

    def __init__(self, system: ServedSystem, connections: Set[Connection]) -> None:
        config = system.config
        self.config = config
        self._connections = connections
        self._recalled = False  # whether the ids of former runs are known again
        self._held: list[tuple[Connection, Request]] = []
        self._desired = system.desired
        self._book = system.book
        self._batcher = system.batcher
        self._shadows = system.shadows
        self._started = time.monotonic()
        self._table: dict[bytes, tuple[bytes, Endpoint]] = {}
        model = f"/v2/models/{config.system}"
        for method, path, endpoint in (
            (b"GET", "/v2", self._server),
            (b"GET", "/v2/health/live", self._live),
            (b"GET", "/v2/health/ready", self._ready),
            (b"GET", model, self._metadata),
            (b"GET", f"{model}/ready", self._ready),
            (b"POST", f"{model}/infer", self._infer),
            (b"POST", "/predict", self._predict),
            (b"POST", "/feedback", self._feedback),
            (b"GET", "/metrics", self._metrics),
            (b"GET", "/trimtab/status", self._status),
        ):
            self._table[path.encode()] = (method, endpoint)
        self._versions = f"{model}/versions/".encode()

    def handle(self, connection: Connection, request: Request) -> None:
        """Answers, now or later."""
        method, url = request.method, request.url
        try:
            verb, endpoint = self._table.get(url) or self._find(url)
            if method == verb:
                endpoint(connection, request)
            else:
                connection.refuse(_wrong_method(method, verb, url))
        except RefusalError as error:
            connection.refuse(error)
        except TemporaryError as error:
            connection.refuse(RefusalError(503, error.message, hint=error.hint))
        except Exception as error:  # a fault of ours must not take the connection with it
            _LOG.exception("%s %s failed", method, url)
            connection.refuse(RefusalError(500, f"the server failed: {type(error).__name__}"))

    def spool(self, url: bytes) -> Spool | None:  # noqa: ARG002 - no address takes large bodies yet
        """Bodies are read into memory."""
        return None

    def count(self, status: int) -> None:
        """An answer of that status was sent."""
        self._book.metrics.requests[status] += 1

    def is_open(self, url: bytes) -> bool:
        """Only health needs no token."""
        return url in _OPEN

    def recall(self) -> None:
        """The ids of former runs are known again."""
        self._recalled = True
        self.resume()

    def resume(self) -> None:
        """Answers the feedback that waited for the ids of former runs, and for the classes of the live release."""
        held, self._held = self._held, []
        for connection, request in held:
            self.handle(connection, request)

    def _find(self, url: bytes) -> tuple[bytes, Endpoint]:
        path = url.partition(b"?")[0]
        found = self._table.get(path) or self._table.get(unquote(path.decode("latin-1")).encode())
        if found is not None:
            return found
        if path.startswith(self._versions):
            version, _, verb = path[len(self._versions) :].decode("latin-1").partition("/")
            release = self._desired.fleet.pinned(version)
            if release is None:
                raise RefusalError(404, f"model {version!r} is neither live nor canary")
            if verb == "infer":
                return b"POST", lambda connection, request: self._ask(connection, request, open_inference, release)
            if verb == "":
                return b"GET", lambda connection, request: self._metadata(connection, request, release)
            if verb == "ready":
                return b"GET", self._ready
        if path.startswith(b"/v2/models/"):
            raise RefusalError(404, f"no such model or call: this server serves {self.config.system!r}")
        raise RefusalError(404, f"no such address: {path[:200].decode('latin-1')}")

    def _infer(self, connection: Connection, request: Request) -> None:
        self._ask(connection, request, open_inference)

    def _predict(self, connection: Connection, request: Request) -> None:
        self._ask(connection, request, plain)

    def _ask(self, connection: Connection, request: Request, form: Any, pinned: Release | None = None) -> None:
        started = time.perf_counter()
        fleet = self._desired.fleet
        target = pinned or fleet.live
        if target is None:
            raise RefusalError(503, self._desired.why_not_ready())
        question = Question(connection, fleet, target, form.render, started)
        question.pinned = pinned is not None
        config = self.config
        form.read_request(question, read_json(request.body), config.max_rows, time.time(), config.max_future)
        self._batcher.submit(question)

    def _feedback(self, connection: Connection, request: Request) -> None:
        if not (self._recalled and self._desired.begun):
            self._held.append((connection, request))
            return
        live = self._desired.fleet.live
        config = self.config
        signature = None if live is None else live.signature
        told = read_json(request.body)
        feedback = read_feedback(told, signature, config.max_rows, time.time(), config.max_future)
        unknown = self._book.truths(feedback)
        if feedback.single and unknown:
            kept = {"accepted": 0, "unknown": unknown}
            raise RefusalError(404, f"id {unknown[0]!r} was never given out: its truth is kept", more=kept)
        accepted = len(feedback.ids) - len(unknown)
        connection.answer(200, orjson.dumps({"accepted": accepted, "unknown": unknown}))

    def _server(self, connection: Connection, _: Request) -> None:
        told = {
            "name": "trimtab",
            "version": trimtab.__version__,
            "extensions": [],
            "system": self.config.system,
            "error": self._desired.error,
        }
        connection.answer(200, orjson.dumps(told))

    def _live(self, connection: Connection, _: Request) -> None:
        connection.answer(200, b'{"live":true}')

    def _ready(self, connection: Connection, _: Request) -> None:
        if self._desired.fleet.live is None:
            connection.answer(503, orjson.dumps({"ready": False, "error": self._desired.why_not_ready()}))
        else:
            connection.answer(200, b'{"ready":true}')

    def _metadata(self, connection: Connection, _: Request, release: Release | None = None) -> None:
        fleet = self._desired.fleet
        told = release or fleet.live
        if told is None:
            raise RefusalError(503, self._desired.why_not_ready())
        metadata = model_metadata(self.config.system, fleet, told)
        metadata["error"] = self._desired.error
        connection.answer(200, orjson.dumps(metadata))

    def _metrics(self, connection: Connection, _: Request) -> None:
        telemetry = self._book.telemetry
        text = self._book.metrics.text(
            {
                "trimtab_generation": ("Generation of routes in force (-1: none).", self._desired.applied),
                "trimtab_generation_wanted": ("Newest generation of routes seen (-1: none).", self._desired.wanted),
                "trimtab_telemetry_queue_rows": ("Rows that wait for a shadow release.", self._shadows.backlog),
                "trimtab_telemetry_bytes_total": ("Telemetry written.", telemetry.bytes_written),
                "trimtab_telemetry_write_failures_total": ("Writes the disk refused.", telemetry.failures),
                "trimtab_telemetry_dropped_rows_total": ("Answered rows that were not kept (always 0).", 0),
                "trimtab_connections": ("Open connections.", len(self._connections)),
                "trimtab_requests_in_flight": ("Requests that are being scored.", self._batcher.waiting),
                "trimtab_resident_bytes": ("Resident memory.", resident()),
                "trimtab_uptime_seconds": ("Time since the start.", time.monotonic() - self._started),
            }
        )
        connection.answer(200, text.encode(), TEXT)

    def _status(self, connection: Connection, _: Request) -> None:
        connection.answer(200, msgspec.json.encode(self.status()))

    def status(self) -> ServerStatus:
        """What the server says about itself."""
        desired, metrics = self._desired, self._book.metrics
        releases = []
        for one in desired.fleet.releases:
            counts = metrics.of(one.release)
            releases.append(
                ReleaseStatus(
                    release=one.release,
                    model=one.model,
                    stage=one.stage,
                    weight=one.weight,
                    answered=counts.rows["live"] + counts.rows["canary"],
                    shadowed=counts.rows["shadow"],
                    failed=counts.failed,
                )
            )
        return ServerStatus(
            system=self.config.system,
            ready=desired.fleet.live is not None,
            applied=desired.applied,
            wanted=desired.wanted,
            error=desired.error,
            releases=tuple(releases),
            pid=os.getpid(),
            uptime=time.monotonic() - self._started,
            rss=resident(),
            backlog=self._shadows.backlog + (0 if desired.begun else self._shadows.due),
            known=len(self._book.known),
            telemetry_error=self._book.telemetry.last_error or self._book.telemetry.sync_error,
        )


def _wrong_method(method: bytes, verb: bytes, url: bytes) -> RefusalError:
    told, path, allowed = method.decode("latin-1"), url[:200].decode("latin-1"), verb.decode()
    return RefusalError(405, f"{told} is not how to ask {path}: use {allowed}", allow=allowed)


def resident() -> int:
    """Resident memory of this process in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:  # no /proc: ask the slow way
        import psutil

        return int(psutil.Process().memory_info().rss)
    return pages * os.sysconf("SC_PAGE_SIZE")
