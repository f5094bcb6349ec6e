"""`trimtab models export`: a model as one folder that stands alone."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.models.find import expect, find
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, styled

if TYPE_CHECKING:
    from trimtab.wiring.place import Place


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 1, 1, "export [SYSTEM] MODEL --to FOLDER")
    if args.to is None:
        raise UsageError("say where to: `trimtab models export MODEL --to FOLDER`", hint="or --to FILE.zip")
    from trimtab.console.cards.making import card_of, documents
    from trimtab.deployment.package.writing import write_package
    from trimtab.wiring.package import files_of, held

    entry = find(place, words[0])
    card = card_of(place, entry, datetime.now(UTC), again=args.again)
    files = files_of(place, entry, documents(card))
    path = write_package(args.to, f"{place.system.name}-{entry.fact.identity.id[:10]}", files)
    if args.json:
        emit_json({"model": entry.fact.identity.id, "package": str(path), "files": sorted(files)})
        return 0
    size = sum(map(len, files.values()))
    say(f"{entry.fact.identity.id} in {styled(str(path), 'bold')}: {len(files) + 1} files, {size / 2**20:.1f} MiB")
    say(f"its README.md says how to run it without Trimtab; `trimtab serve {plain(str(path))}` serves it")
    for warning in filter(None, (held(place, entry.fact), card.why)):
        say(f"! {warning}", indent=2)
    return 0
