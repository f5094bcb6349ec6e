"""The quality of one dataset as one HTML page that needs nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from trimtab.console import words
from trimtab.console.collect import collect as history
from trimtab.console.data_charts import completeness_chart, distribution, reasons_chart
from trimtab.console.drift_chart import FULL, MOST_ROWS, STEPS, drift_chart
from trimtab.console.page import page
from trimtab.console.report_data import DriftTable, RequirementLine
from trimtab.console.requirement_chart import requirement_chart
from trimtab.data.quality.measure import longest_window, measure
from trimtab.data.quality.profile import ColumnProfile, Profile, profile
from trimtab.data.values.moments import known_until
from trimtab.records.base import Record
from trimtab.records.requirement import Verdict

if TYPE_CHECKING:
    import polars as pl

    from trimtab.data.quality.check import Others
    from trimtab.data.spec import DatasetSpec
    from trimtab.data.store.state import Quarantined
    from trimtab.declaration.system import System
    from trimtab.records.journal import Entry

_EXAMPLES = 3
_WORTH_A_LINE = 3
_CELLS = 8
_LONGEST = 60
MOST_COLUMNS = 60


class Refused(Record, kw_only=True):
    """A reason for refusing rows, how many there were, and a few of them as (key, seen at, cells)."""

    reason: str
    count: int
    examples: tuple[tuple[str, datetime, str], ...]


class DataReport(Record, kw_only=True):
    """Everything that the page shows. `pictures` are the distributions by column, drawn; `over_time` is the map of
    what is missing. Verdicts are of the newest rows, `lines` what the ledger remembers of them."""

    system: str
    dataset: str
    source: str
    version: str | None
    start: datetime | None
    end: datetime | None
    told: Profile
    hidden: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    judged: int
    lines: tuple[RequirementLine, ...]
    refused: tuple[Refused, ...]
    over_time: str
    pictures: tuple[tuple[ColumnProfile, str], ...]
    drift: DriftTable


def collect(
    rows: pl.DataFrame,
    spec: DatasetSpec,
    system: System,
    *,
    version: str | None,
    hidden: Sequence[str],
    quarantined: Quarantined,
    entries: Iterable[Entry[Any]],
    others: Others,
) -> DataReport:
    """Look at the rows of a dataset, and at what the ledger says of it. `hidden` columns are personal: none of their
    cells is shown, among them those of refused rows."""
    shown_rows = rows.drop(hidden, strict=False)
    told = profile(shown_rows, spec.name)
    labelled = spec.name == system.labelled.name
    times = rows.get_column(spec.time).drop_nulls() if spec.time in rows.columns else None
    start, end = (times.min(), times.max()) if times is not None and len(times) else (None, None)
    assert start is None or isinstance(start, datetime)
    assert end is None or isinstance(end, datetime)
    past = history(entries, (), system) if labelled else None
    verdicts, judged = _verdicts(rows, system, quarantined, end, others) if labelled else ((), 0)
    return DataReport(
        system=system.name,
        dataset=spec.name,
        source=spec.source,
        version=version,
        start=start,
        end=end,
        told=told,
        hidden=tuple(hidden),
        verdicts=verdicts,
        judged=judged,
        lines=tuple(line for line in past.requirements if line.place == "data" and len(line.points) >= _WORTH_A_LINE)
        if past
        else (),
        refused=_refused(quarantined, {*hidden, *spec.personal}),
        over_time=completeness_chart(shown_rows, spec.time),
        pictures=tuple((c, distribution(rows.get_column(c.name), c)) for c in told.columns[:MOST_COLUMNS] if c.present),
        drift=past.drift if past else DriftTable(moments=(), rows=()),
    )


def render(data: DataReport) -> str:
    """The whole page. Raises PermanentError when jinja2 is not installed."""
    span = (data.start or datetime(1970, 1, 1, tzinfo=UTC), data.end or datetime(1970, 1, 2, tzinfo=UTC))
    marked = [point.at for line in data.lines for point in line.points]
    seen = (min(marked), max(*marked, min(marked) + timedelta(hours=1))) if marked else span
    cells = data.told.rows * len(data.told.columns)
    nulls = sum(column.nulls for column in data.told.columns)
    return page(
        "data.html.j2",
        "report.css",
        "data.css",
        data=data,
        full=1 - nulls / cells if cells else None,
        refused=sum(line.count for line in data.refused),
        held={status: sum(v.status == status for v in data.verdicts) for status in ("met", "unknown", "broken")},
        line_charts=[(line, requirement_chart(line, [], seen)) for line in data.lines],
        reasons=reasons_chart([(line.reason, line.count) for line in data.refused]),
        drift=drift_chart(data.drift, seen),
        drift_left_out=max(0, len(data.drift.rows) - MOST_ROWS),
        columns_left_out=max(0, len(data.told.columns) - MOST_COLUMNS),
        heat_steps=range(STEPS + 1),
        heat_full=FULL["ks"],
        span_of=span_of,
        often=often,
        shown=shown,
    )


def span_of(column: ColumnProfile) -> str:
    """From the least to the greatest value, in words."""
    if column.low is None:
        return words.NO_FIGURE
    if isinstance(column.low, datetime):
        return f"{words.day(column.low)} to {words.day(column.high)}"
    whole = column.kind == "text" or "Int" in column.type
    low, high = (f"{int(v):,}" if whole else words.significant(float(v)) for v in (column.low, column.high))
    between = low if low == high else f"{low} to {high}"
    return f"{between} letters" if column.kind == "text" else between


def shown(verdict: Verdict) -> str:
    """The figure of a verdict: a count as it is, all else to four digits."""
    if verdict.figure is not None and not verdict.unit and verdict.figure == int(verdict.figure) and verdict.figure > 1:
        return f"{int(verdict.figure):,}"
    return words.figure(verdict.figure, verdict.unit, verdict.scale, 4)


def often(column: ColumnProfile) -> str:
    """What the column mostly holds, in words."""
    if column.kind == "time":
        return f"{column.days:.0%} of days have a row" if column.days is not None else ""
    if column.kind == "text" and column.distinct > column.present / 2:
        return ", ".join(f"{shape.value} {words.share(shape.count, column.present)}" for shape in column.shapes)
    if column.tops:
        return ", ".join(f"{top.value} {words.share(top.count, column.present)}" for top in column.tops[:3])
    if column.quantiles:
        low, middle, high = (words.significant(column.quantiles[index]) for index in (1, 2, 3))
        return f"half within {low} to {high}, median {middle}"
    return ""


def _verdicts(
    rows: pl.DataFrame, system: System, quarantined: Quarantined, end: datetime | None, others: Others
) -> tuple[tuple[Verdict, ...], int]:
    """The verdicts as of the newest row, on the rows that count then, and how many these are."""
    spec = system.labelled
    wanted = [r for r in system.requirements if r.metric.startswith("data.")]
    if end is None or not wanted:
        return (), 0
    import polars as pl  # only here, and only for a page

    now = end + timedelta(seconds=max(0.0, spec.known_after))
    since = known_until(now, spec) - timedelta(seconds=longest_window(wanted, system.policy.window))
    recent = rows.filter(pl.col(spec.time) > since)
    lately = quarantined.rows.filter(pl.col("time") > since)
    counts = dict(lately.group_by("reason").len().iter_rows())
    judged = measure(
        recent, spec, wanted, now=now, quarantined=counts, newest=end, others=others, window=system.policy.window
    )
    return tuple(judged), recent.height


def _refused(quarantined: Quarantined, hidden: set[str]) -> tuple[Refused, ...]:
    shown: dict[str, list[tuple[str, datetime, str]]] = {}
    for row in quarantined.rows.to_dicts():
        found = shown.setdefault(row["reason"], [])
        if len(found) < _EXAMPLES:
            found.append((row["key"] or words.NO_FIGURE, row["seen_at"], _cells(row["row"], hidden)))
    ordered = sorted(quarantined.reasons.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        Refused(reason=reason, count=count, examples=tuple(shown.get(reason, ()))) for reason, count in ordered
    )


def _cells(row: str, hidden: set[str]) -> str:
    """The first cells of a refused row, those that are personal left out."""
    try:
        told = json.loads(row)
    except ValueError:
        return words.NO_FIGURE
    if not isinstance(told, dict):
        return words.NO_FIGURE
    kept = [f"{name} {_short(value)}" for name, value in told.items() if name not in hidden and value is not None]
    return ", ".join(kept[:_CELLS]) + (", …" if len(kept) > _CELLS else "")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
