"""Two models told apart: code, hyper-parameters, data and environment, joined to the requirements that moved."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.store.state import Difference
from trimtab.declaration.system import System
from trimtab.errors import TrimtabError
from trimtab.loop.passes.evidence import compare, truth_of
from trimtab.loop.passes.gate import release_verdicts
from trimtab.loop.passes.weakness import RATE, loss_metric, losses, weak_where
from trimtab.loop.past.history import MOMENT
from trimtab.loop.past.scored import scores_on
from trimtab.loop.ports import Datasets
from trimtab.loop.standing import stood_on
from trimtab.measures.metrics.declared import measurable
from trimtab.measures.metrics.statistic import Undefined
from trimtab.records.base import Record
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained, ReleaseMoved, VerdictsGiven
from trimtab.records.journal import Entry
from trimtab.records.ledger import Ledger
from trimtab.records.metric import is_answered
from trimtab.records.model import ModelBundle
from trimtab.records.requirement import Verdict
from trimtab.records.slices import WeakSlice
from trimtab.training.again.compare import ModelDiff, diff
from trimtab.training.job import TrainingJob

_MOST_ROWS = 100_000
_LEAST_ROWS = 20
_CONTEXT = 2


class FileDiff(Record, kw_only=True):
    """One file of the code: a unified diff of its lines, empty for one that is no text."""

    path: str
    added: int
    removed: int
    unified: tuple[str, ...]


class OnSameRows(Record, kw_only=True):
    """One metric of both models on the same rows: `difference` is oriented so that above zero `b` is better."""

    metric: str
    difference: float
    low: float
    high: float
    verdict: Literal["better", "worse", "no_difference"]
    reason: str = ""


class RequirementMove(Record, kw_only=True):
    """A requirement as each model held it: where it was measured of it last, each on its own rows. `paired` is the
    difference on the same rows, where answers can be compared."""

    metric: str
    before: Verdict | None
    after: Verdict | None
    paired: OnSameRows | None = None

    @property
    def moved(self) -> bool:
        """Whether the verdict is another one, or the figure is on the same rows, beyond chance."""
        before, after = (None if v is None else v.status for v in (self.before, self.after))
        return before != after or (self.paired is not None and self.paired.verdict != "no_difference")


class Shared(Record, kw_only=True):
    """The labelled rows that neither model was fitted on: how many, and of which span; `reason` why there are none."""

    rows: int = 0
    since: datetime | None = None
    until: datetime | None = None
    reason: str = ""


class Apart(Record, kw_only=True):
    """Everything that tells model `b` from model `a`. `versions` are the differences of the versions that they stand
    on, by dataset, where both are still kept; `weak` are slices of the shared rows in which `b` loses more in
    `weak_metric`, of which a share of `rate` is expected to be false."""

    models: ModelDiff
    files: tuple[FileDiff, ...]
    versions: dict[str, Difference]
    shared: Shared
    requirements: tuple[RequirementMove, ...]
    others: tuple[OnSameRows, ...]
    weak_metric: str
    rate: float
    weak: tuple[WeakSlice, ...]


@dataclass
class Telling:
    """Tells models of one system apart. `difference` is that of two versions of a dataset, where they are kept."""

    system: System
    ledger: Ledger
    blobs: Blobs
    datasets: Datasets
    difference: Callable[[str, str, str], Difference | None]
    now: datetime

    def apart(self, a: Entry[ModelTrained], b: Entry[ModelTrained]) -> Apart:
        """From `a` to `b`."""
        one, two = a.fact, b.fact
        jobs = self._job(one), self._job(two)
        models = diff(one, two, (jobs[0], jobs[1]) if jobs[0] is not None and jobs[1] is not None else None)
        rows, shared = self._rows(one, two)
        paired: tuple[OnSameRows, ...] = ()
        weak: tuple[WeakSlice, ...] = ()
        if rows is not None:
            try:
                paired, weak = self._on(rows, one, two)
            except (TrimtabError, ValueError) as error:  # columns that one of them needs are not there any more
                shared = Shared(reason=f"they cannot answer the same rows: {error}")
        by_metric = {p.metric: p for p in paired}
        requirements = self._requirements(a, b, by_metric)
        required = {r.metric for r in requirements}
        return Apart(
            models=models,
            files=self._files(one, two),
            versions=self._versions(one, two),
            shared=shared,
            requirements=requirements,
            others=tuple(p for p in paired if p.metric not in required),
            weak_metric=loss_metric(self.system),
            rate=RATE,
            weak=weak,
        )

    def _versions(self, a: ModelTrained, b: ModelTrained) -> dict[str, Difference]:
        before, after = (stood_on(self.ledger, model.identity.id) for model in (a, b))
        moved = [name for name in before if name in after and before[name] != after[name]]
        found = {name: self.difference(name, before[name], after[name]) for name in moved}
        return {name: one for name, one in found.items() if one is not None}

    def _job(self, model: ModelTrained) -> TrainingJob | None:
        kept = self.blobs.get_ref(f"job-{model.identity.id}")
        try:
            return None if kept is None else msgspec.json.decode(self.blobs.get(kept), type=TrainingJob)
        except (TrimtabError, msgspec.MsgspecError):
            return None  # made by another version: the facts tell enough

    def _files(self, a: ModelTrained, b: ModelTrained) -> tuple[FileDiff, ...]:
        changed = [
            name
            for name in sorted(a.code_files.keys() | b.code_files.keys())
            if a.code_files.get(name) != b.code_files.get(name)
        ]
        return tuple(_unified(name, self._text(a, name), self._text(b, name)) for name in changed)

    def _text(self, model: ModelTrained, name: str) -> list[str] | None:
        """The lines of a file; None for one that is no text, nothing for one that is not there."""
        if name not in model.code_files:
            return []
        try:
            return self.blobs.get(model.code_files[name]).decode().splitlines()
        except UnicodeDecodeError:
            return None

    def _rows(self, a: ModelTrained, b: ModelTrained) -> tuple[pl.DataFrame | None, Shared]:
        """Labelled rows after both models' training rows, the newest ones."""
        try:
            known = self.datasets.labelled(self.now)
        except TrimtabError as error:
            return None, Shared(reason=error.message)
        label = str(self.system.labelled.label)
        after = max(a.train_to, b.train_to)
        rows = known.filter((pl.col(MOMENT) > after) & pl.col(label).is_not_null()).tail(_MOST_ROWS)
        if rows.height < _LEAST_ROWS:
            return None, Shared(reason=f"{rows.height} labelled rows are newer than what both models were fitted on")
        first, last = rows[MOMENT][0], rows[MOMENT][-1]
        return rows, Shared(rows=rows.height, since=first, until=last)

    def _on(
        self, rows: pl.DataFrame, a: ModelTrained, b: ModelTrained
    ) -> tuple[tuple[OnSameRows, ...], tuple[WeakSlice, ...]]:
        """Every metric of the two on the same rows, and where the second loses more."""
        system = self.system
        if is_answered(system.task):
            return self._answered(rows, a, b), ()
        y = truth_of(rows, system, b)
        scores = [self._scores(model, rows) for model in (a, b)]
        thresholds = a.bundle.signature.threshold, b.bundle.signature.threshold
        found = []
        for metric in measurable(system.task):
            if metric == "value.per_1000" and system.value is None:
                continue
            p = compare(
                system,
                y=y,
                champion=scores[0],
                challenger=scores[1],
                thresholds=thresholds,
                moments=rows[MOMENT].to_physical().to_numpy(),
                metric=metric,
            )
            found.append(
                OnSameRows(
                    metric=metric, difference=p.difference, low=p.low, high=p.high, verdict=p.verdict, reason=p.reason
                )
            )
        try:
            loss = [losses(system, y, score, at) for score, at in zip(scores, thresholds, strict=True)]
        except Undefined:
            return tuple(found), ()
        return tuple(found), weak_where(system, rows, loss[1] - loss[0], (a, b))

    def _answered(self, rows: pl.DataFrame, a: ModelTrained, b: ModelTrained) -> tuple[OnSameRows, ...]:
        """The same of answers that are no scores."""
        from trimtab.loop.passes.answered import AnsweredRows  # here: models of tables decode nothing

        asking = AnsweredRows(self.system, self.blobs, self.datasets)
        old, new = (asking.judged(_bundle(model, rows), rows) for model in (a, b))
        metrics = [m for m in measurable(self.system.task) if m != "value.per_1000" or self.system.value is not None]
        return tuple(
            OnSameRows(
                metric=metric, difference=p.difference, low=p.low, high=p.high, verdict=p.verdict, reason=p.reason
            )
            for metric, p in asking.compared(old, new, rows[MOMENT].to_physical().to_numpy(), metrics)
        )

    def _scores(self, model: ModelTrained, rows: pl.DataFrame) -> NDArray[np.float64]:
        return scores_on(self.blobs, _bundle(model, rows), rows)

    def _requirements(
        self, a: Entry[ModelTrained], b: Entry[ModelTrained], paired: dict[str, OnSameRows]
    ) -> tuple[RequirementMove, ...]:
        """Each requirement that was measured of one of the two, at its release or where it was live."""
        before, after = self._judged(a), self._judged(b)
        return tuple(
            RequirementMove(
                metric=key[0],
                before=before.get(key),
                after=after.get(key),
                paired=None if key[3] else paired.get(key[0]),
            )
            for key in dict.fromkeys((*after, *before))
        )

    def _judged(self, entry: Entry[ModelTrained]) -> dict[tuple[str, str, float, bool], Verdict]:
        """Verdicts by metric, comparison, limit, and whether of slices: those at its release, as requirements are now,
        and of what only a server shows those that were given last while it was live."""
        given = release_verdicts(self.system, entry.fact, entry.measured)
        names = {
            move.fact.release for move in self.ledger.entries(ReleaseMoved) if move.fact.model == entry.fact.identity.id
        }
        for name in sorted(names):
            last = self.ledger.last(VerdictsGiven, prefix=f"verdicts:live:{name}:")
            if last is not None:
                there = {v.metric for v in given}
                given += tuple(v for v in last.fact.verdicts if v.metric not in there)
        sliced = {(r.metric, r.limit) for r in self.system.requirements if r.by is not None}
        return {(v.metric, v.comparison, v.limit, (v.metric, v.limit) in sliced): v for v in given}


def _unified(name: str, before: list[str] | None, after: list[str] | None) -> FileDiff:
    if before is None or after is None:
        return FileDiff(path=name, added=0, removed=0, unified=())
    lines = list(difflib.unified_diff(before, after, name, name, n=_CONTEXT, lineterm=""))
    own = lines[2:]
    return FileDiff(
        path=name,
        added=sum(line.startswith("+") for line in own),
        removed=sum(line.startswith("-") for line in own),
        unified=tuple(own),
    )


def _bundle(model: ModelTrained, rows: pl.DataFrame) -> ModelBundle:
    """The model that ships, where it has not learned from these rows, else the one that was measured."""
    learned = model.evaluated is not None and rows[MOMENT][0] <= model.valid_to
    return model.evaluated if learned and model.evaluated is not None else model.bundle
