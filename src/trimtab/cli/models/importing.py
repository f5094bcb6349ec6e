"""`trimtab models import`: the runs of another tracker taken over."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING

from trimtab.cli.models.find import expect
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say

if TYPE_CHECKING:
    from trimtab.wiring.place import Place


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 1, 1, "import [SYSTEM] mlflow:PLACE [--experiment NAME]")
    from trimtab.cli.progress import Board
    from trimtab.experiments.importing import take_in
    from trimtab.records.base import SystemClock
    from trimtab.wiring.imports import open_store

    now = SystemClock().now()
    with closing(open_store(words[0])) as store, Board(quiet=args.json) as board:
        stage = board.stage("runs")
        taken = take_in(
            store,
            place.ledger,
            place.blobs,
            experiment=args.experiment or "",
            copied=args.files,
            now=now,
            tell=lambda count: stage.tell("", count, count),
        )
        stage.end()
    if args.json:
        emit_json(taken)
        return 0
    changed = f", {taken.changed:,} had changed there" if taken.changed else ""
    copied = f"; {taken.copied:,} files copied" if taken.copied else ""
    say(f"{taken.new:,} runs taken over from {plain(taken.place)}{changed}, {taken.known:,} known already{copied}")
    for reason, count in taken.left_out.items():
        say(f"  left out: {count:,} {plain(reason)}", indent=4)
    if taken.new or taken.changed:
        say("`trimtab models imported` shows them; nothing is decided from them")
    return 0
