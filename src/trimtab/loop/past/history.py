"""The past as the declaration's sources tell it: each row with its features as they were when it was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trimtab.data.intake import screen
from trimtab.data.port import DIGEST, Opener, Source
from trimtab.data.quality.check import Other
from trimtab.data.quality.measure import longest_window, measure
from trimtab.data.sources.opening import open_source
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.digest import Digests, as_array, content_digest, row_digests, set_digest
from trimtab.data.values.moments import known_at, prediction_moment
from trimtab.declaration.system import System
from trimtab.errors import PermanentError
from trimtab.features.join import join_views
from trimtab.loop.people.personal import has_people, without_withheld
from trimtab.records.facts import DatasetCommitted
from trimtab.records.requirement import Verdict

if TYPE_CHECKING:
    import polars as pl

MOMENT = "_moment"
"""When a row's prediction was made."""
KNOWN_AT = "_known_at"
"""When a row's truth could be known."""
ASKED_AT = "_asked_at"
"""When a caller of a replay asks for a row: the end of the hour its moment lies in."""


def with_moments(rows: pl.DataFrame, system: System) -> pl.DataFrame:
    """Add the moment of each row's prediction and the moment its truth is known, both UTC."""
    spec = system.labelled
    return rows.with_columns(prediction_moment(spec).alias(MOMENT), known_at(spec).alias(KNOWN_AT))


def join_features(rows: pl.DataFrame, views: dict[str, pl.DataFrame], system: System) -> pl.DataFrame:
    """Rows with moments → rows with every declared view joined as it was known at the moment."""
    return join_views(rows, [(spec, views[spec.source]) for spec in system.features], moment=MOMENT)


def load_history(system: System, until: datetime, opener: Opener = open_source) -> pl.DataFrame:
    """Every row up to `until`, with moments and features, in order of moment and key; truth that is missing stays null.

    Rows that a store would refuse are left out, so that a backtest learns from the same rows as a replay.
    """
    folder = Path(system.folder)
    frames = {spec.name: _accepted(opener(spec, folder), spec, until) for spec in system.data}
    rows = with_moments(frames[system.labelled.name], system)
    if rows.is_empty():
        raise PermanentError(
            f"dataset {system.labelled.name!r} has no row up to {until:%Y-%m-%d}",
            hint="check `[replay]` and the source",
        )
    return join_features(rows, frames, system).sort(MOMENT, *system.labelled.key)


def load_others(system: System, until: datetime, opener: Opener = open_source) -> dict[str, pl.DataFrame]:
    """The rows up to `until` of the datasets that the labelled one refers to."""
    named = {one.dataset for one in system.labelled.references} | {one.dataset for one in system.labelled.trusted}
    folder = Path(system.folder)
    return {spec.name: _accepted(opener(spec, folder), spec, until) for spec in system.data if spec.name in named}


def _accepted(source: Source, spec: DatasetSpec, until: datetime) -> pl.DataFrame:
    fetched = source.fetch(None, until)
    return screen(fetched, spec, None, until=until, now=until, digests=False).good


def with_digests(rows: pl.DataFrame) -> pl.DataFrame:
    """Add a digest of each row as the model sees it: key, time, label and every feature."""
    plain = rows.drop(MOMENT, KNOWN_AT, DIGEST, strict=False)
    return rows.with_columns(row_digests(plain).alias(DIGEST))


def rows_version(rows: pl.DataFrame) -> str:
    """The identity of joined rows: the same rows give the same, wherever they were read from."""
    return content_digest(rows)


class HistoricDatasets:
    """Datasets of a backtest: slices of one history, cut at what was known at the simulated moment."""

    def __init__(self, system: System, history: pl.DataFrame, others: Mapping[str, pl.DataFrame] | None = None) -> None:
        """`others`: rows of the datasets that the labelled one refers to (`load_others`)."""
        self._system = system
        self._people = has_people(system)
        self._others = others or {}
        self._history = history
        self._known_at = history[KNOWN_AT].to_physical().to_numpy()
        self._digests: Digests = np.empty(0, dtype="S32")

    def collect(self, now: datetime) -> Sequence[DatasetCommitted]:  # noqa: ARG002 - the port's
        return ()

    def notes(self) -> Sequence[str]:
        return ()

    def _count(self, now: datetime) -> int:
        microseconds = round(now.timestamp() * 1e6)
        return int(self._known_at.searchsorted(microseconds, side="right"))

    def known(self, now: datetime) -> tuple[int, datetime | None]:
        count = self._count(now)
        return count, self._history[self._system.labelled.time][count - 1] if count else None

    def labelled(self, now: datetime) -> pl.DataFrame:
        return self._given(self._history.head(self._count(now)))

    def contents(self, rows: pl.DataFrame) -> pl.DataFrame:
        """A source gives the bytes themselves."""
        return rows

    def _given(self, rows: pl.DataFrame) -> pl.DataFrame:
        return without_withheld(self._system, rows) if self._people else rows

    def version(self, now: datetime) -> str:
        count, have = self._count(now), len(self._digests)
        if count > have:  # only a training asks, and a policy that trains seldom never needs most of them
            more = with_digests(self._given(self._history.slice(have, count - have))).get_column(DIGEST)
            self._digests = np.concatenate([self._digests, as_array(more)])
        return set_digest(np.sort(self._digests[:count]))

    def verdicts(self, now: datetime) -> tuple[Verdict, ...]:
        spec = self._system.labelled
        wanted = [r for r in self._system.requirements if r.metric.startswith("data.")]
        if not wanted:
            return ()
        window = self._system.policy.window
        since = now - timedelta(seconds=longest_window(wanted, window) + spec.label_delay)
        rows = self._history.head(self._count(now))
        recent = rows.filter(rows[KNOWN_AT] > since)
        newest = rows[spec.time][-1] if rows.height else None

        def other(name: str) -> Other:
            (theirs,) = (one for one in self._system.data if one.name == name)
            there = self._others[name]
            return Other(there.filter(there[theirs.time] <= now), theirs.key)

        found = measure(recent, spec, wanted, now=now, quarantined={}, newest=newest, others=other, window=window)
        return tuple(found)

    def label_verdicts(self, now: datetime) -> tuple[Verdict, ...]:  # noqa: ARG002 - the port's
        """None: a history holds labels, not who gave them."""
        return ()
