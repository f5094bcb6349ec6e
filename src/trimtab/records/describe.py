"""One line of plain words for each kind of fact, for `trimtab log` and wherever a person follows what happened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from trimtab.records.facts import (
    ActionFinished,
    ActionIntended,
    AnyFact,
    Cause,
    Compared,
    DataExpired,
    DatasetCommitted,
    DriftMeasured,
    ModelTrained,
    PassFinished,
    PassPlanned,
    PersonForgetting,
    PersonForgotten,
    Recalibrated,
    ReleaseMoved,
    SystemDeclared,
    TelemetryPruned,
    TrainingFailed,
    TrainingTried,
    VerdictsGiven,
)
from trimtab.records.imported import RunImported
from trimtab.records.journal import Entry
from trimtab.records.requirement import Verdict
from trimtab.records.slices import WeakSlicesFound
from trimtab.records.studies import BacktestFinished, ExperimentFinished, SearchFinished, TrialFinished

WIDTH = 100
_HASH = re.compile(r"\b[0-9a-f]{16,}\b")


def describe(entry: Entry[Any], width: int = WIDTH) -> str:
    """One line, at most `width` columns: when, what it is about, and what happened.

    2013-04-02 05:00  release    r-1a2b -> shadow   passed 8 of 8 gates
    """
    word, told = _told(entry.fact)
    line = "".join(each if each.isprintable() else " " for each in f"{entry.at:%Y-%m-%d %H:%M}  {word:<9}  {told}")
    line = _HASH.sub(lambda found: found[0][:8], line).rstrip()
    return line if len(line) <= width else line[: width - 1] + "…"


def figure(verdict: Verdict) -> str:
    """A verdict's figure and its limit in the unit the user wrote: `0.712 (>= 0.66)`, `unknown (<= 15 ms)`."""
    unit = f" {verdict.unit}" if verdict.unit else ""
    scale = verdict.scale or 1.0
    found = "unknown" if verdict.figure is None else f"{_number(verdict.figure / scale)}{unit}"
    return f"{found} ({verdict.comparison} {_number(verdict.limit / scale)}{unit})"


def _told(fact: AnyFact) -> tuple[str, str]:  # noqa: PLR0911, PLR0912 - one branch a kind
    match fact:
        case SystemDeclared():
            return "system", f"{fact.name} declared as {fact.digest}"
        case DatasetCommitted():
            return "data", _dataset(fact)
        case ModelTrained():
            return "model", _model(fact)
        case TrainingFailed():
            return "training", f"{fact.identity.id} came to no model: {fact.reason}"
        case TrainingTried():
            return "training", f"tried on {fact.known_rows:,} known rows: {fact.model or 'no model'}"
        case ReleaseMoved():
            return "release", f"{fact.release} -> {fact.to}   {fact.why}"
        case Recalibrated():
            return "shift", fact.why
        case Compared():
            return "compared", _comparison(fact)
        case VerdictsGiven():
            return "verdicts", f"{fact.place} {fact.subject}: {verdicts_in_words(fact.verdicts)}"
        case DriftMeasured():
            return "drift", _drift(fact)
        case TelemetryPruned():
            told = f"{fact.answers:,} answers and {fact.truths:,} truths before {fact.before:%Y-%m-%d %H:%M}"
            return "telemetry", f"pruned: {told}, {_several(fact.segments, 'segment')}"
        case PersonForgetting():
            return "privacy", f"about to forget {fact.person}: {_held(fact)}"
        case PersonForgotten():
            return "privacy", f"forgot {fact.person}: {_several(fact.keys, 'key')} destroyed, {_held(fact)}"
        case DataExpired():
            told = f"{_several(fact.keys, 'key')} destroyed"
            return "privacy", f"{fact.dataset} before {fact.before:%Y-%m-%d} is no longer readable: {told}"
        case ActionIntended():
            return "intent", f"{fact.verb}: {fact.why}"
        case ActionFinished():
            return "outcome", f"{fact.verb} {fact.outcome}: {fact.summary}"
        case PassPlanned():
            verbs = ", ".join(action.verb for action in fact.actions)
            return "plan", _because(verbs or f"nothing: {fact.reason}", fact.causes)
        case PassFinished():
            doing = _several(len(fact.actions), "action") if fact.actions else f"did nothing: {fact.reason}"
            return "pass", _because(f"{fact.number}: {doing}", fact.causes)
        case BacktestFinished():
            return "backtest", _backtest(fact)
        case TrialFinished():
            return "trial", _trial(fact)
        case SearchFinished():
            found = ", ".join(f"{_name(name)} {_number(figure)}" for name, figure in fact.figures.items()) or "nothing"
            return "search", f"{fact.search}: {found} in {_several(fact.trials, 'trial')}; {fact.stopped}"
        case WeakSlicesFound():
            return "slices", _weak(fact)
        case ExperimentFinished():
            return "experiment", f"{fact.name} {fact.verdict}: {fact.why}"
        case RunImported():
            held = f"{_several(len(fact.params), 'parameter')}, {_several(len(fact.metrics), 'metric')}"
            return "imported", f"{fact.experiment} / {fact.name} ({fact.run}) from {fact.tool}: {held}"


def _held(fact: PersonForgetting | PersonForgotten) -> str:
    versions = sum(map(len, fact.versions.values()))
    held = ((versions, "version"), (len(fact.models), "model"), (len(fact.telemetry), "segment"))
    return f"held by {', '.join(_several(count, what) for count, what in held)}"


def verdicts_in_words(verdicts: Iterable[Verdict]) -> str:
    """How many are met, broken and unknown, and the first that is not met."""
    given = list(verdicts)
    counts = [(sum(v.status == status for v in given), status) for status in ("met", "broken", "unknown")]
    said = ", ".join(f"{count} {status}" for count, status in counts if count) or "none"
    worst = next((v for v in given if v.status == "broken"), None) or next(
        (v for v in given if v.status != "met"), None
    )
    if worst is None:
        return said
    where = f" for {worst.slice}" if worst.slice else ""
    return f"{said}: {_name(worst.metric)}{where} {figure(worst)}"


def _dataset(fact: DatasetCommitted) -> str:
    aside = sum(fact.quarantined.values())
    quarantined = f"{aside:,} quarantined, " if aside else ""
    growth = f"+{fact.added:,} rows to {fact.rows:,}"
    changed = "".join(f"; {change.in_words}" for change in fact.changes)
    return f"{fact.dataset} {fact.version}: {growth}, {quarantined}until {fact.until:%Y-%m-%d %H:%M}{changed}"


def _model(fact: ModelTrained) -> str:
    quality = [name for name in fact.metrics if name.startswith("quality.")] or list(fact.metrics)
    said = f"{fact.identity.id} on {fact.rows:,} rows of {fact.train_from:%Y-%m-%d} to {fact.train_to:%Y-%m-%d}"
    measured = [(name, fact.metrics[name].figure) for name in quality[:2]]
    told = [f"{_name(name)} {_number(found)}" for name, found in measured if found is not None]
    return ", ".join([said, *told])


def _comparison(fact: Compared) -> str:
    verdict = {"better": "better than", "worse": "worse than", "no_difference": "no different from"}[fact.verdict]
    interval = f"{_signed(fact.difference)} [{_signed(fact.low)}, {_signed(fact.high)}]"
    return (
        f"{fact.release} {verdict} {fact.champion} in {fact.place}: {_name(fact.metric)} {interval}, {fact.rows:,} rows"
    )


def _drift(fact: DriftMeasured) -> str:
    moved = sorted((c for c in fact.columns if c.drifted), key=lambda c: (-c.effect, c.column))
    said = f"{len(moved)} of {_several(len(fact.columns), 'column')} moved from {fact.model}"
    return ": ".join(
        [said, *([", ".join(f"{c.column} {c.statistic} {_number(c.effect)}" for c in moved)] if moved else [])]
    )


def _backtest(fact: BacktestFinished) -> str:
    released = f"{fact.releases} released, {fact.refused} refused, {fact.rolled_back} rolled back"
    worth = f"value {fact.value:,.0f} ({_number(fact.per_1000)} per 1,000)"
    return f"{fact.policy}: {worth}, {_several(fact.retrainings, 'retraining')}, {released}"


def _weak(fact: WeakSlicesFound) -> str:
    against = f"the live model {fact.against}" if fact.against else "on the whole"
    if not fact.slices:
        return f"{fact.release} is nowhere found worse than {against}"
    return f"{fact.release} is worse than {against} where {'; '.join(one.in_words for one in fact.slices)}"


def _trial(fact: TrialFinished) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in fact.params.items())
    misses = f", misses {', '.join(fact.broken)}" if fact.broken else ""
    return f"{fact.search} {fact.number}: {settings}: {fact.why or fact.model}{misses}"


def _because(said: str, causes: tuple[Cause, ...]) -> str:
    return f"{said}, for {', '.join(cause.name for cause in causes)}" if causes else said


def _name(metric: str) -> str:
    """A metric's name without its family."""
    return metric.partition(".")[2] or metric


def _several(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _number(value: float) -> str:
    """Three digits that matter, whole numbers in full."""
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _signed(value: float) -> str:
    return f"{value:+.3g}"
