"""`trimtab log`: what happened, from the ledger."""

from __future__ import annotations

import argparse
import sys

from trimtab.cli.arguments import UsageError, add_system, count
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import width


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `log`."""
    add_system(parser)
    parser.add_argument("-n", type=count, default=40, metavar="N", help="the newest N facts (default: 40; 0 for all)")
    parser.add_argument("--kind", metavar="KIND", help="only this kind of fact, such as release_moved")
    parser.add_argument("--verify", action="store_true", help="check the chain of digests from the first fact on")


def run(args: argparse.Namespace) -> int:
    """Print facts, oldest first; with `--verify` 1 when a fact was changed."""
    from trimtab.records.describe import WIDTH, describe
    from trimtab.wiring.place import open_place

    if args.kind:
        _check(args.kind)
    with open_place(args.system, args.state, create=False) as place:
        if args.verify:
            broken = place.ledger.verify()
            count, chain = place.ledger.head()
            if args.json:
                emit_json({"facts": count, "chain": chain, "broken_at": broken})
            elif broken is None:
                sys.stdout.write(f"{count:,} facts, chain {chain[:16]} holds\n")
            else:
                sys.stdout.write(f"the ledger was changed at fact {broken}: restore a backup\n")
            return int(broken is not None)
        entries = []
        for entry in place.ledger.entries(newest_first=True):
            if args.kind and entry.kind != args.kind:
                continue
            entries.append(entry)
            if args.n and len(entries) >= args.n:
                break
    entries.reverse()
    if args.json:
        emit_json(entries)
    else:
        size = width() if sys.stdout.isatty() else WIDTH
        sys.stdout.writelines(f"{describe(entry, size)}\n" for entry in entries)
    return 0


def _check(kind: str) -> None:
    from typing import get_args

    from trimtab.declaration.problems import did_you_mean
    from trimtab.records.facts import AnyFact
    from trimtab.records.journal import kind_of

    kinds = sorted(kind_of(fact) for fact in get_args(AnyFact))
    if kind not in kinds:
        raise UsageError(
            f"no fact is of kind {kind!r}{did_you_mean(kind, kinds)}", hint=f"there are {', '.join(kinds)}"
        )
