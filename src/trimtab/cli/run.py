"""`trimtab run`: the loop, once, until it settles, or for good."""

from __future__ import annotations

import argparse

from trimtab.cli.arguments import add_moment, add_system, seconds
from trimtab.cli.output import emit_json, show_verdicts, worst
from trimtab.cli.story import Story, tell
from trimtab.cli.terminal import plain, say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `run`."""
    add_system(parser)
    add_moment(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="collect, then one pass that decides")
    how.add_argument("--until-settled", action="store_true", help="passes until one finds nothing to do (the default)")
    how.add_argument("--watch", action="store_true", help="go on for good, a round every `--every` seconds")
    parser.add_argument("--every", type=seconds, default=60.0, metavar="SECONDS", help="between rounds (default: 60)")


def run(args: argparse.Namespace) -> int:
    """Run passes; 1 when an action failed, a requirement is broken or nothing is live."""
    from trimtab.loop.status import read_status
    from trimtab.wiring.loop import running, watch
    from trimtab.wiring.place import open_place
    from trimtab.wiring.tracking import copied

    with open_place(args.system, args.state) as place:
        if args.watch:
            with place.keep():
                watch(place, every=args.every, say=Story(as_json=args.json))
        with place.lead():
            loop, clock = running(place, say=None if args.json else tell, at=args.at)
            passes = loop.one_round(clock.now()) if args.once else loop.settle(clock.now())
            status = read_status(place.system, place.ledger)
            failed = any(o.outcome == "failed" for done in passes for o in loop.outcomes(done))
        copied(place, None if args.json else tell)
    if args.json:
        emit_json({"passes": passes, "status": status})
    else:
        last = passes[-1]
        say(
            f"settled: {plain(last.reason)}"
            if last.reason
            else f"{'tried' if failed else 'did'} {', '.join(last.actions)}",
            indent=2,
        )
        say()
        show_verdicts(status.verdicts)
    return int(failed or status.live is None) or worst(status.verdicts)
