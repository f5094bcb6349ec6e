"""`trimtab plan`: what the loop would do now, and why. Changes nothing."""

from __future__ import annotations

import argparse

from trimtab.cli.arguments import add_moment, add_system
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `plan`."""
    add_system(parser)
    add_moment(parser)


def run(args: argparse.Namespace) -> int:
    """Print causes and actions."""
    from trimtab.wiring.loop import running
    from trimtab.wiring.place import open_place, place_of

    began = (place_of(args.system, args.state) / "ledger.db").is_file()
    with open_place(args.system, args.state, create=False, memory=not began) as place:
        loop, clock = running(place, say=None, at=args.at)
        plan = loop.preview(clock.now())
    if args.json:
        emit_json(plan)
        return 0
    if plan.causes:
        show_table("", ("cause", "evidence"), [(c.name, plain(c.evidence)) for c in plan.causes])
    say("would first collect what is new; then, by what is known now,")
    for action in plan.actions:
        words = " ".join([action.verb, *action.arguments.values()])
        say(f"would {styled(words, 'bold')}: {plain(action.why)}", indent=2)
    if not plan.actions:
        say(plain(plan.reason), indent=2)
    return 0
