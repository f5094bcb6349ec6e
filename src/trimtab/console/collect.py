"""From the ledger's entries to what a report shows. Nothing is measured here; it is only put in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from trimtab.console.advantage import policy_lines
from trimtab.console.report_data import (
    ActionRow,
    CauseRow,
    DatasetRow,
    DriftRow,
    DriftTable,
    ModelRow,
    Point,
    ReleaseStory,
    ReportData,
    RequirementLine,
    Step,
)
from trimtab.declaration.system import System
from trimtab.records.facts import (
    ActionFinished,
    ActionIntended,
    ColumnDrift,
    Compared,
    DatasetCommitted,
    DriftMeasured,
    ModelTrained,
    PassFinished,
    ReleaseMoved,
    TrainingFailed,
    VerdictsGiven,
)
from trimtab.records.journal import Entry
from trimtab.records.metric import Place
from trimtab.records.requirement import Estimate, Requirement, Verdict
from trimtab.records.studies import BacktestFinished

_When = tuple[str, datetime]
"""A release and a moment."""

_WATCHED: tuple[Place, ...] = ("live", "data", "canary", "shadow", "release")


def collect(entries: Iterable[Entry[Any]], backtests: Sequence[BacktestFinished], system: System) -> ReportData:
    """Gather a report from `entries` (in order of `seq`) and `backtests`.

    Backtests that stand in the entries are shown too; of two with one policy, that in `backtests` counts, else the
    newest.
    """
    known = list(entries)
    results = {e.fact.policy: e.fact for e in known if isinstance(e.fact, BacktestFinished)}
    results.update({result.policy: result for result in backtests})
    return ReportData(
        name=system.name,
        problem=system.problem,
        task=system.task,
        currency=system.value.currency if system.value else "",
        digest=system.digest,
        start=min((e.at for e in known), default=None),
        end=max((e.at for e in known), default=None),
        facts=len(known),
        passes=sum(isinstance(e.fact, PassFinished) for e in known),
        requirements=_requirements(known, system),
        releases=_releases(known),
        models=_models(known),
        drift=_drift(known),
        causes=_causes(known),
        actions=_actions(known),
        policies=policy_lines(list(results.values())),
        datasets=_datasets(known),
        unfinished=sum(isinstance(e.fact, TrainingFailed) for e in known),
    )


def _requirements(entries: list[Entry[Any]], system: System) -> tuple[RequirementLine, ...]:
    found: dict[tuple[str, str, float], dict[Place, dict[Any, Point]]] = {}
    for entry in entries:
        if isinstance(entry.fact, VerdictsGiven):
            for verdict in entry.fact.verdicts:
                places = found.setdefault(_same(verdict), {})
                places.setdefault(verdict.place, {})[entry.at] = _point(entry, verdict)
        elif isinstance(entry.fact, ReleaseMoved) and entry.fact.to != "retired":
            for verdict in entry.fact.evidence:
                places = found.setdefault(_same(verdict), {})
                places.setdefault(verdict.place, {}).setdefault(entry.at, _point(entry, verdict))
    lines = []
    for requirement in system.requirements:
        places = found.get(_same(requirement), {})
        place = next((p for p in _WATCHED if p in places), (*requirement.places, "live")[0])
        lines.append(_line(requirement, place, places.get(place, {})))
    return tuple(lines)


def _same(item: Requirement | Verdict) -> tuple[str, str, float]:
    return item.metric, item.comparison, item.limit


def _point(entry: Entry[Any], verdict: Verdict) -> Point:
    return Point(
        at=entry.at,
        status=verdict.status,
        figure=verdict.figure,
        low=verdict.low,
        high=verdict.high,
        rows=verdict.rows,
        part=verdict.slice,
        reason=verdict.reason,
    )


def _line(requirement: Requirement, place: Place, points: dict[Any, Point]) -> RequirementLine:
    return RequirementLine(
        metric=requirement.metric,
        comparison=requirement.comparison,
        limit=requirement.limit,
        unit=requirement.unit,
        scale=requirement.scale,
        by=requirement.by,
        columns=requirement.columns,
        place=place,
        points=tuple(points[at] for at in sorted(points)),
    )


def _releases(entries: list[Entry[Any]]) -> tuple[ReleaseStory, ...]:
    compared: dict[_When, list[Compared]] = {}
    judged: dict[_When, list[Verdict]] = {}
    moves: dict[str, list[tuple[datetime, ReleaseMoved]]] = {}
    for entry in entries:
        fact = entry.fact
        if isinstance(fact, Compared):
            compared.setdefault((fact.release, entry.at), []).append(fact)
        elif isinstance(fact, VerdictsGiven) and fact.place not in ("live", "data"):
            judged.setdefault((fact.subject, entry.at), []).extend(fact.verdicts)
        elif isinstance(fact, ReleaseMoved):
            moves.setdefault(fact.release, []).append((entry.at, fact))
    return tuple(
        ReleaseStory(release=name, model=steps[-1][1].model, steps=_steps(steps, judged, compared))
        for name, steps in moves.items()
    )


def _steps(
    moves: list[tuple[datetime, ReleaseMoved]],
    judged: dict[_When, list[Verdict]],
    compared: dict[_When, list[Compared]],
) -> tuple[Step, ...]:
    """What was measured at a moment belongs to the last move of that moment: the one that it decided."""
    steps = []
    for at, fact in reversed(moves):
        measured = judged.pop((fact.release, at), [])
        steps.append(
            Step(
                at=at,
                source=fact.source,
                to=fact.to,
                why=fact.why,
                evidence=fact.evidence or tuple(measured),
                compared=tuple(compared.pop((fact.release, at), ())),
            )
        )
    return tuple(reversed(steps))


def _models(entries: list[Entry[Any]]) -> tuple[ModelRow, ...]:
    rows: list[ModelRow] = []
    for entry in entries:
        if not isinstance(entry.fact, ModelTrained):
            continue
        fact, words = entry.fact, ("code", "params", "data")
        before = rows[-1] if rows else None
        measured = {name: Estimate(figure=value) for name, value in entry.measured.items() if "." in name}
        changed = [w for w in words if before is not None and getattr(fact.identity, w) != getattr(before, w)]
        rows.append(
            ModelRow(
                at=entry.at,
                id=fact.identity.id,
                code=fact.identity.code,
                params=fact.identity.params,
                data=fact.identity.data,
                changed=tuple(changed),
                rows=fact.rows,
                train_from=fact.train_from,
                train_to=fact.train_to,
                metrics=measured | fact.metrics,
                baseline=fact.baseline,
                parity=fact.parity,
            )
        )
    return tuple(rows)


def _drift(entries: list[Entry[Any]]) -> DriftTable:
    by_moment = {e.at: _by_column(e.fact.columns) for e in entries if isinstance(e.fact, DriftMeasured)}
    moments = sorted(by_moment)
    columns = {name: None for cells in by_moment.values() for name in cells}
    rows = []
    for column in columns:
        cells = [by_moment[moment].get(column) for moment in moments]
        rows.append(
            DriftRow(
                column=column,
                statistic=next(cell.statistic for cell, _ in filter(None, cells)),
                effects=tuple(cell[0].effect if cell else None for cell in cells),
                drifted=tuple(bool(cell and cell[1]) for cell in cells),
            )
        )
    rows.sort(key=lambda row: (-sum(row.drifted), -row.largest, row.column))
    return DriftTable(moments=tuple(moments), rows=tuple(rows))


def _by_column(measured: Sequence[ColumnDrift]) -> dict[str, tuple[ColumnDrift, bool]]:
    """One distance a column, KS or TV before PSI, because those two share a scale; and whether any of them drifted."""
    found: dict[str, tuple[ColumnDrift, bool]] = {}
    for item in measured:
        before = found.get(item.column)
        if before is None:
            found[item.column] = (item, item.drifted)
        else:
            shown = item if before[0].statistic == "psi" else before[0]
            found[item.column] = (shown, before[1] or item.drifted)
    return found


def _causes(entries: list[Entry[Any]]) -> tuple[CauseRow, ...]:
    rows: dict[str, CauseRow] = {}
    for entry in entries:
        if not isinstance(entry.fact, PassFinished):
            continue
        trained = any(action == "train" or action.endswith(":train") for action in entry.fact.actions)
        for cause in entry.fact.causes:
            before = rows.get(cause.name)
            rows[cause.name] = CauseRow(
                name=cause.name,
                passes=1 + (before.passes if before else 0),
                acted=trained + (before.acted if before else 0),
                first=before.first if before else entry.at,
                last=entry.at,
                evidence=cause.evidence,
            )
    return tuple(sorted(rows.values(), key=lambda row: (-row.acted, -row.passes, row.name)))


def _actions(entries: list[Entry[Any]]) -> tuple[ActionRow, ...]:
    done = {e.fact.action: e.fact for e in entries if isinstance(e.fact, ActionFinished)}
    rows = []
    for entry in entries:
        if isinstance(entry.fact, ActionIntended):
            fact, outcome = entry.fact, done.get(entry.fact.action)
            rows.append(
                ActionRow(
                    at=entry.at,
                    action=fact.action,
                    verb=fact.verb,
                    why=fact.why,
                    outcome=outcome.outcome if outcome else None,
                    summary=outcome.summary if outcome else "",
                )
            )
    return tuple(rows)


def _datasets(entries: list[Entry[Any]]) -> tuple[DatasetRow, ...]:
    rows: dict[str, DatasetRow] = {}
    for entry in entries:
        if isinstance(entry.fact, DatasetCommitted):
            fact, before = entry.fact, rows.get(entry.fact.dataset)
            aside = dict(before.quarantined) if before else {}
            for reason, count in fact.quarantined.items():
                aside[reason] = aside.get(reason, 0) + count
            rows[fact.dataset] = DatasetRow(
                dataset=fact.dataset,
                version=fact.version,
                versions=1 + (before.versions if before else 0),
                rows=fact.rows,
                until=fact.until,
                quarantined=aside,
                changes=(
                    *(before.changes if before else ()),
                    *((entry.at, change.in_words) for change in fact.changes),
                ),
            )
    return tuple(rows.values())
