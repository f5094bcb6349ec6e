"""`trimtab models reproduce`: a model trained again from what is kept, and compared."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trimtab.cli.models.find import expect, find
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, styled

if TYPE_CHECKING:
    from trimtab.wiring.place import Place


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action; 1 when another model came of it."""
    expect(words, 1, 1, "reproduce [SYSTEM] MODEL")
    from trimtab.loop.past.again import make_again
    from trimtab.wiring.kinds import source_kinds

    entry = find(place, words[0])
    found = make_again(
        place.system, place.ledger, place.blobs, place.layout, data=place.data, entry=entry, kinds=source_kinds()
    )
    if args.json:
        emit_json(found)
    else:
        style = "bold red" if found.outcome == "different" else "green"
        gap = "" if found.difference is None else f"; scores differ by {found.difference:.2g} at most"
        say(f"{entry.fact.identity.id}: {styled(found.outcome, style)}{gap}")
        for why in found.why:
            say(f"  {plain(why)}", indent=4)
        for name, (before, after) in found.metrics.items():
            say(f"  {name}: {before} -> {after}", indent=4)
    return int(found.outcome == "different")
