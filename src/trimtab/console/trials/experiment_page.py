"""One experiment as one HTML page: what was expected, what was found look by look, and what lies behind it."""

from __future__ import annotations

from datetime import datetime

from trimtab.console import words
from trimtab.console.interval_strip import span_of, strip
from trimtab.console.page import page
from trimtab.console.trials.experiment_charts import looks_chart
from trimtab.declaration.units import format_quantity
from trimtab.experiments.spec import ExperimentSpec
from trimtab.loop.trials.effects import Effects, SliceEffect
from trimtab.records.base import Record
from trimtab.records.studies import ExperimentFinished

_ENDLESS = 1e300
_MONTH = 30


class ExperimentReport(Record, kw_only=True):
    """Everything on the page. `hypotheses` is how many the declaration has, which share the error between them."""

    system: str
    currency: str
    spec: ExperimentSpec
    at: datetime
    fact: ExperimentFinished
    effects: Effects
    hypotheses: int


def experiment_page(report: ExperimentReport) -> str:
    """The whole page. Raises PermanentError when jinja2 is not installed."""
    spec, fact = report.spec, report.fact
    more = spec.expect.comparison == ">="
    rows = [one for one in report.effects.figures if one.reference is not None and one.changed is not None]
    differences = [(one.changed or 0.0) - (one.reference or 0.0) for one in rows]
    span = span_of(differences, 0.0, fact.margin)
    return page(
        "experiment.html.j2",
        "report.css",
        "pages.css",
        report=report,
        spec=spec,
        fact=fact,
        looks=looks_chart(
            fact.rounds, fact.margin, more_is_better=more, scale=spec.expect.scale, unit=spec.expect.unit
        ),
        said=lambda figure: _said(spec, figure),
        plus=lambda figure: _plus(spec, figure),
        figures=[
            (one, change, strip(f"period {one.period}, seed {one.seed}", change, None, None, span, mark=0.0))
            for one, change in zip(rows, differences, strict=True)
        ],
        slices=_slices(report.effects.slices, more=more),
        least=None
        if fact.smallest_detectable is None
        else fact.margin + (1 if more else -1) * fact.smallest_detectable,
        month=_month(report),
        changes=_changes(report.effects),
    )


def _least(fact: ExperimentFinished, *, more: bool) -> float | None:
    """The smallest effect that could have been seen, counted from none."""
    if fact.smallest_detectable is None:
        return None
    return fact.margin + (1 if more else -1) * fact.smallest_detectable


def _said(spec: ExperimentSpec, figure: float) -> str:
    if abs(figure) >= _ENDLESS:
        return f"{words.MINUS if figure < 0 else ''}∞"
    return format_quantity(figure, spec.expect.unit, spec.expect.scale, digits=3).replace("-", words.MINUS)


def _plus(spec: ExperimentSpec, figure: float) -> str:
    return ("+" if figure >= 0 else "") + _said(spec, figure)


def _slices(found: tuple[SliceEffect, ...], *, more: bool) -> list[tuple[str, list[tuple[SliceEffect, str]]]]:
    """By column: each slice with its strip, the worst first."""
    told: dict[str, list[SliceEffect]] = {}
    for one in found:
        told.setdefault(one.column, []).append(one)
    pages = []
    for column, slices in told.items():
        span = span_of((end for one in slices for end in (one.low, one.high)), 0.0)
        ordered = sorted(slices, key=lambda one: one.difference if more else -one.difference)
        pages.append((column, [(one, _strip(one, span, more=more)) for one in ordered]))
    return pages


def _strip(one: SliceEffect, span: tuple[float, float], *, more: bool) -> str:
    better, worse = (one.low > 0, one.high < 0) if more else (one.high < 0, one.low > 0)
    shade = "better" if better else "worse" if worse else ""
    return strip(one.value, one.difference, one.low, one.high, span, mark=0.0, class_=shade, signed=True)


def _month(report: ExperimentReport) -> tuple[str, str] | None:
    """What the change is worth in thirty days at the pace of the test periods, and its interval."""
    worth = report.effects.worth
    if worth is None:
        return None
    times = worth.answers_a_day * _MONTH / 1000
    between = f"{words.signed(worth.low * times)} to {words.signed(worth.high * times)}"
    return words.signed(worth.per_1000 * times, report.currency), between


def _changes(effects: Effects) -> list[tuple[str, tuple[str, ...]]]:
    if effects.arms is None:
        return []
    told = (("code", effects.arms.code), ("hyper-parameters", effects.arms.params), ("data", effects.arms.data))
    return [(name, lines) for name, lines in told if lines]
