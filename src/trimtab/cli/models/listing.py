"""`trimtab models list`: every model that was trained, with its release."""

from __future__ import annotations

import argparse
from math import inf
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.figures import number
from trimtab.cli.models import imported
from trimtab.cli.models.find import SHORT, expect, models, releases
from trimtab.cli.models.sheet import fitting, required, write_csv
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled
from trimtab.measures.judge import holds

if TYPE_CHECKING:
    from trimtab.records.facts import ModelTrained
    from trimtab.records.requirement import Requirement
    from trimtab.wiring.place import Place

_MOST = 1000
_ROWS, _SPAN = "rows", "span"


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 0, 0, "list [SYSTEM] [--best METRIC] [--csv]")
    if args.best is not None:
        return _best(place, args)
    known, moved = models(place), releases(place).all
    names = {key: [r for r in moved if r.model == key] for key in known}
    if args.json:
        emit_json(
            [{"at": e.at, "model": e.fact, "measured": e.measured, "releases": names[key]} for key, e in known.items()]
        )
        return 0
    wanted = required(place.system)
    if args.csv:
        write_csv(known, names, wanted)
        return 0
    if known:
        columns = [
            ("model", [key[:SHORT] for key in known]),
            *((_head(each), [_judged(entry.fact, each) for entry in known.values()]) for each in wanted),
            (_ROWS, [f"{entry.fact.rows:,}" for entry in known.values()]),
            (_SPAN, [f"{e.fact.train_from:%Y-%m-%d}..{e.fact.valid_to:%Y-%m-%d}" for e in known.values()]),
            ("release", [", ".join(f"{r.release} {r.stage.replace('_', ' ')}" for r in names[key]) for key in known]),
        ]
        shown = fitting(columns, (_SPAN, *(_head(each) for each in wanted[:0:-1]), _ROWS))
        heads = [head for head, _ in shown]
        right = [i for i, head in enumerate(heads) if head == _ROWS or any(head == _head(each) for each in wanted)]
        show_table("", heads, list(zip(*(cells for _, cells in shown), strict=True)), right=right)
        hidden = [each.metric for each in wanted if _head(each) not in heads]
        if hidden:
            say(f"not shown for want of width: {', '.join(hidden)}; --csv has every figure")
    else:
        say("no model was trained yet: `trimtab run` trains the first")
    taken = imported.runs(place)
    if taken:
        say()
        imported.show(taken[-imported.MOST :])
        if len(taken) > imported.MOST:
            say(f"the last {imported.MOST} of {len(taken):,}; `trimtab models imported` shows all")
    return 0


def _best(place: Place, args: argparse.Namespace) -> int:
    """Every training of the ledger by its figure of one metric, those of searches and experiments too."""
    from trimtab.declaration.problems import did_you_mean
    from trimtab.declaration.requirements.catalog import metrics
    from trimtab.wiring.tracking import indexed

    with indexed(place) as index:
        known = metrics().get(args.best)
        found = index.best(args.best, highest=known is None or known.better == "higher", limit=_MOST)
        names = index.metrics()
    if not found:
        raise UsageError(
            f"no training has a figure of {args.best!r}{did_you_mean(args.best, names)}",
            hint=f"there is {', '.join(names) or 'none yet: `trimtab run` trains the first'}",
        )
    if args.json:
        emit_json([each._asdict() for each in found])
        return 0
    rows = [[each.id[:SHORT], number(each.figure), plain(each.group)] for each in found]
    show_table("", ("training", args.best, "for"), rows, right=(1,))
    return 0


def _head(required: Requirement) -> str:
    """`roc_auc >= 0.66`, and the metric alone where nothing is required of it."""
    name = required.metric.partition(".")[2] or required.metric
    if abs(required.limit) == inf:
        return name
    unit = required.unit if required.unit in ("", "%") else f" {required.unit}"
    return f"{name} {required.comparison} {number(required.limit / required.scale)}{unit}"


def _judged(fact: ModelTrained, required: Requirement) -> str:
    """The figure, in red where it breaks the limit by itself."""
    found = fact.metrics.get(required.metric)
    if found is None or found.figure is None:
        return "-"
    shown = number(found.figure / required.scale)
    return shown if holds(found.figure, required.comparison, required.limit) else styled(shown, "red")
