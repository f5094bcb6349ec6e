"""`trimtab models diff`: what tells two models apart."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.models.find import SHORT, expect, figure, find, releases
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled

if TYPE_CHECKING:
    from trimtab.wiring.place import Place


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 1, 2, "diff [SYSTEM] A [B]")
    from trimtab.training.compare import diff

    live = releases(place).live
    if len(words) == 1 and live is None:
        raise UsageError("nothing is live to compare with", hint="name both models")
    second = words[1] if len(words) == 2 else live.release if live else ""
    found = diff(find(place, words[0]).fact, find(place, second).fact)
    if args.json:
        emit_json(found)
        return 0
    say(f"{found.a[:SHORT]} to {found.b[:SHORT]}")
    for title, changes in (("code", found.code), ("params", found.params), ("data", found.data)):
        for i, change in enumerate(changes or ("the same",)):
            say(f"{title if not i else '':<9}{plain(change)}", indent=11)
    say()
    rows = [
        [m.metric, figure(m.before), figure(m.after), styled("moved", "yellow") if m.moved else ""]
        for m in found.metrics
    ]
    show_table("", ("metric", "before", "after", ""), rows, right=(1, 2))
    if not found.same_rows:
        say("each was measured on its own rows: metrics may move with the rows")
    return 0
