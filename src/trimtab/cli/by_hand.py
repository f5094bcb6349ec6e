"""What a person does in the loop's place: an action with its intent and outcome in the ledger, like the loop's own."""

from __future__ import annotations

import argparse

from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say
from trimtab.records.facts import PlannedAction


def do_by_hand(args: argparse.Namespace, system: str, verb: str, arguments: dict[str, str]) -> int:
    """Do one action now; 1 when it was refused or failed."""
    from trimtab.loop.reconcile import stamp
    from trimtab.wiring import open_place, running

    why = args.why or "a person said so"
    with open_place(system, args.state, create=False) as place, place.lead():
        loop, clock = running(place, say=None)
        now = clock.now()
        action = PlannedAction(verb=verb, why=f"by hand: {why}", arguments={**arguments, "by_hand": "yes"})
        finished = loop.by_hand(action, f"by-hand/{stamp(now)}/{verb}", now)
    if args.json:
        emit_json(finished)
    else:
        say(f"{finished.outcome}: {plain(finished.summary)}", indent=2)
    return int(finished.outcome != "done")
