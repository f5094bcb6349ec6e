"""What a trial is measured on, step by step: parts of the training rows, then all of them, then earlier periods."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from trimtab.declaration.system import System
from trimtab.errors import PermanentError
from trimtab.training.spec import SearchSpec
from trimtab.training.split import LEAST_TRAIN, Split, moments, split


@dataclass(frozen=True)
class Rung:
    """One fit: its rows, and whether its figures count (those of a part of the rows only tell who is behind)."""

    part: Split
    whole: bool


def periods(system: System, spec: SearchSpec, rows: pl.DataFrame, now: datetime) -> list[Split]:
    """What trials are fitted and judged on, the newest first; all before the gate's holdout. Fewer than declared where
    the rows do not reach back so far. Raises PermanentError where they do not for one."""
    data, model = system.labelled, system.model
    at = now
    found: list[Split] = []
    for number in range(spec.folds + 1):
        span = model.holdout if number == 0 or spec.period is None else spec.period
        try:
            part = split(rows, spec=data, now=at, window=model.window, holdout=span, task=system.task)
        except PermanentError:
            if len(found) < 2:
                raise
            break
        found.append(part)
        first: datetime = moments(part.valid, data.time, data.predict_before)[0]
        at = first + timedelta(seconds=data.label_delay, microseconds=-1)
    return found[1:]


def rungs_of(parts: list[Split], spec: SearchSpec) -> list[Rung]:
    """The fits of one trial, in order."""
    newest = parts[0]
    few = [replace(newest, train=share_of(newest.train, share)) for share in sorted(spec.shares)]
    return [*(Rung(part, whole=False) for part in few), *(Rung(part, whole=True) for part in parts)]


def share_of(rows: pl.DataFrame, share: float) -> pl.DataFrame:
    """Every so-manieth row, the first and the last among them: the same seasons and days in the same proportions."""
    height = min(rows.height, max(LEAST_TRAIN, round(rows.height * share)))
    return rows[np.unique(np.linspace(0, rows.height - 1, height).round().astype(np.int64))]
