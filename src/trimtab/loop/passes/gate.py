"""The release gate: every requirement that can be measured before release, and a paired comparison on newest rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
import polars as pl

from trimtab.declaration.system import System
from trimtab.loop.passes.evidence import as_fact, compare_all, truth_of
from trimtab.loop.passes.plan import say_difference
from trimtab.loop.passes.weakness import found, warning
from trimtab.loop.past.history import MOMENT
from trimtab.loop.past.scored import scores_on
from trimtab.loop.people.forgotten import tainted_models
from trimtab.loop.ports import Datasets
from trimtab.loop.releases import ReleaseState
from trimtab.measures.comparison.paired import Paired
from trimtab.measures.judge import acceptable, judge, judge_slices
from trimtab.measures.metrics.declared import estimate, measurable
from trimtab.measures.metrics.statistic import Undefined
from trimtab.records.base import Record
from trimtab.records.blobs import Blobs
from trimtab.records.facts import Compared, ModelTrained, VerdictsGiven
from trimtab.records.journal import Draft
from trimtab.records.ledger import Ledger
from trimtab.records.metric import is_answered
from trimtab.records.model import ModelBundle
from trimtab.records.requirement import Estimate, Requirement, Verdict
from trimtab.records.slices import WeakSlicesFound

_LABELS = "labels."


class Decision(Record, kw_only=True):
    """What a gate said and why, in one line."""

    passed: bool
    why: str


def decide(
    challenger: Sequence[Verdict],
    champion: Sequence[Verdict] | None,
    compared: Sequence[Compared],
    *,
    must_go: bool = False,
) -> Decision:
    """The rule of the release gate.

    A challenger passes when every requirement is acceptable or excused and, on the newest rows that neither was trained
    on, it is better than the live model in at least one figure the two are compared by and in none beyond chance worse.
    One week is too short to prove a small gain, so proof is not asked for; but who shows none is refused. What is
    `excused` does not stop a challenger that is better. A live model that `must_go`, because it learned from someone
    who was forgotten, is replaced by any that holds what is required.
    """
    verdicts = excused(challenger, champion or ())
    failing = [v for v in verdicts if not (v.excused or acceptable(v))]
    if failing:
        return Decision(passed=False, why="; ".join(_say(v) for v in failing))
    passed, said = _passed(verdicts), "; ".join(say_difference(c) for c in compared)
    if must_go:
        told = f"the live model learned from someone who was forgotten{f'; {said}' if said else ''}"
        return Decision(passed=True, why=f"{passed}; {told}")
    if any(c.verdict == "worse" for c in compared):
        return Decision(passed=False, why=f"worse than the live model: {said}")
    if compared and all(c.difference <= 0 for c in compared):
        return Decision(passed=False, why=f"no better than the live model: {said}")
    return Decision(passed=True, why=f"{passed}; {said}" if said else passed)


def excused(challenger: Sequence[Verdict], champion: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The challenger's verdicts, with the reason on those that it is excused from: what the live model does not hold on
    the same rows either, keeping that one would not hold it any better. Both in the order of the declaration, which may
    ask for one metric several times."""
    beside: dict[tuple[str, str, float], list[Verdict]] = {}
    for verdict in champion:
        beside.setdefault((verdict.metric, verdict.comparison, verdict.limit), []).append(verdict)
    told = []
    for verdict in challenger:
        same = beside.get((verdict.metric, verdict.comparison, verdict.limit))
        theirs = same.pop(0) if same else None
        if theirs is None or acceptable(theirs) or acceptable(verdict):
            told.append(verdict)
        else:
            why = f"the live model does not hold it on the same rows either: it is {_because(theirs)}"
            told.append(msgspec.structs.replace(verdict, excused=why))
    return tuple(told)


def _passed(verdicts: Sequence[Verdict]) -> str:
    """What a challenger passed, what of it is not proven, and what it was excused from."""
    held, let_off = [v for v in verdicts if not v.excused], [v for v in verdicts if v.excused]
    told = f"passed {len(held)} of {len(verdicts)} requirements"
    if not let_off:
        told = f"passed {len(held)} requirement{'s' if len(held) != 1 else ''}"
    unproven = dict.fromkeys(v.metric for v in held if v.status != "met")
    if unproven:
        told += f" (too little evidence to prove {', '.join(unproven)})"
    return "; ".join((told, *(f"excused from {v.metric}, which is {_because(v)}: {v.excused}" for v in let_off)))


def _because(verdict: Verdict) -> str:
    return f"{verdict.status} ({verdict.reason})" if verdict.reason else verdict.status


def _drafts(weak: Sequence[WeakSlicesFound], number: str, now: datetime) -> list[Draft]:
    return [Draft(key=f"weak:{one.release}:{one.against or 'itself'}:{number}", fact=one, at=now) for one in weak]


def _say(verdict: Verdict) -> str:
    said = f"{verdict.metric} {verdict.status}"
    return f"{said}: {verdict.reason}" if verdict.reason else said


def release_verdicts(system: System, model: ModelTrained, measured: Mapping[str, float]) -> tuple[Verdict, ...]:
    """Every requirement that can be measured of a model before release, judged on what was measured of it."""
    verdicts = []
    for req in system.requirements:
        if "release" not in req.places or req.metric.startswith(_LABELS):
            continue
        if req.by is not None:
            prefix = f"{req.metric}|{req.by}="
            slices = {k.removeprefix(prefix): e for k, e in model.slices.items() if k.startswith(prefix)}
            verdicts.append(judge_slices(req, slices, place="release"))
        else:
            found = model.metrics.get(req.metric)
            if found is None and req.metric in measured:
                found = Estimate(figure=measured[req.metric])
            missing = Estimate(figure=None, reason="the training did not measure it")
            verdicts.append(judge(req, found or missing, place="release"))
    return tuple(verdicts)


def _unaware(champion: ModelTrained, rows: pl.DataFrame) -> ModelBundle:
    """The live model; where it has learned from some of these rows, as it was before they were added."""
    learned = champion.evaluated is not None and rows.height > 0 and rows[MOMENT][0] <= champion.valid_to
    return champion.evaluated if learned and champion.evaluated is not None else champion.bundle


@dataclass
class Gate:
    """Measures what the rule decides on."""

    system: System
    ledger: Ledger
    blobs: Blobs
    datasets: Datasets

    def judge(
        self, release: ReleaseState, model: ModelTrained, champion: ModelTrained | None, number: str, now: datetime
    ) -> tuple[Decision, tuple[Draft, ...]]:
        """The decision on a candidate, and the verdicts and comparisons it rests on as facts."""
        verdicts = (*self._verdicts(model), *self._of_labels(now))
        rows = self._holdout(model, now)
        mine = None
        weak: list[WeakSlicesFound] = []
        if not is_answered(self.system.task):
            mine = truth_of(rows, self.system, model), scores_on(self.blobs, model.evaluated or model.bundle, rows)
            weak = self._weak(release.release, model, rows, y=mine[0], score=mine[1])
        if champion is None:
            return decide(verdicts, None, ()), (
                self._given(release, verdicts, number, now),
                *_drafts(weak, number, now),
            )
        if mine is None:
            pairs, theirs = self._answered(champion, model, rows)
        else:
            y, new = mine
            old = scores_on(self.blobs, _unaware(champion, rows), rows)
            weak += self._weak(release.release, model, rows, y=y, score=new, other=(champion, old))
            pairs = compare_all(
                self.system,
                y=y,
                champion=old,
                challenger=new,
                thresholds=(champion.bundle.signature.threshold, model.bundle.signature.threshold),
                moments=rows[MOMENT].to_physical().to_numpy(),
            )
            theirs = self._champion_verdicts(champion, rows, y, old)
        compared = [
            as_fact(
                paired, metric=metric, release=release.release, champion=champion, challenger=model, place="release"
            )
            for metric, paired in pairs
        ]
        about = f"compared:{release.release}:release"
        facts = [self._given(release, excused(verdicts, theirs), number, now)]
        facts += [Draft(key=f"{about}:{c.metric}:{number}", fact=c, at=now) for c in compared]
        must_go = champion.identity.id in tainted_models(self.ledger)
        decision = decide(verdicts, theirs, compared, must_go=must_go)
        facts += _drafts(weak, number, now)
        for told in [warning(fact) for fact in weak if fact.against]:
            if told and decision.passed:
                decision = msgspec.structs.replace(decision, why=f"{decision.why}; but {told}")
        return decision, tuple(facts)

    def _given(self, release: ReleaseState, verdicts: tuple[Verdict, ...], number: str, now: datetime) -> Draft:
        fact = VerdictsGiven(place="release", subject=release.release, verdicts=verdicts)
        return Draft(key=f"verdicts:release:{release.release}:{number}", fact=fact, at=now)

    def _weak(
        self,
        release: str,
        model: ModelTrained,
        rows: pl.DataFrame,
        *,
        y: np.ndarray,
        score: np.ndarray,
        other: tuple[ModelTrained, np.ndarray] | None = None,
    ) -> list[WeakSlicesFound]:
        """Where the candidate does worse than on the whole, or than another model: a warning, never a refusal. Nothing
        where answers cannot be told good or bad one by one."""
        try:
            return [found(self.system, release, rows, y=y, model=(model, score), other=other)]
        except Undefined:
            return []

    def _answered(
        self, champion: ModelTrained, model: ModelTrained, rows: pl.DataFrame
    ) -> tuple[list[tuple[str, Paired]], tuple[Verdict, ...]]:
        """The comparison with the live model, and what that one would be judged, of answers that are no scores."""
        from trimtab.loop.passes.answered import AnsweredRows  # here: gates of tables decode nothing

        judging = AnsweredRows(self.system, self.blobs, self.datasets)
        old, new = judging.judged(_unaware(champion, rows), rows), judging.judged(model.evaluated or model.bundle, rows)
        moments = rows[MOMENT].to_physical().to_numpy()
        return judging.compared(old, new, moments), judging.verdicts(old, rows, "release")

    def _holdout(self, model: ModelTrained, now: datetime) -> pl.DataFrame:
        """The labelled rows that the candidate was validated on."""
        rows = self.datasets.labelled(now)
        label = str(self.system.labelled.label)
        return rows.filter(pl.col(MOMENT).is_between(model.valid_from, model.valid_to) & pl.col(label).is_not_null())

    def _verdicts(self, model: ModelTrained) -> tuple[Verdict, ...]:
        entry = self.ledger.get(f"model:{model.identity.id}")
        return release_verdicts(self.system, model, entry.measured if entry is not None else {})

    def _of_labels(self, now: datetime) -> tuple[Verdict, ...]:
        """Verdicts on the labels that the candidate learned from: no better model mends them."""
        if not any(req.metric.startswith(_LABELS) for req in self.system.requirements):
            return ()
        return tuple(msgspec.structs.replace(v, place="release") for v in self.datasets.label_verdicts(now))

    def _champion_verdicts(
        self, champion: ModelTrained, rows: pl.DataFrame, y: np.ndarray, score: np.ndarray
    ) -> tuple[Verdict, ...]:
        """What the live model would be judged on the same rows; only requirements on its answers can differ."""
        known = measurable(self.system.task)
        threshold = champion.bundle.signature.threshold
        days = rows[MOMENT].to_physical().to_numpy() // 86_400_000_000

        def measure(req: Requirement, mask: np.ndarray) -> Estimate:
            return estimate(
                req.metric,
                y=y[mask],
                score=score[mask],
                threshold=threshold,
                value=self.system.value,
                task=self.system.task,
                blocks=days[mask],
            )

        verdicts = []
        for req in self.system.requirements:
            if "release" not in req.places or req.metric not in known:
                continue
            everything = np.ones(len(y), dtype=bool)
            if req.by is None or req.by not in rows.columns:
                verdicts.append(judge(req, measure(req, everything), place="release"))
                continue
            parts = rows[req.by].cast(pl.String).to_numpy()
            slices = {str(part): measure(req, parts == part) for part in sorted({p for p in parts if p is not None})}
            verdicts.append(judge_slices(req, slices, place="release"))
        return tuple(verdicts)
