"""The rule by which one of several trials goes on, and why each of the others does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.declaration.requirements.catalog import metrics
from trimtab.declaration.system import System
from trimtab.loop.passes.evidence import truth_of
from trimtab.loop.past.scored import scores_on
from trimtab.measures.comparison.paired import Paired, paired_difference
from trimtab.measures.front import pareto
from trimtab.measures.metrics.declared import measurable
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.studies import TrialFinished
from trimtab.training.evaluate import days_of
from trimtab.training.spec import SearchSpec
from trimtab.training.split import moments

Compare = Callable[[TrialFinished, TrialFinished], Paired | None]
"""The second trial against the first on the same rows, above zero where the second is better; None: cannot be told."""


@dataclass(frozen=True)
class Choice:
    """`front` are the feasible trials that nothing beats, the best in the first objective first; `passed_over` says of
    each trial that was not chosen why, by its number."""

    front: Sequence[TrialFinished]
    chosen: TrialFinished | None
    rule: str
    passed_over: Mapping[str, str] = field(default_factory=dict)


def choose(spec: SearchSpec, trials: Sequence[TrialFinished], compare: Compare) -> Choice:
    """Apply the declared rule.

    `best`: the trial of the front that is best in the objective named first. `simplest`: of the feasible trials that
    are within one standard error of that one in the first objective, on the same rows, the one with the best
    `cheapest` (Breiman et al. 1984, "Classification and Regression Trees", 3.4.3; the error is of the paired
    difference, which is what tells two models on the same rows apart). The earlier of two equals.
    """
    feasible = sorted((trial for trial in trials if trial.feasible), key=lambda trial: trial.number)
    signs = signs_of(spec)
    points = [oriented(signs, trial) for trial in feasible]
    front = [feasible[i] for i in sorted(pareto(points), key=lambda i: [-x for x in points[i]])]
    name = spec.objectives[0]
    if not front:
        none = {str(trial.number): _lacks(trial) for trial in trials}
        return Choice((), None, f"best {name}", none)
    best = front[0]
    if spec.choose == "best":
        why = {str(t.number): _beaten(signs, t, best, front) for t in trials if t is not best}
        return Choice(front, best, f"the best {name}", why)
    against = {trial.number: compare(best, trial) for trial in feasible if trial is not best}
    level = [best, *(trial for trial in feasible if trial is not best and _level(against[trial.number]))]
    lower = 1.0 if metrics()[spec.cheapest].better == "lower" else -1.0
    level = [trial for trial in level if spec.cheapest in trial.figures] or [best]
    chosen = min(level, key=lambda trial: (lower * trial.figures.get(spec.cheapest, 0.0), trial.number))
    rule = f"of those within one standard error of the best {name}, the best {spec.cheapest}"
    why = {}
    for trial in trials:
        if trial is chosen:
            continue
        if not trial.feasible:
            why[str(trial.number)] = _lacks(trial)
        elif trial in level:
            cost = trial.figures.get(spec.cheapest)
            why[str(trial.number)] = (
                f"no further ahead than chance in {name}, and {spec.cheapest} is {cost:.4g} against "
                f"{chosen.figures[spec.cheapest]:.4g}"
            )
        else:
            why[str(trial.number)] = _apart(name, best, against.get(trial.number))
    return Choice(front, chosen, rule, why)


def signs_of(spec: SearchSpec) -> dict[str, float]:
    """What each objective is multiplied by, so that greater is better."""
    known = metrics()
    return {name: 1.0 if known[name].better == "higher" else -1.0 for name in spec.objectives}


def oriented(signs: Mapping[str, float], trial: TrialFinished) -> list[float]:
    """The objectives' figures, greater is better."""
    return [sign * trial.figures[name] for name, sign in signs.items()]


def on_rows(
    system: System, spec: SearchSpec, rows: pl.DataFrame, blobs: Blobs, model: Callable[[str], ModelTrained | None]
) -> Compare:
    """Compares trials by what their models answer on `rows`, labelled ones that none of them was fitted on. Models are
    scored once."""
    name = spec.objectives[0]
    scored: dict[str, tuple[ModelTrained, NDArray[np.float64]] | None] = {}

    def scores(trial: TrialFinished) -> tuple[ModelTrained, NDArray[np.float64]] | None:
        if trial.model not in scored:
            found = model(trial.model)
            scored[trial.model] = None if found is None else (found, scores_on(blobs, found.bundle, rows))
        return scored[trial.model]

    def compare(best: TrialFinished, other: TrialFinished) -> Paired | None:
        if name not in measurable(system.task):
            return None
        one, two = scores(best), scores(other)
        if one is None or two is None:
            return None
        data = system.labelled
        return paired_difference(
            name,
            y=truth_of(rows, system, one[0]),
            champion=one[1],
            challenger=two[1],
            threshold_champion=one[0].bundle.signature.threshold,
            threshold_challenger=two[0].bundle.signature.threshold,
            value=system.value,
            task=system.task,
            blocks=days_of(moments(rows, data.time, data.predict_before)),
        )

    return compare


def _level(paired: Paired | None) -> bool:
    """Whether a trial is within one standard error of the best."""
    return paired is not None and paired.error is not None and paired.difference >= -paired.error


def _beaten(
    signs: Mapping[str, float], trial: TrialFinished, best: TrialFinished, front: Sequence[TrialFinished]
) -> str:
    if not trial.feasible:
        return _lacks(trial)
    name = next(iter(signs))
    if trial in front:
        return f"on the front, but {name} is {trial.figures[name]:.4g} against {best.figures[name]:.4g}"
    mine = oriented(signs, trial)
    by = next(other for other in front if all(a >= b for a, b in zip(oriented(signs, other), mine, strict=True)))
    return f"trial {by.number} is as good or better in every objective"


def _lacks(trial: TrialFinished) -> str:
    if trial.broken and trial.figures:
        return f"misses {', '.join(trial.broken)}"
    return trial.why or "no model came of it"


def _apart(name: str, best: TrialFinished, paired: Paired | None) -> str:
    if paired is None or paired.error is None:
        return f"{name} is behind trial {best.number}"
    behind = f"{name} is {-paired.difference:.3g} behind trial {best.number}"
    return f"{behind}, more than one standard error ({paired.error:.2g})"
