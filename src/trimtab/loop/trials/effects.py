"""What lies behind an experiment's verdict: each period and seed, each slice, and what the effect is worth.

Figures of periods come from the models that the experiment kept; slices and worth need the test rows once more, and are
left out, with the reason, where these are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.declaration.system import System
from trimtab.experiments.spec import ExperimentSpec
from trimtab.loop.passes.evidence import truth_of
from trimtab.loop.past.history import MOMENT
from trimtab.loop.past.scored import scores_on
from trimtab.measures.comparison.hypothesis import Effect, Fold, effect_of, look
from trimtab.records.base import Record
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.studies import ExperimentFinished
from trimtab.training.again.compare import ModelDiff, diff
from trimtab.training.evaluate import days_of
from trimtab.training.job import TrainingJob
from trimtab.training.trainer import kept_model

_LEAST_ROWS = 30
_MOST_VALUES = 30
_WORTH = "value.per_1000"


class Figures(Record, kw_only=True):
    """Both arms' figure in one period, from one seed; periods are numbered from the newest."""

    period: int
    seed: int
    start: datetime
    end: datetime
    reference: float | None
    changed: float | None


class SliceEffect(Record, kw_only=True):
    """The effect on the rows that have `value` in `column`; intervals hold for all values of the column together."""

    column: str
    value: str
    rows: int
    difference: float
    low: float
    high: float


class Worth(Record, kw_only=True):
    """What the change is worth per 1,000 answers with its 95% interval, and how many answers a day there are."""

    per_1000: float
    low: float
    high: float
    answers_a_day: float


class Effects(Record, kw_only=True):
    """Everything behind a verdict. `arms` is what tells the two models of the newest period apart, None where they are
    not kept; `left_out` says in words what is missing."""

    figures: tuple[Figures, ...]
    slices: tuple[SliceEffect, ...]
    worth: Worth | None
    arms: ModelDiff | None
    left_out: tuple[str, ...]


def effects_of(
    spec: ExperimentSpec,
    fact: ExperimentFinished,
    *,
    system: System,
    blobs: Blobs,
    rows: pl.DataFrame | None,
    columns: Sequence[str],
) -> Effects:
    """Look behind `fact`. `rows` are the labelled rows that can still be had (None: none), `columns` make slices."""
    return _Behind(spec, fact, system, blobs, rows, columns).find()


@dataclass
class _Behind:
    spec: ExperimentSpec
    fact: ExperimentFinished
    system: System
    blobs: Blobs
    rows: pl.DataFrame | None
    columns: Sequence[str]
    left_out: list[str] = field(default_factory=list)

    def find(self) -> Effects:
        pairs = [[self._pair(*ids) for ids in one.models] for one in self.fact.rounds]
        figures = [
            Figures(
                period=period,
                seed=seed,
                start=pair[0].valid_from,
                end=pair[0].valid_to,
                reference=self._figure(pair[0]),
                changed=self._figure(pair[1]),
            )
            for period, models in enumerate(pairs, 1)
            for seed, pair in enumerate(models)
            if pair is not None
        ]
        first = next((pair for models in pairs for pair in models if pair is not None), None)
        tests = self._tests(pairs)
        return Effects(
            figures=tuple(figures),
            slices=tuple(self._slices(tests)),
            worth=self._worth(tests),
            arms=None if first is None else diff(*first, self._jobs(*first)),
            left_out=tuple(self.left_out),
        )

    def _pair(self, reference: str, changed: str) -> tuple[ModelTrained, ModelTrained] | None:
        found = [kept_model(self.blobs, name) for name in (reference, changed)]
        if found[0] is None or found[1] is None:
            return None
        return found[0].fact, found[1].fact

    def _jobs(self, a: ModelTrained, b: ModelTrained) -> tuple[TrainingJob, TrainingJob] | None:
        found = [self.blobs.get_ref(f"job-{model.identity.id}") for model in (a, b)]
        if found[0] is None or found[1] is None:
            return None
        first, second = (msgspec.json.decode(self.blobs.get(name), type=TrainingJob) for name in found if name)
        return first, second

    def _figure(self, model: ModelTrained) -> float | None:
        found = model.metrics.get(self.fact.metric)
        return found.figure if found is not None else None

    def _tests(self, pairs: Sequence[Sequence[tuple[ModelTrained, ModelTrained] | None]]) -> list[_Test]:
        """The test rows of each period with the scores of both arms; none where any is missing."""
        if self.rows is None or not all(models and all(models) for models in pairs):
            self.left_out.append("slices and worth: the test rows or the models are gone")
            return []
        tests: list[_Test] = []
        label = pl.col(str(self.system.labelled.label))
        labelled = self.rows.filter(label.is_not_null())
        if labelled.schema[str(self.system.labelled.label)].is_float():
            labelled = labelled.filter(label.is_not_nan())
        for models in pairs:
            known = [pair for pair in models if pair is not None]
            one = known[0][0]
            within = pl.col(MOMENT).is_between(one.valid_from, one.valid_to)
            part = labelled.filter(within).sort(MOMENT, *self.system.labelled.key)
            counted = next((e.rows for e in one.metrics.values() if e.rows), 0)
            if part.height != counted:
                self.left_out.append("slices and worth: the test rows are no longer the same")
                return []
            scores = tuple([scores_on(self.blobs, pair[arm].bundle, part) for pair in known] for arm in (0, 1))
            tests.append(_Test(part, truth_of(part, self.system, one), self._blocks(part), scores[0], scores[1], one))
        return tests

    def _blocks(self, rows: pl.DataFrame) -> NDArray[np.int64]:
        if self.spec.cluster is None:
            return days_of(rows.get_column(MOMENT))
        cells = rows.get_column(self.spec.cluster).cast(pl.String).fill_null("null")
        return cells.rank("dense").to_numpy().astype(np.int64)

    def _effect(self, metric: str, folds: Sequence[Fold]) -> Effect | None:
        if not folds:
            return None
        found = effect_of(metric, folds, value=self.system.value, task=self.system.task, seed=len(folds))
        return None if found.reason else found

    def _slices(self, tests: Sequence[_Test]) -> list[SliceEffect]:
        found: list[SliceEffect] = []
        for column in self.columns:
            if not tests or any(column not in test.rows.columns for test in tests):
                continue
            cells = [test.rows.get_column(column).cast(pl.String).fill_null("null") for test in tests]
            counts = dict(pl.concat(cells).value_counts().iter_rows())
            large = sorted((v for v, n in counts.items() if n >= _LEAST_ROWS), key=lambda v: -counts[v])[:_MOST_VALUES]
            for value in sorted(large):
                masks = [(each == value).to_numpy() for each in cells]
                folds = [test.fold(mask) for test, mask in zip(tests, masks, strict=True) if mask.any()]
                effect = self._effect(self.fact.metric, folds)
                if effect is None:
                    continue
                told = look(effect, at_least=0.0, level=0.05 / len(large))
                found.append(
                    SliceEffect(
                        column=column,
                        value=value,
                        rows=effect.rows,
                        difference=effect.difference,
                        low=told.low,
                        high=told.high,
                    )
                )
        return found

    def _worth(self, tests: Sequence[_Test]) -> Worth | None:
        if self.system.value is None or not tests:
            return None
        effect = self._effect(_WORTH, [test.fold(None) for test in tests])
        if effect is None:
            return None
        told = look(effect, at_least=0.0, level=0.05)
        days = sum(max((test.model.valid_to - test.model.valid_from).total_seconds() / 86400, 1.0) for test in tests)
        return Worth(per_1000=effect.difference, low=told.low, high=told.high, answers_a_day=effect.rows / days)


@dataclass(frozen=True)
class _Test:
    rows: pl.DataFrame
    y: NDArray[np.float64]
    blocks: NDArray[np.int64]
    reference: Sequence[NDArray[np.float64]]
    changed: Sequence[NDArray[np.float64]]
    model: ModelTrained

    def fold(self, mask: NDArray[np.bool_] | None) -> Fold:
        chosen = slice(None) if mask is None else mask
        threshold = self.model.bundle.signature.threshold
        return Fold(
            y=self.y[chosen],
            blocks=self.blocks[chosen],
            reference=[scores[chosen] for scores in self.reference],
            changed=[scores[chosen] for scores in self.changed],
            threshold_reference=threshold,
            threshold_changed=threshold,
        )
