"""The report of a system's history: one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from trimtab.console import words
from trimtab.console.charts import marks_of
from trimtab.console.collect import collect
from trimtab.console.drift_chart import FULL, MOST_ROWS, STEPS, drift_chart
from trimtab.console.page import page
from trimtab.console.report_data import PolicyLine, ReportData, RequirementLine
from trimtab.console.requirement_chart import requirement_chart
from trimtab.console.timeline_chart import MOST, timeline_chart
from trimtab.console.value_chart import lead_chart, policy_class, totals_chart

__all__ = ["ReportData", "collect", "render"]

_QUIET_VERBS = frozenset({"collect", "recalibrate", "apply", "retire"})


def render(data: ReportData) -> str:
    """The page. PermanentError when jinja2 is not installed."""
    span = _span(data)
    found = marks_of(data.releases)
    return page(
        "report.html.j2",
        "report.css",
        data=data,
        summary=_summary(data),
        held=_held(data.requirements),
        requirement_charts=[(line, requirement_chart(line, found, span)) for line in data.requirements],
        totals=totals_chart(data.policies),
        lead=lead_chart(data.policies) if len(data.policies) > 1 else "",
        classes={line.policy: policy_class(line.policy, i) for i, line in enumerate(data.policies)},
        declared=next((line for line in data.policies if line.policy == "declared"), None),
        timeline=timeline_chart(data.releases, span),
        timeline_left_out=max(0, len(data.releases) - MOST),
        drift=drift_chart(data.drift, span),
        drift_left_out=max(0, len(data.drift.rows) - MOST_ROWS),
        heat_steps=range(STEPS + 1),
        heat_full=FULL["ks"],
        compared=[line for line in data.policies if line.behind is not None],
        doings=[row for row in data.actions if row.verb not in _QUIET_VERBS or row.outcome == "failed"],
        model_metrics=_model_metrics(data),
    )


def _span(data: ReportData) -> tuple[datetime, datetime]:
    """What every chart over time shows, so that they can be read below one another."""
    start = data.start or datetime(1970, 1, 1, tzinfo=UTC)
    end = data.end or start
    return start, max(end, start + timedelta(hours=1))


def _held(lines: Sequence[RequirementLine]) -> dict[str, int]:
    """Verdicts by status over all requirements that are watched over time."""
    watched = [line for line in lines if line.place in ("live", "data")]
    return {status: sum(line.count(status) for line in watched) for status in ("met", "unknown", "broken")}


def _summary(data: ReportData) -> str:
    """What happened, in two sentences."""
    parts = [
        f"trained {words.count(len(data.models), 'model')}",
        f"promoted {words.count(data.promoted, 'release')}",
        f"refused {data.moved('rejected')}",
        f"rolled back {data.moved('rolled_back')}",
    ]
    span = (data.end - data.start).days if data.start and data.end else 0
    days = f"Over {words.count(span, 'day')} the" if span else "The"
    first = f"{days} loop {', '.join(parts[:-1])} and {parts[-1]}."
    declared = next((line for line in data.policies if line.policy == "declared"), None)
    if declared is None:
        return first
    compared = [_against(line, data.currency) for line in data.policies if line.behind is not None]
    worth = f"The declared policy was worth {words.money(declared.value, data.currency)}"
    return f"{first} {worth}{': ' + '; '.join(compared) if compared else ''}."


def _against(line: PolicyLine, currency: str) -> str:
    item = line.behind
    if item is None:
        return ""
    amount = words.money(abs(item.figure), currency)
    more = "more" if item.figure >= 0 else "less"
    sure = item.low is not None and item.high is not None and (item.low > 0 or item.high < 0)
    return f"{amount} {more} than {words.doing(line.policy)}{'' if sure else ', which may be chance'}"


def _model_metrics(data: ReportData) -> list[str]:
    """The metrics worth a column in the table of models: those that are required, else the first four there are."""
    known = {name for row in data.models for name in row.metrics}
    required = [line.metric for line in data.requirements if line.metric in known]
    return list(dict.fromkeys(required)) or sorted(known)[:4]
