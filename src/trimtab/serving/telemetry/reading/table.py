"""Predictions in memory, in columns: each (id, release) once, with its truth, in order of time."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimtab.serving.telemetry.events import Answers, Origin, Told
from trimtab.serving.telemetry.reading.columns import Columns
from trimtab.serving.telemetry.reading.index import KeyIndex, Keys, Numbers
from trimtab.serving.telemetry.reading.truths import TruthTable
from trimtab.serving.telemetry.segments import written_after

if TYPE_CHECKING:
    import polars as pl

NEVER = np.iinfo(np.int64).min
_KINDS = {
    "at": np.int64,
    "latency": np.float32,
    "score": np.float32,
    "label": np.float64,
    "truth_at": np.int64,
    "origin": np.int32,
    "segment": np.int32,
    "group": np.int32,
    "place": np.int64,
    "kept": np.bool_,
    "share": np.float32,
    "gone": np.bool_,
}


class PredictionTable:
    """Of several rows with one (id, release), as a retried request leaves them, the earliest by its moment counts, of
    the same moment the one that stands first in the telemetry; so it does not matter in which order segments are read.
    Segments are numbered as they come; `written_after` orders them."""

    def __init__(self, classes: tuple[str, ...] = ()) -> None:
        import polars as pl  # heavy: only where telemetry is read

        seeds = (secrets.randbits(63), secrets.randbits(63))
        self._index = KeyIndex(seeds)
        self.truths = TruthTable(KeyIndex(seeds), classes)
        self.duplicates = 0
        self._columns = Columns(_KINDS)
        self._ids = pl.Series("id", [], dtype=pl.String)
        self._segments: list[str] = []
        self._groups: list[str] = []
        self._origins: list[Origin] = []
        self._releases: NDArray[np.int64] = np.empty(0, np.int64)
        self._order: Numbers = np.empty(0, np.int64)
        self._order_at: Numbers = np.empty(0, np.int64)
        self._ordered = 0

    def __len__(self) -> int:
        return self._columns.size

    def segment(self, name: str) -> int:
        """The number of a segment."""
        if name not in self._segments:
            self._segments.append(name)
        return self._segments.index(name)

    def __getitem__(self, column: str) -> NDArray[np.generic]:
        return self._columns[column]

    def add(self, answers: Answers, segment: int) -> None:
        """Takes in answers of one segment."""
        origins = np.array([self._origin(one) for one in answers.origins], np.int32)[answers.origin]
        if answers.group not in self._groups:
            self._groups.append(answers.group)
        values = {
            "at": answers.at,
            "latency": answers.latency,
            "score": answers.score,
            "label": np.nan,
            "truth_at": NEVER,
            "origin": origins,
            "segment": segment,
            "group": self._groups.index(answers.group),
            "place": answers.start + np.arange(len(answers.at)),
            "kept": answers.kept,
            "share": answers.share,
            "gone": False,
        }
        keys = self._index.keys(answers.ids)
        start = self._columns.extend(len(answers.at), values)
        self._ids.append(answers.ids)
        if self._ids.n_chunks() > 64:
            self._ids = self._ids.rechunk()
        rows = np.arange(start, self._columns.size)
        self._pass_over(keys, rows)
        self._index.add(keys, rows)
        asked, numbers = self.truths.of(keys)
        self._label(rows[asked], numbers)

    def tell(self, told: Told, segment: int) -> None:
        """Takes in truths of one segment."""
        keys, numbers = self.truths.add(told, segment, self._rank())
        asked, rows = self._index.find(keys)
        self._label(rows, numbers[asked])

    @property
    def orphans(self) -> int:
        """Ids whose truth came and whose prediction was not seen."""
        known = np.zeros(len(self.truths), bool)
        slots = self._truth_slots()
        known[slots] = True
        return int((~known).sum())

    def between(self, low: int, high: int, release: str | None = None) -> Numbers:
        """Rows of [low, high) in order of moment, id and release."""
        order, at = self._in_order()
        rows = order[np.searchsorted(at, low) : np.searchsorted(at, high)]
        if release is None:
            return rows
        codes = [code for code, one in enumerate(self._origins) if one.release == release]
        return rows[np.isin(self._columns["origin"][rows], codes)]

    def ids(self, rows: Numbers) -> pl.Series:
        """Ids of rows."""
        return self._ids.gather(rows)

    def answered(self, rows: Numbers) -> NDArray[np.bool_]:
        """Which of the rows were answered, not scored in shadow."""
        shadow = np.array([one.stage == "shadow" for one in self._origins], bool)
        answered: NDArray[np.bool_] = ~shadow[self._columns["origin"][rows]]
        return answered

    def sources(self, rows: Numbers) -> list[tuple[str, str, Numbers]]:
        """Where the inputs of rows are: segment, group and the positions in `rows`."""

        found = []
        codes = self._columns["segment"][rows].astype(np.int64) * len(self._groups) + self._columns["group"][rows]
        for code in np.unique(codes):
            segment, group = divmod(int(code), len(self._groups))
            found.append((self._segments[segment], self._groups[group], np.flatnonzero(codes == code)))
        return found

    def frame(self, rows: Numbers) -> pl.DataFrame:
        """See `TelemetryReader.predictions`."""
        import polars as pl  # heavy: only where a frame is asked for

        columns = self._columns
        origin = columns["origin"][rows]
        when = pl.Datetime("us", "UTC")
        truth_at = columns["truth_at"][rows]

        def told(field: str, kind: type[pl.DataType]) -> pl.Series:
            values = pl.Series(field, [getattr(one, field) for one in self._origins], dtype=kind)
            return values.gather(origin.astype(np.uint32))

        return pl.DataFrame(
            [
                self.ids(rows),
                pl.Series("at", columns["at"][rows]).cast(when),
                told("release", pl.String),
                told("model", pl.String),
                told("stage", pl.String),
                told("generation", pl.Int64),
                pl.Series("score", columns["score"][rows]),
                pl.Series("label", columns["label"][rows], nan_to_null=True),
                pl.Series("truth_at", truth_at).set(pl.Series(truth_at == NEVER), None).cast(when),
                pl.Series("latency", columns["latency"][rows]),
            ]
        )

    def _origin(self, origin: Origin) -> int:
        if origin not in self._origins:
            self._origins.append(origin)
            names = sorted({one.release for one in self._origins})
            self._releases = np.array([names.index(one.release) for one in self._origins], np.int64)
        return self._origins.index(origin)

    def _rank(self) -> NDArray[np.int64]:
        order = sorted(range(len(self._segments)), key=lambda place: written_after(self._segments[place]))
        return np.argsort(np.array(order, np.int64))

    def _label(self, rows: Numbers, truths: Numbers) -> None:
        self._columns["label"][rows] = self.truths.label(truths)
        self._columns["truth_at"][rows] = self.truths.at(truths)

    def _pass_over(self, keys: Keys, rows: Numbers) -> None:
        """Marks what is there already: among the new rows, and between them and older ones."""
        origin = self._columns["origin"]
        mixed = keys.first ^ (self._releases[origin[rows]].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        twice = np.empty(0, np.int64)
        if len(np.unique(mixed)) < len(mixed):
            _, first, counts = np.unique(mixed, return_index=True, return_counts=True)
            repeated = np.isin(mixed, mixed[first[counts > 1]])
            twice = np.flatnonzero(repeated)
        asked, older = self._index.find(keys)
        same = self._releases[origin[rows[asked]]] == self._releases[origin[older]]
        asked, older = asked[same], older[same]
        if not len(twice) and not len(asked):
            return
        candidates: dict[tuple[int, int, int], list[int]] = {}
        for place in np.union1d(twice, asked).tolist():
            row = int(rows[place])
            key = (int(keys.first[place]), int(keys.second[place]), int(self._releases[origin[row]]))
            candidates.setdefault(key, []).append(row)
        for place, row in zip(asked.tolist(), older.tolist(), strict=True):
            key = (int(keys.first[place]), int(keys.second[place]), int(self._releases[origin[row]]))
            if row not in candidates[key]:
                candidates[key].append(row)
        self._keep_first(list(candidates.values()))

    def _keep_first(self, groups: list[list[int]]) -> None:
        columns, rank = self._columns, self._rank()
        for group in groups:
            alive = [row for row in group if not columns["gone"][row]]
            alive.sort(key=lambda row: (columns["at"][row], rank[columns["segment"][row]], columns["place"][row]))
            for row in alive[1:]:
                columns["gone"][row] = True
                self.duplicates += 1
                if row < self._ordered:
                    self._ordered = 0  # one that was in order has gone
        if self._ordered == 0:
            self._order = self._order_at = np.empty(0, np.int64)

    def _truth_slots(self) -> Numbers:
        return self.truths.of(self._index.keys(self._ids))[1]

    def _in_order(self) -> tuple[Numbers, Numbers]:
        """All rows that count by moment, id and release, and their moments. What came last is sorted into the rest."""
        import polars as pl

        columns = self._columns
        size = columns.size
        if self._ordered == size:
            return self._order, self._order_at
        new = np.arange(self._ordered, size)
        new = new[~columns["gone"][new]]
        if len(new):
            at = columns["at"]
            settled = int(np.searchsorted(self._order_at, at[new].min()))
            late = np.concatenate([self._order[settled:], new])
            told = pl.DataFrame(
                {
                    "at": at[late],
                    "id": self._ids.gather(late),
                    "release": self._releases[columns["origin"][late]],
                    "row": late,
                }
            ).sort("at", "id", "release")
            self._order = np.concatenate([self._order[:settled], told["row"].to_numpy()])
            self._order_at = np.concatenate([self._order_at[:settled], told["at"].to_numpy()])
        self._ordered = size
        return self._order, self._order_at
