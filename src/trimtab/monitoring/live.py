"""Verdicts on what a release does in service: its answers against the truth that came later, and the server itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.judge import judge, judge_slices
from trimtab.measures.metrics.declared import estimate, measurable
from trimtab.monitoring.serving_figures import ServingFigures
from trimtab.records.metric import Task
from trimtab.records.requirement import Estimate, Requirement, Value, Verdict

if TYPE_CHECKING:
    import polars as pl  # the frame is only read, so that those who bring arrays need not load Polars

__all__ = ["SLICED", "ServingFigures", "live_verdicts"]

SLICED = "_sliced"
_DAY = 86_400_000_000
_SERVED = ("serving.", "resources.memory")


def live_verdicts(
    requirements: Sequence[Requirement],
    *,
    predictions: pl.DataFrame | Mapping[str, NDArray[Any]],
    now: datetime,
    window: float,
    value: Value | None,
    threshold: float,
    task: Task,
    serving: ServingFigures | None,
    place: Literal["shadow", "canary", "live"] = "live",
    release: str | None = None,
) -> list[Verdict]:
    """Verdicts at `place` on the requirements that can be measured there, in their order.

    `predictions` has `at` (UTC; in arrays datetime64 or microseconds since 1970), `stage`, `release`, `score` [n] or
    [n, K], `label` (null or NaN until the truth is known) and any column that a requirement is sliced `by`. Rows count
    whose stage is `place` (and whose release is `release`, where given), predicted within the requirement's own window
    before `now`, `window` seconds where it has none. Where there is a column SLICED, rows in which it is false belong
    to no slice: what they are sliced by is not known, as of sampled inputs. Intervals are analytic, with days as
    blocks. Serving figures are judged where they were measured; without them those requirements have no verdict here.
    """
    rows = _Predictions(predictions, place, release)
    verdicts: list[Verdict] = []
    for req in requirements:
        if req.places and place not in req.places:
            continue
        if req.metric in measurable(task):
            since = now - timedelta(seconds=window if req.window is None else req.window)
            measure = _measure(req.metric, value=value, threshold=threshold, task=task)
            verdicts.append(_of_answers(req, rows.within(since, now), measure, place))
        elif req.metric.startswith(_SERVED) and serving is not None and (found := serving.estimate(req.metric)):
            verdicts.append(judge(req, found, place=place))
    return verdicts


class _Rows:
    """Labelled rows of one window: truth, scores, days, and the slice columns."""

    def __init__(self, table: _Predictions, kept: NDArray[np.bool_]) -> None:
        labelled = kept & ~np.isnan(table.label)
        self.waiting = int(kept.sum() - labelled.sum())
        self.places = np.flatnonzero(labelled)
        self.label = table.label[self.places]
        self.score = table.score[self.places]
        self.days = table.at[self.places] // _DAY
        self.table = table

    def column(self, name: str) -> NDArray[Any] | None:
        values = self.table.column(name)
        return None if values is None else values[self.places]


class _Predictions:
    """The predictions of one stage as arrays."""

    def __init__(self, source: pl.DataFrame | Mapping[str, NDArray[Any]], place: str, release: str | None) -> None:
        self._source = source
        self.at = _micros(self._needed("at"))
        self.label = self._needed("label").astype(np.float64)
        self.score = self._needed("score")
        if self.score.dtype == object:  # a list of class probabilities in each row
            self.score = np.array(self.score.tolist(), dtype=np.float64)
        self._mine = self._needed("stage") == place
        if release is not None:
            self._mine &= self._needed("release") == release
        self._windows: dict[tuple[datetime, datetime], _Rows] = {}

    def column(self, name: str) -> NDArray[Any] | None:
        if isinstance(self._source, Mapping):
            return None if name not in self._source else np.asarray(self._source[name])
        return self._source[name].to_numpy() if name in self._source.columns else None

    def within(self, since: datetime, until: datetime) -> _Rows:
        """The labelled rows predicted in [since, until)."""
        span = (since, until)
        if span not in self._windows:
            low, high = (round(moment.timestamp() * 1_000_000) for moment in span)
            self._windows[span] = _Rows(self, self._mine & (self.at >= low) & (self.at < high))
        return self._windows[span]

    def _needed(self, name: str) -> NDArray[Any]:
        values = self.column(name)
        if values is None:
            raise PermanentError(f"the predictions have no column {name!r}")
        return values


_Measure = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], Estimate]


def _measure(metric: str, *, value: Value | None, threshold: float, task: Task) -> _Measure:
    def measured(label: NDArray[Any], score: NDArray[Any], days: NDArray[Any]) -> Estimate:
        return estimate(metric, y=label, score=score, threshold=threshold, value=value, task=task, blocks=days)

    return measured


def _of_answers(
    req: Requirement, rows: _Rows, measure: _Measure, place: Literal["shadow", "canary", "live"]
) -> Verdict:
    if rows.places.size == 0:
        reason = f"{rows.waiting:,} predictions wait for their truth" if rows.waiting else "nothing was predicted"
        return judge(req, Estimate(figure=None, reason=reason), place=place)
    if req.by is None:
        return judge(req, measure(rows.label, rows.score, rows.days), place=place)
    parts = rows.column(req.by)
    if parts is None:
        return judge(req, Estimate(figure=None, reason=f"the predictions have no column {req.by!r}"), place=place)
    names = parts.astype(str)
    told = rows.column(SLICED)
    known = np.ones(len(names), bool) if told is None else told.astype(bool)
    if not known.any():
        reason = f"no inputs are kept that would tell {req.by!r}"
        return judge(req, Estimate(figure=None, reason=reason), place=place)
    slices: dict[str, Estimate] = {}
    for name in np.unique(names[known]).tolist():
        mine = known & (names == name)
        slices[name] = measure(rows.label[mine], rows.score[mine], rows.days[mine])
    return judge_slices(req, slices, place=place)


def _micros(moments: NDArray[Any]) -> NDArray[np.int64]:
    if moments.dtype.kind == "M":
        return moments.astype("datetime64[us]").astype(np.int64)
    return moments.astype(np.int64)
