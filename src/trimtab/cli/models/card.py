"""`trimtab models card`: what a model is, what it is for, how good, for whom, and where it is weak."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.models.find import expect, find
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import say, styled

if TYPE_CHECKING:
    from trimtab.wiring.place import Place


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 1, 1, "card [SYSTEM] MODEL [--to FILE]")
    from trimtab.console.cards.making import card_of
    from trimtab.console.cards.page import card_page
    from trimtab.console.cards.text import card_text
    from trimtab.records.durable import write_atomically

    entry = find(place, words[0])
    card = card_of(place, entry, datetime.now(UTC), again=args.again)
    path: Path = args.to or place.layout.reports / f"card-{entry.fact.identity.id[:10]}.html"
    write_atomically(path, (card_text if path.suffix == ".md" else card_page)(card).encode())
    if args.json:
        emit_json({"card": str(path), **_plainly(card)})
    else:
        say(f"the card of {entry.fact.identity.id}: {styled(str(path), 'bold')}")
        if card.why:
            say(f"! {card.why}", indent=2)
    return 0


def _plainly(card: object) -> dict[str, object]:
    import msgspec

    told: dict[str, object] = msgspec.to_builtins(card)
    return told
