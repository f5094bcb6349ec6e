"""What a person does in the loop's place: an action with its intent and outcome in the ledger, like the loop's own."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from trimtab.cli.arguments import seconds
from trimtab.cli.output import emit_json
from trimtab.cli.story import LONG, tell
from trimtab.cli.terminal import plain, say
from trimtab.records.facts import PlannedAction

if TYPE_CHECKING:
    from trimtab.records.lease import Lease
    from trimtab.wiring.place import Place


def add_reason(parser: argparse.ArgumentParser) -> None:
    """`--why` and `--wait`."""
    parser.add_argument("--why", default="", metavar="TEXT", help="kept in the ledger beside the decision")
    add_wait(parser)


def add_wait(parser: argparse.ArgumentParser) -> None:
    """`--wait`."""
    parser.add_argument(
        "--wait", type=seconds, default=60.0, metavar="SECONDS", help="for the pass that runs now (default: 60)"
    )


def do_by_hand(args: argparse.Namespace, system: str, verb: str, arguments: dict[str, str]) -> int:
    """Do one action now; 1 when it was refused or failed."""
    from trimtab.loop.passes.reconcile import stamp
    from trimtab.wiring.loop import running
    from trimtab.wiring.place import open_place

    why = args.why or "a person said so"
    say_so = None if args.json or verb not in LONG else tell
    with open_place(system, args.state, create=False) as place, lead(place, args.wait):
        loop, clock = running(place, say=say_so)
        now = clock.now()
        action = PlannedAction(verb=verb, why=f"by hand: {why}", arguments={**arguments, "by_hand": "yes"})
        finished = loop.by_hand(action, f"by-hand/{stamp(now)}/{verb}", now)
    if args.json:
        emit_json(finished)
    elif say_so is None:
        say(f"{finished.outcome}: {plain(finished.summary)}", indent=2)
    return int(finished.outcome != "done")


@contextmanager
def lead(place: Place, wait: float) -> Iterator[Lease]:
    """Lead as soon as the pass that another process runs is over. Raises LeaseHeld when that takes longer."""
    from trimtab.records.lease import LeaseHeld

    until, told = time.monotonic() + wait, False
    with ExitStack() as stack:
        while True:
            try:
                lease = stack.enter_context(place.lead())
                break
            except LeaseHeld as error:
                if time.monotonic() > until:
                    raise
                if not told:
                    sys.stderr.write(f"trimtab: waiting: {error.message}\n")
                    told = True
                time.sleep(0.1)
        yield lease
