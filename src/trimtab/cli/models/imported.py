"""`trimtab models imported`: runs that were taken over from other trackers, and one of them whole."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.figures import number
from trimtab.cli.models.find import SHORT, expect, find, models, releases
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled

if TYPE_CHECKING:
    from trimtab.records.facts import ModelTrained
    from trimtab.records.imported import RunImported
    from trimtab.wiring.place import Place

MOST = 20
"""Rows that are shown of what may be long."""


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 0, 1, "imported [SYSTEM] [RUN]")
    if words:
        return _show(run_called(place, words[0]), args)
    found = runs(place)
    if args.json:
        emit_json(found)
        return 0
    if not found:
        say("no run was taken over: `trimtab models import mlflow:PLACE` takes them")
        return 0
    show(found)
    return 0


def show(found: list[RunImported]) -> None:
    """A table of imported runs."""
    shown = [
        [
            one.run[:SHORT],
            plain(f"{one.experiment} / {one.name}"),
            f"{one.started:%Y-%m-%d}",
            plain(", ".join(f"{name} {number(figure)}" for name, figure in list(one.metrics.items())[:3])),
            plain(", ".join(one.registered)),
        ]
        for one in found
    ]
    show_table("", (f"imported ({found[0].tool})", "experiment / run", "started", "metrics", "registered"), shown)


def runs(place: Place) -> list[RunImported]:
    """Every imported run."""
    from trimtab.experiments.importing import imported

    return imported(place.ledger)


def run_called(place: Place, name: str) -> RunImported:
    """The imported run with that id, or a unique beginning of it, or that name."""
    found = runs(place)
    close = [one for one in found if len(name) >= 4 and one.run.startswith(name)]
    close = close or [one for one in found if one.name == name]
    if len(close) != 1:
        told = f"{len(close)} imported runs are called {name!r}" if close else f"no imported run is called {name!r}"
        raise UsageError(told, hint="`trimtab models imported` names them")
    return close[0]


def either(place: Place, name: str) -> ModelTrained | RunImported:
    """The model of ours that is meant, or else the imported run."""
    ours = any(key.startswith(name) for key in models(place)) or any(r.release == name for r in releases(place).all)
    theirs = any(one.run.startswith(name) or one.name == name for one in runs(place))
    return run_called(place, name) if theirs and not ours else find(place, name).fact


def _show(found: RunImported, args: argparse.Namespace) -> int:
    if args.json:
        emit_json(found)
        return 0
    say(f"{styled(found.run, 'bold')}: imported from {plain(found.tool)}, {plain(found.store)}", indent=2)
    ended = f" to {found.ended:%Y-%m-%d %H:%M}" if found.ended else ""
    for title, text in (
        ("run", f"{found.experiment} / {found.name}, {found.outcome}"),
        ("when", f"{found.started:%Y-%m-%d %H:%M}{ended} UTC"),
        ("data", ", ".join(found.datasets) or "not said"),
        ("params", ", ".join(f"{name} = {value}" for name, value in found.params.items()) or "none"),
        ("tags", ", ".join(f"{name} = {value}" for name, value in found.tags.items()) or "none"),
        ("registry", ", ".join(found.registered) or "not registered"),
        ("points", f"{found.points:,}" if found.points else "none"),
    ):
        say(f"{title:<9}{plain(text)}", indent=9)
    say()
    if found.metrics:
        rows = [[plain(name), number(figure)] for name, figure in found.metrics.items()]
        show_table("", ("metric, as it was told there", "last"), rows, right=(1,))
    if found.files:
        say()
        shown = [[plain(f.path), f"{f.size:,}", "copied" if f.digest else "there"] for f in found.files[:MOST]]
        more = f" (of {len(found.files)})" if len(found.files) > MOST else ""
        show_table("", (f"file{more}", "bytes", ""), shown, right=(1,))
    for reason, count in found.left_out.items():
        say(f"left out: {count:,} {plain(reason)}", indent=2)
    return 0
