"""`trimtab run`: the loop, once, until it settles, or for good."""

from __future__ import annotations

import argparse
import sys

from trimtab.cli.arguments import add_moment, add_system
from trimtab.cli.output import console, emit_json, show_verdicts, worst


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `run`."""
    add_system(parser)
    add_moment(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="one pass")
    how.add_argument("--until-settled", action="store_true", help="passes until one finds nothing to do (the default)")
    how.add_argument("--watch", action="store_true", help="go on for good, a round every `--every` seconds")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="between rounds (default: 60)")


def run(args: argparse.Namespace) -> int:
    """Run passes; 1 when an action failed or a requirement is broken."""
    from trimtab.loop.status import read_status
    from trimtab.wiring import open_place, running, watch

    with open_place(args.system, args.state) as place, place.lead():
        say = None if args.json else _say
        if args.watch:
            watch(place, every=args.every, say=say)
            return 0
        loop, clock = running(place, say=say, at=args.at)
        passes = [loop.one_round(clock.now())] if args.once else loop.settle(clock.now())
        status = read_status(place.system, place.ledger)
        failed = any(o.outcome == "failed" for done in passes for o in loop.outcomes(done))
    if args.json:
        emit_json({"passes": passes, "status": status})
    else:
        last = passes[-1]
        console().print(f"settled: {last.reason}" if last.reason else f"did {', '.join(last.actions)}")
        show_verdicts("", status.verdicts)
    return int(failed) or worst(status.verdicts)


def _say(verb: str, text: str) -> None:
    sys.stdout.write(f"{verb:<9} {text}\n")
    sys.stdout.flush()
