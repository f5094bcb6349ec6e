"""Reads what a server answered and what the truth was, while the server goes on writing."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.serving.telemetry.archives.archive import ArchivedSegment
from trimtab.serving.telemetry.events import Events, Segment
from trimtab.serving.telemetry.folder import Found, Listing, again
from trimtab.serving.telemetry.inputs import position
from trimtab.serving.telemetry.reading.index import Numbers
from trimtab.serving.telemetry.reading.table import PredictionTable
from trimtab.serving.telemetry.segments import Failure, Gap, micros, moment

if TYPE_CHECKING:
    import polars as pl  # only for types: a reader that is never asked for a frame does not pay for it

_ALL = int(np.iinfo(np.int64).min)
_END = int(np.iinfo(np.int64).max)
_MARGIN = 3_600_000_000  # microseconds: a request is retried within the hour
_SLACK = 100_000  # rows that may be held beyond twice those that were asked for lately
_MEMORY = 64  # refreshes that count as lately


class Inputs(NamedTuple):
    """Encoded rows [rows, features] that a release scored, with ids and moments (microseconds), in order of moment and
    id: those whose inputs are kept. Where shares differ they are thinned to the smallest, so that each row is as likely
    to be here as any other: `share`, of `rows` that were scored."""

    matrix: NDArray[np.float32]
    ids: list[str]
    at: NDArray[np.int64]
    share: float
    rows: int


class TelemetryReader:
    """The predictions of one telemetry folder, each (id, release) once.

    `refresh` takes in what was written since the last one; between refreshes the figures stand still. Sealed segments
    are read when somebody asks for their time, and let go when nobody does any more. A tail that is torn or half
    written is left for the next refresh. `classes` names the classes in order, for truths that came while no release
    was live to tell. Spans are [since, until), either end may be None (open).
    """

    def __init__(self, folder: Path, classes: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._classes = classes
        self._lately: deque[int] = deque(maxlen=_MEMORY)
        self._least = 0  # rows that were left when what nobody asks for had been let go
        self._listing = Listing(folder)
        self._begin()

    def _begin(self) -> None:
        self._table = PredictionTable(self._classes)
        self._open: dict[str, Segment] = {}
        self._growing: set[str] = set()
        self._met = False
        self._passed: dict[str, tuple[Found, int]] = {}
        self._heard: set[tuple[str, int]] = set()
        self._failures: list[Failure] = []
        self._gaps: list[Gap] = []
        self._from = _END  # the moment from which on every segment is read
        self._asked = _END  # the earliest moment that was asked for since the last refresh

    @property
    def orphans(self) -> int:
        """Ids whose truth came and whose prediction was never seen."""
        self._reach(_ALL)
        return self._table.orphans

    @property
    def repeated_truths(self) -> int:
        """How often truth came for an id that had one; the last by time holds."""
        self._reach(_ALL)
        return self._table.truths.repeated

    @property
    def contested_truths(self) -> int:
        """Ids for which truths came that differ."""
        self._reach(_ALL)
        return self._table.truths.contested

    @property
    def unreadable_truths(self) -> int:
        """Truths that name no class and are no number."""
        self._reach(_ALL)
        return self._table.truths.unreadable

    @property
    def duplicates(self) -> int:
        """Scores passed over because the same release had scored the same id before (a retried request)."""
        self._reach(_ALL)
        return self._table.duplicates

    @property
    def damaged(self) -> dict[str, str]:
        """What is wrong with segments of which a part cannot be read."""
        self._reach(_ALL)
        return {name: segment.damaged for name, segment in sorted(self._open.items()) if segment.damaged}

    def refresh(self) -> int:
        """Takes in what is new in the segments that are read; returns how many answers, truths and failures. A missing
        folder is an empty one."""
        lighter = self._let_go()
        those, changed = self._listing.now()
        if not changed and self._met:
            those = [found for found in those if found.name in self._growing]
        elif self._met and not self._open.keys() <= {found.name for found in those}:
            self._forget_all()  # something was pruned, or written again without someone's rows
        self._met = True
        count = 0
        for found in those:
            held = self._open.get(found.name)
            if held is not None:
                count += 0 if held.whole else self._take(found, held)
            elif found.name not in self._passed:
                count += self._meet(found)
        self._growing = {name for name, held in self._open.items() if not held.whole}
        if lighter:
            self._least = len(self._table)
        return count

    def predictions(self, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """One row a (prediction, release), sorted by at, id and release.

        `id`, `at` (UTC), `release`, `model`, `stage` (live, canary or shadow), `generation`, `score` (Float32; the
        highest class's for several classes), `label` (Float64: index of the true class or the true number, null until
        known), `truth_at` (UTC, null until known), `latency` (Float32, seconds in the server).
        """
        return self._table.frame(self._rows(since, until))

    def latencies(self, since: datetime | None = None, until: datetime | None = None) -> NDArray[np.float32]:
        """Seconds in the server of every row that was answered, not those that shadow releases scored."""
        rows = self._rows(since, until)
        found: NDArray[np.float32] = self._table["latency"][rows[self._table.answered(rows)]].astype(np.float32)
        return found

    def features(self, since: datetime | None, until: datetime | None, release: str) -> Inputs:
        """The encoded rows that `release` scored and whose inputs are kept."""
        rows = self._rows(since, until, release)
        total = len(rows)
        rows = rows[self._table["kept"][rows].astype(bool)]
        shares = self._table["share"][rows].astype(np.float64)
        share = float(shares.min()) if len(rows) else 1.0
        ids = self._table.ids(rows).to_list()
        if share < shares.max(initial=0.0):
            even = np.array([position(name) < share for name in ids], bool)
            rows, ids = rows[even], [name for name, keep in zip(ids, even.tolist(), strict=True) if keep]
        return Inputs(self._gather(rows, scores=False), ids, self._at(rows), share, total)

    def scores(
        self, since: datetime | None, until: datetime | None, release: str
    ) -> tuple[NDArray[np.float32], list[str]]:
        """All outputs [rows, outputs] of `release`, and the rows' ids, sorted by moment and id."""
        rows = self._rows(since, until, release)
        return self._gather(rows, scores=True), self._table.ids(rows).to_list()

    def failures(self, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """What releases could not score: `at` (UTC), `release`, `model`, `stage`, `rows`, `error`, sorted by `at`."""
        import polars as pl  # heavy: only where a frame is asked for

        low, high = self._span(since, until)
        found = sorted(
            (one for one in self._failures if low <= one.at < high), key=lambda one: (one.at, one.release, one.error)
        )
        columns = {
            "at": [moment(one.at) for one in found],
            "release": [one.release for one in found],
            "model": [one.model for one in found],
            "stage": [one.stage for one in found],
            "rows": [one.rows for one in found],
            "error": [one.error for one in found],
        }
        text = dict.fromkeys(("release", "model", "stage", "error"), pl.String)
        return pl.DataFrame(columns, schema_overrides={"at": pl.Datetime("us", "UTC"), "rows": pl.Int64, **text})

    def gaps(self, since: datetime | None = None, until: datetime | None = None) -> list[Gap]:
        """Spans in which rows were answered that could not be kept, those that meet [since, until)."""
        low, high = self._span(since, until)
        return sorted((one for one in self._gaps if one.last >= low and one.first < high), key=lambda one: one.first)

    def sources(
        self, since: datetime | None = None, until: datetime | None = None
    ) -> list[tuple[Segment, str, Numbers, Numbers]]:
        """Where the rows of `predictions` lie: segment, group, places in it, and positions in that frame."""
        rows = self._rows(since, until)
        places = self._table["place"][rows].astype(np.int64)
        return [
            (self._open[name], group, places[positions], positions)
            for name, group, positions in self._table.sources(rows)
        ]

    def _span(self, since: datetime | None, until: datetime | None) -> tuple[int, int]:
        low = _ALL if since is None else micros(since)
        self._reach(low)
        return low, _END if until is None else micros(until)

    def _rows(self, since: datetime | None, until: datetime | None, release: str | None = None) -> Numbers:
        low, high = self._span(since, until)
        return self._table.between(low, high, release)

    def _at(self, rows: Numbers) -> NDArray[np.int64]:
        return self._table["at"][rows].astype(np.int64)

    def _reach(self, low: int) -> None:
        """Has every segment read that ends at `low` or later."""
        self._asked = min(self._asked, low)
        low = low if low == _ALL else low - _MARGIN
        if low >= self._from:
            return
        self._from = low
        for name, (found, last) in sorted(self._passed.items()):
            if last >= low:
                del self._passed[name]
                self._meet(found)

    def _meet(self, found: Found) -> int:
        """A segment that is not read yet: one that has ended before what is asked for is passed over."""
        try:
            seal = found.seal()
            if seal is not None and seal.last < self._from:
                self._passed[found.name] = (found, seal.last)
                return self._orphans(found) if seal.orphans else 0
            segment = found.open()
        except FileNotFoundError:
            return self._moved(found)
        return self._take(found, segment)

    def _take(self, found: Found, segment: Segment) -> int:
        try:
            events = segment.read()
        except FileNotFoundError:
            return self._moved(found)
        self._open[found.name] = segment
        return self._enter(found.name, events)

    def _moved(self, found: Found) -> int:
        """A segment that was compacted between two looks at it, or removed. One that had been read in part has told
        nothing of its rest: it was sealed after that."""
        now = again(found, self._folder)
        if now is None:
            return 0
        if found.name in self._open:
            self._forget_all()
            return self.refresh()
        return self._meet(now)

    def _orphans(self, found: Found) -> int:
        """The truths of a segment that is passed over: some were nobody's then, and may be of what came later."""
        return self._enter(found.name, Events([], found.open().read().told, [], []))

    def _enter(self, name: str, events: Events) -> int:
        if not len(events):
            return 0
        number = self._table.segment(name)
        for answers in events.answers:
            self._table.add(answers, number)
        for told in events.told:
            if (name, told.start) not in self._heard:
                self._heard.add((name, told.start))
                self._table.tell(told, number)
        self._failures += events.failures
        self._gaps += events.gaps
        return len(events)

    def _let_go(self) -> bool:
        """Begins anew when far more is held than is asked for, to bound memory; files are not touched. Segments are
        read whole: what came back with those that are needed the last time is no reason to begin anew."""
        self._lately.append(self._asked)
        self._asked = _END
        asked = min(self._lately)
        if asked in (_ALL, _END) or len(self._table) <= _SLACK + 2 * self._least:
            return False
        if len(self._table) <= _SLACK + 2 * len(self._table.between(asked, _END)):
            return False
        self._forget_all()
        self._from = asked - _MARGIN
        return True

    def _forget_all(self) -> None:
        reached = self._from
        self._begin()
        self._from = reached

    def _gather(self, rows: Numbers, *, scores: bool) -> NDArray[np.float32]:
        if len(rows) == 0:
            return np.empty((0, 0), np.float32)
        sources = self._table.sources(rows)
        parts = []
        for name, group, positions in sources:
            places = self._table["place"][rows[positions]].astype(np.int64)
            parts.append(self._ask(name, group, places, scores=scores))
        if len(parts) == 1:
            return parts[0]
        matrix = np.empty((len(rows), parts[0].shape[1]), np.float32)
        for (_, _, positions), part in zip(sources, parts, strict=True):
            matrix[positions] = part
        return matrix

    def _ask(self, name: str, group: str, places: Numbers, *, scores: bool) -> NDArray[np.float32]:
        """Inputs or scores of rows of one segment, in whatever form it lies there now."""
        segment = self._open[name]
        try:
            return segment.scores(group, places) if scores else segment.inputs(group, places)
        except FileNotFoundError:
            moved = ArchivedSegment(self._folder / name)  # rows keep their places when a segment is compacted
            moved.read()
            self._open[name] = moved
            return moved.scores(group, places) if scores else moved.inputs(group, places)
