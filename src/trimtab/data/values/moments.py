"""When a prediction is made and when its truth is known: the two moments that keep the future out."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from trimtab.data.spec import DatasetSpec


def prediction_moment(spec: DatasetSpec) -> pl.Expr:
    """When the prediction for a row is made: `predict_before` before its time. Nothing later may reach its features."""
    return pl.col(spec.time) - timedelta(seconds=spec.predict_before)


def known_at(spec: DatasetSpec) -> pl.Expr:
    """When the truth of a row is known: `label_delay` after its prediction; its own time where there is no label."""
    return pl.col(spec.time) + timedelta(seconds=spec.known_after)


def known_until(now: datetime, spec: DatasetSpec) -> datetime:
    """The newest `time` whose truth is known at `now`."""
    return now - timedelta(seconds=spec.known_after)
