"""What the server tells about itself: health, metadata, counters, status."""

from __future__ import annotations

import os
import time
from collections.abc import Sized
from pathlib import Path
from typing import Any

import msgspec
import orjson

from trimtab.records.server import ReleaseStatus, ServerStatus
from trimtab.serving.access.scopes import ADMIN, ANY, OPEN
from trimtab.serving.execution.questions import brief, read_json
from trimtab.serving.http.caller import HttpCaller
from trimtab.serving.http.endpoints.addresses import Addresses
from trimtab.serving.http.endpoints.later import Later
from trimtab.serving.http.replies import TEXT
from trimtab.serving.http.request import Request
from trimtab.serving.open_inference.metadata import model_metadata, server_metadata
from trimtab.serving.open_inference.repository import refused_move, repository_index
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import Release
from trimtab.serving.system import ServedSystem
from trimtab.serving.whole import statistics


class About:
    """Each public method answers one address. `connections` are those of the whole process."""

    def __init__(self, system: ServedSystem, connections: Sized) -> None:
        self._system = system
        self._name = system.config.system
        self._desired = system.desired
        self._connections = connections
        self._started = time.monotonic()
        self._later = Later()

    @property
    def error(self) -> str:
        """Why the newest routes are not in force; empty when they are."""
        return self._desired.error

    def register(self, addresses: Addresses) -> None:
        """Adds its addresses."""
        addresses.add("GET", "/v2", ANY, self.server)
        addresses.add("GET", "/v2/health/live", OPEN, self.live)
        addresses.add("GET", "/v2/health/ready", OPEN, self.ready)
        addresses.of_model("GET", "", ANY, self.metadata)
        addresses.of_model("GET", "ready", ANY, self.model_ready)
        addresses.of_model("GET", "stats", ADMIN, self.statistics)
        addresses.add("GET", "/v2/models/stats", ADMIN, self.statistics)
        addresses.add("POST", "/v2/repository/index", ANY, self.index)
        for verb in ("load", "unload"):
            addresses.add("POST", f"/v2/repository/models/{self._name}/{verb}", ADMIN, self.refuse_move)
        addresses.add("GET", "/metrics", ADMIN, self.metrics)
        addresses.add("GET", "/trimtab/status", ADMIN, self.status)

    def server(self, connection: HttpCaller, _: Request, __: Release | None) -> None:
        """Name, version and extensions."""
        told = server_metadata() | {"system": self._name}
        connection.answer(200, orjson.dumps(self._with_error(told)))

    def live(self, connection: HttpCaller, _: Request, __: Release | None) -> None:
        """The process runs."""
        connection.answer(200, b'{"live":true}')

    def ready(self, connection: HttpCaller, _: Request, __: Release | None) -> None:
        """A release is live."""
        why = self._system.why_not_ready()
        if why:
            connection.answer(503, orjson.dumps({"ready": False, "error": why}))
        else:
            connection.answer(200, b'{"ready":true}')

    def model_ready(self, connection: HttpCaller, _: Request, release: Release | None) -> None:
        """The model, or that version of it, answers."""
        why = self._system.why_not_ready(release)
        if why:
            connection.answer(503, orjson.dumps({"name": self._name, "ready": False, "error": why}))
        else:
            connection.answer(200, orjson.dumps({"name": self._name, "ready": True}))

    def metadata(self, connection: HttpCaller, _: Request, release: Release | None) -> None:
        """What the model takes and gives."""
        fleet = self._desired.fleet
        told = release or fleet.live
        if told is None:
            raise RefusalError(503, self._desired.why_not_ready())
        metadata = model_metadata(self._name, fleet, told, self._system.lookups.views)
        if told.stage != "shadow":
            metadata["parameters"]["execution"] = self._system.batcher.lane(told).choice
        connection.answer(200, msgspec.json.encode(self._with_error(metadata)))

    def _with_error(self, told: dict[str, Any]) -> dict[str, Any]:
        """With `error` where the newest routes are not in force; nowhere else, for the word means a failure."""
        return told | {"error": self._desired.error} if self._desired.error else told

    def statistics(self, connection: HttpCaller, _: Request, release: Release | None) -> None:
        """What each model version did since the server started."""
        self._later.answer(connection, self._statistics("" if release is None else release.model))

    async def _statistics(self, version: str) -> bytes:
        return orjson.dumps({"model_stats": await statistics(self._system, version)})

    def index(self, connection: HttpCaller, request: Request, _: Release | None) -> None:
        """The model versions there are, and which of them answer."""
        connection.answer(200, orjson.dumps(self.indexed(read_json(request.body) if request.body else {})))

    def indexed(self, asked: object) -> list[dict[str, str]]:
        """The index that was asked for. Raises RefusalError (422)."""
        ready = asked.get("ready", False) if isinstance(asked, dict) else None
        if type(ready) is not bool:
            raise RefusalError(422, f"expected an object, `ready` in it true or false, got {brief(asked)}")
        return repository_index(self._name, self._desired, ready=ready)

    def refuse_move(self, _: HttpCaller, __: Request, ___: Release | None) -> None:
        """Loading and unloading are not a caller's to ask for."""
        raise refused_move()

    def metrics(self, connection: HttpCaller, _: Request, __: Release | None) -> None:
        """The counters as Prometheus text."""
        connection.answer(200, self.counted().encode(), TEXT)

    def counted(self) -> str:
        """The counters of this process as Prometheus text."""
        telemetry = self._system.book.telemetry
        return self._system.guard.text() + self._system.book.metrics.text(
            {
                "trimtab_generation": ("Generation of routes in force (-1: none).", self._desired.applied),
                "trimtab_generation_wanted": ("Newest generation of routes seen (-1: none).", self._desired.wanted),
                "trimtab_telemetry_queue_rows": ("Rows that wait for a shadow release.", self._system.shadows.backlog),
                "trimtab_telemetry_bytes_total": ("Telemetry written.", telemetry.bytes_written),
                "trimtab_telemetry_write_failures_total": ("Writes the disk refused.", telemetry.failures),
                "trimtab_telemetry_dropped_rows_total": ("Answered rows that were not kept.", telemetry.dropped),
                "trimtab_telemetry_unsure_rows_total": ("Kept rows whose sync failed.", telemetry.unsure),
                "trimtab_telemetry_unsynced_rows": ("Rows that a power cut would take now.", telemetry.unsynced[0]),
                "trimtab_telemetry_unsynced_seconds": ("How long the oldest of them waits.", telemetry.unsynced[1]),
                "trimtab_connections": ("Open connections.", len(self._connections)),
                "trimtab_requests_in_flight": ("Requests that are being scored.", self._system.batcher.waiting),
                "trimtab_resident_bytes": ("Resident memory.", resident()),
                "trimtab_uptime_seconds": ("Time since the start.", time.monotonic() - self._started),
            }
        )

    def status(self, connection: HttpCaller, _: Request, __: Release | None) -> None:
        """What is served and how it goes, as a `ServerStatus`."""
        connection.answer(200, msgspec.json.encode(self.standing()))

    def standing(self) -> ServerStatus:
        """What this process says of itself."""
        desired, metrics = self._desired, self._system.book.metrics
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
                    execution=None if one.stage == "shadow" else self._system.batcher.lane(one).status(counts),
                )
            )
        return ServerStatus(
            system=self._name,
            ready=not self._system.why_not_ready(),
            applied=desired.applied,
            wanted=desired.wanted,
            error=desired.error,
            releases=tuple(releases),
            pid=os.getpid(),
            rss=resident(),
            backlog=self._system.shadows.backlog + (0 if desired.begun else self._system.shadows.due),
            known=len(self._system.book.known),
            telemetry_error=self._system.book.telemetry.trouble,
            telemetry_dropped=self._system.book.telemetry.dropped,
            telemetry_unsure=self._system.book.telemetry.unsure,
        )


def resident() -> int:
    """Resident memory of this process in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:  # no /proc: ask the slow way
        import psutil

        return int(psutil.Process().memory_info().rss)
    return pages * os.sysconf("SC_PAGE_SIZE")
