"""`trimtab models list`: every model that was trained, with its release."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.figures import number
from trimtab.cli.models import imported
from trimtab.cli.models.find import SHORT, expect, models, releases
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table

if TYPE_CHECKING:
    from trimtab.wiring.place import Place

_MOST = 1000


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 0, 0, "list [SYSTEM] [--best METRIC]")
    if args.best is not None:
        return _best(place, args)
    known, moved = models(place), releases(place).all
    names = {key: [r for r in moved if r.model == key] for key in known}
    if args.json:
        emit_json(
            [{"at": e.at, "model": e.fact, "measured": e.measured, "releases": names[key]} for key, e in known.items()]
        )
        return 0
    metric = _metric(place)
    rows = []
    for key, entry in known.items():
        fact = entry.fact
        found = fact.metrics.get(metric)
        stage = ", ".join(f"{r.release} {r.stage.replace('_', ' ')}" for r in names[key])
        span = f"{fact.train_from:%Y-%m-%d}..{fact.valid_to:%Y-%m-%d}"
        rows.append(
            [
                key[:SHORT],
                f"{fact.rows:,}",
                span,
                number(found.figure) if found and found.figure is not None else "-",
                stage,
            ]
        )
    if rows:
        show_table("", ("model", "rows", "span", metric, "release"), rows, right=(1, 3))
    else:
        say("no model was trained yet: `trimtab run` trains the first")
    taken = imported.runs(place)
    if taken:
        say()
        imported.show(taken)
    return 0


def _best(place: Place, args: argparse.Namespace) -> int:
    """Every training of the ledger by its figure of one metric, those of searches and experiments too."""
    from trimtab.declaration.catalog import metrics
    from trimtab.declaration.problems import did_you_mean
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


def _metric(place: Place) -> str:
    """The figure that models are told apart by at a glance: the first required one that training measures."""
    from trimtab.loop.passes.evidence import deciding_metric

    wanted = (r.metric for r in place.system.requirements if r.metric.startswith("quality.") and r.by is None)
    return next(wanted, deciding_metric(place.system))
