"""When a prediction is made and when its truth is known: the two moments that keep the future out."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from trimtab.data.spec import DatasetSpec
from trimtab.data.times import microseconds


def prediction_moment(spec: DatasetSpec) -> pl.Expr:
    """When the prediction for a row is made: `predict_before` before its time. Nothing later may reach its features."""
    return pl.col(spec.time) - timedelta(seconds=spec.predict_before)


def known_at(spec: DatasetSpec) -> pl.Expr:
    """When the truth of a row is known: `label_delay` after its prediction; its own time where there is no label."""
    return pl.col(spec.time) + timedelta(seconds=spec.known_after)


def known_until(now: datetime, spec: DatasetSpec) -> datetime:
    """The newest `time` whose truth is known at `now`."""
    return now - timedelta(seconds=spec.known_after)


def as_of(rows: pl.DataFrame, spec: DatasetSpec, now: datetime) -> pl.DataFrame:
    """The rows whose truth is known at `now`, in their order; a row without a label is never known."""
    known = pl.col(spec.time) <= microseconds(known_until(now, spec))
    if spec.label is not None:
        known = known & pl.col(spec.label).is_not_null()
    return rows.filter(known)
