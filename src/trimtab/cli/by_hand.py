"""What a person does in the loop's place: an action with its intent and outcome in the ledger, like the loop's own."""

from __future__ import annotations

import argparse

from trimtab.cli.output import console, emit_json
from trimtab.records.facts import PlannedAction


def do_by_hand(args: argparse.Namespace, verb: str, why: str, arguments: dict[str, str]) -> int:
    """Do one action now; 1 when it was refused or failed."""
    from trimtab.loop.reconcile import stamp
    from trimtab.wiring import open_place, running

    with open_place(args.system, args.state) as place, place.lead():
        loop, clock = running(place, say=None)
        now = clock.now()
        action = PlannedAction(verb=verb, why=f"by hand: {why}", arguments={**arguments, "by_hand": "yes"})
        finished = loop.by_hand(action, f"by-hand/{stamp(now)}/{verb}", now)
    if args.json:
        emit_json(finished)
    else:
        console().print(f"{finished.outcome}: {finished.summary}")
    return int(finished.outcome != "done")
