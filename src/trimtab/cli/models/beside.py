"""`trimtab models diff` where one of the two was tracked by another tool: what each says of itself."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trimtab.cli.figures import number
from trimtab.cli.models.find import SHORT
from trimtab.cli.models.imported import either
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table

if TYPE_CHECKING:
    from trimtab.wiring.place import Place


def show_beside(place: Place, first: str, second: str, args: argparse.Namespace) -> bool:
    """Show the two side by side; False, and nothing is shown, where both are models of ours."""
    from trimtab.records.imported import RunImported

    if place.ledger.last(RunImported) is None:
        return False
    from trimtab.experiments.beside import beside, side_of

    a, b = either(place, first), either(place, second)
    if not isinstance(a, RunImported) and not isinstance(b, RunImported):
        return False
    found = beside(side_of(a), side_of(b))
    if args.json:
        emit_json(found)
        return True
    say(f"{found.a[:SHORT]} to {found.b[:SHORT]}, as each was told where it was tracked")
    for i, (name, (before, after)) in enumerate(found.params.items()):
        say(f"{'params' if not i else '':<9}{plain(name)}: {_text(before)} to {_text(after)}", indent=11)
    for i, data in enumerate(found.data):
        say(f"{'data' if not i else '':<9}{plain(data or 'not said')}", indent=11)
    say()
    rows = [
        [plain(name), *("-" if figure is None else number(figure) for figure in both)]
        for name, both in found.metrics.items()
    ]
    show_table("", ("metric", "before", "after"), rows, right=(1, 2))
    say("the rows that each was measured on may differ")
    return True


def _text(told: str | None) -> str:
    return "not said" if told is None else plain(told)
