"""One search as one HTML page: what was tried, what it came to, and why one goes on and the others do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from trimtab.console import words
from trimtab.console.interval_strip import strip
from trimtab.console.page import page
from trimtab.console.trials.search_charts import Dot, front_chart, parallel_chart, progress_chart, value_chart
from trimtab.declaration.requirements.catalog import metrics
from trimtab.records.base import Record
from trimtab.records.studies import SearchFinished, TrialFinished
from trimtab.training.search.importance import LEAST_TRIALS, importance
from trimtab.training.spec import SearchSpec

_STATES = {
    "chosen": "chosen",
    "front": "on the front",
    "feasible": "holds everything",
    "broken": "misses a requirement",
    "given-up": "given up",
}


class SearchReport(Record, kw_only=True):
    """Everything on the page. `spec` is the search as it is declared now."""

    system: str
    spec: SearchSpec
    at: datetime
    fact: SearchFinished
    trials: tuple[TrialFinished, ...]


def search_page(report: SearchReport) -> str:
    """The whole page. Raises PermanentError when jinja2 is not installed."""
    fact, trials = report.fact, report.trials
    space = [one for one in report.spec.space if all(one.name in trial.params for trial in trials)]
    names = fact.objectives
    dots = [_dot(fact, trial) for trial in trials if all(name in trial.figures for name in names)]
    known = metrics()
    higher = [name not in known or known[name].better == "higher" for name in names]
    measured = [(d.params, d.figures[0] if higher[0] else -d.figures[0]) for d in dots]
    shares = importance(space, measured)
    width, parallel = parallel_chart(dots, space, names) if len(dots) > 1 and len(space) > 1 else (0.0, "")
    chosen = next((trial for trial in trials if trial.number == fact.chosen), None)
    return page(
        "search.html.j2",
        "report.css",
        "pages.css",
        report=report,
        fact=fact,
        states=_STATES,
        names=names,
        reached=_reached(dots, names, higher=higher[0]),
        several=len(names) > 1,
        by_value=[(one.name, value_chart(dots, one, names[0])) for one in space] if dots else [],
        parallel=parallel,
        parallel_width=width,
        shares=[
            (name, words.share(round(1000 * share), 1000), strip(name, share, None, None, (0.0, 1.0), bar=True))
            for name, share in shares.items()
        ],
        too_few=len(space) > 1 and not shares and len(dots) < LEAST_TRIALS,
        least=LEAST_TRIALS,
        chosen=chosen,
        declared=next((trial for trial in trials if trial.number == 0), None),
        rule=fact.rule if isinstance(fact.rule, str) else f"the best {names[0]} of the front",
        rows=[(trial, _state(fact, trial), _why(fact, trial)) for trial in _ordered(fact, trials)],
        figure=_figure,
        value=_value,
    )


def _reached(dots: Sequence[Dot], names: Sequence[str], *, higher: bool) -> str:
    if not dots:
        return ""
    return front_chart(dots, names) if len(names) > 1 else progress_chart(dots, names[0], higher=higher)


def _state(fact: SearchFinished, trial: TrialFinished) -> str:
    if trial.number == fact.chosen:
        return "chosen"
    if trial.given_up:
        return "given-up"
    if trial.broken or not trial.figures:
        return "broken"
    return "front" if trial.number in fact.front else "feasible"


def _why(fact: SearchFinished, trial: TrialFinished) -> str:
    """Why it does not go on."""
    passed: Mapping[str, str] = fact.passed_over if isinstance(fact.passed_over, dict) else {}
    if trial.number == fact.chosen:
        return f"goes on: {fact.rule}" if isinstance(fact.rule, str) else "goes on"
    missed = ", ".join(f"{name} by {100 * by:.3g}%" for name, by in trial.broken.items() if name in trial.figures)
    return passed.get(str(trial.number)) or trial.why or (f"misses {missed}" if missed else "")


def _ordered(fact: SearchFinished, trials: Sequence[TrialFinished]) -> list[TrialFinished]:
    order = list(_STATES)
    return sorted(trials, key=lambda trial: (order.index(_state(fact, trial)), trial.number))


def _dot(fact: SearchFinished, trial: TrialFinished) -> Dot:
    state = _state(fact, trial)
    figures = ", ".join(f"{name} {words.significant(trial.figures[name], 4)}" for name in fact.objectives)
    settings = ", ".join(f"{name} {_value(value)}" for name, value in trial.params.items())
    name = "declared" if trial.number == 0 else f"trial {trial.number}"
    return Dot(
        number=trial.number,
        class_=state,
        figures=tuple(trial.figures[name] for name in fact.objectives),
        params=dict(trial.params),
        told=f"{name}: {figures}; {settings} ({_STATES[state]})",
    )


def _figure(trial: TrialFinished, name: str) -> str:
    return words.significant(trial.figures[name], 4) if name in trial.figures else words.NO_FIGURE


def _value(value: object) -> str:
    return words.significant(value) if isinstance(value, float) else str(value)
