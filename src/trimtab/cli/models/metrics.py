"""`trimtab models metrics`: what a training logged, by step."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.curves import bars, plot
from trimtab.cli.figures import number, quantity
from trimtab.cli.models.find import expect
from trimtab.cli.models.tracked import named
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, styled, width

if TYPE_CHECKING:
    from trimtab.experiments.port import Curve
    from trimtab.records.tracking import Training
    from trimtab.wiring.place import Place

_ROWS = 6
_MARGIN = 12
_MOST = 8


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 0, 1, "metrics [SYSTEM] [MODEL] [--metric NAME] [--to FILE.html]")
    if not words:
        return _under_way(place, args)
    from trimtab.experiments.trainings import curves_of

    training = named(place, words[0])
    curves = curves_of(place.blobs, training)
    if args.metric is not None:
        curves = tuple(each for each in curves if args.metric in (each.title, each.name))
        if not curves:
            from trimtab.declaration.problems import did_you_mean

            known = [each.name for each in training.series]
            raise UsageError(
                f"{training.id} logged no {args.metric!r}{did_you_mean(args.metric, known)}",
                hint=f"it logged {', '.join(dict.fromkeys(known)) or 'nothing'}",
            )
    if args.to is not None:
        say(f"the training {training.id}: {styled(str(_page(place, training, curves, args.to)), 'bold')}")
        return 0
    if args.json:
        emit_json({"training": training.id, "outcome": training.outcome, "curves": [_told(each) for each in curves]})
        return 0
    if training.outcome == "failed":
        say(f"{styled('it came to no model', 'yellow')}: {plain(training.reason)}", indent=2)
        say()
    logged = [each for each in curves if each.fit == "evaluated" or (args.metric and each.fit == "shipped")]
    if not logged and not args.metric:
        say("the code logged nothing: call trimtab.log_metrics({...}, step=...) in train()")
    for curve in logged[:_MOST]:
        _draw(curve)
    if len(logged) > _MOST:
        say(
            f"{len(logged) - _MOST} more: {plain(', '.join(each.title for each in logged[_MOST:]))}; --metric picks one"
        )
    second = [each.title for each in curves if each.fit == "shipped"]
    if second and not args.metric:
        say(f"the second fit, on all rows, logged {len(second)} more: --metric {plain(second[0])}")
        say()
    for curve in curves:
        if curve.fit == "system":
            _line(curve)
    return 0


def _page(place: Place, training: Training, curves: Sequence[Curve], to: Path) -> Path:
    from trimtab.console.trials.training_page import training_page
    from trimtab.records.durable import write_atomically

    patch = place.blobs.get(training.source.patch).decode() if training.source.patch else ""
    write_atomically(to, training_page(place.system.name, training, curves, patch).encode())
    return to


def _under_way(place: Place, args: argparse.Namespace) -> int:
    """What trainings that have not ended have logged so far."""
    from trimtab.experiments.trainings import curves_in
    from trimtab.training.tracking.under_way import under_way

    if args.to is not None:
        raise UsageError("a page is made of one training", hint="name a MODEL")
    found = [(each, curves_in(each.points)) for each in under_way(place.layout.work)]
    if args.metric is not None:
        found = [(each, tuple(c for c in its if args.metric in (c.title, c.name))) for each, its in found]
    if args.json:
        emit_json([{"training": e.id, "running": e.running, "curves": [_told(c) for c in its]} for e, its in found])
        return 0
    if not found:
        say("no training is under way that has logged anything; name a MODEL for one that has ended")
    for each, curves in found:
        how = "under way" if each.running else "broken off: `trimtab run` goes on with it"
        say(f"{styled(each.id, 'bold')} is {how}")
        say()
        for curve in curves[:_MOST]:
            _draw(curve)
    return 0


def _draw(curve: Curve) -> None:
    steps, values = curve.steps.tolist(), curve.values.tolist()
    finite = [value for value in values if value - value == 0]
    gone = f", {len(values) - len(finite)} not finite" if len(finite) < len(values) else ""
    say(f"{styled(plain(curve.title), 'bold')}  {_shown(values[-1])} at step {steps[-1]:,}{gone}")
    if len(finite) > 1:
        lines = plot(steps, values, columns=width() - _MARGIN, rows=_ROWS)
        for row, line in enumerate(lines):
            label = number(max(finite)) if row == 0 else number(min(finite)) if row == len(lines) - 1 else ""
            say(f"{label:>{_MARGIN - 2}} {styled('│', 'dim')}{line}")
        ends = f"{steps[0]:,}", f"{steps[-1]:,}"
        say(f"{'':{_MARGIN}}{ends[0]}{ends[1]:>{width() - _MARGIN - len(ends[0])}}")
    say()


def _line(curve: Curve) -> None:
    values = curve.values.tolist()
    top = max(values)
    shown = quantity(top, "MiB", 2**20) if curve.name.endswith("memory") else number(top)
    say(f"{curve.name:<10}  {bars(values, max(10, width() - 40))}  at most {shown}")


def _shown(value: float) -> str:
    return number(value) if value - value == 0 else str(value)


def _told(curve: Curve) -> dict[str, object]:
    return {
        "fit": curve.fit,
        "name": curve.name,
        "steps": curve.steps.tolist(),
        "values": curve.values.tolist(),
        "at": curve.at.tolist(),
    }
