"""`trimtab plan`: what the loop would do now, and why. Changes nothing."""

from __future__ import annotations

import argparse

from trimtab.cli.arguments import add_moment, add_system
from trimtab.cli.output import console, emit_json, show_table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `plan`."""
    add_system(parser)
    add_moment(parser)


def run(args: argparse.Namespace) -> int:
    """Print causes and actions."""
    from trimtab.wiring import open_place, running

    with open_place(args.system, args.state) as place:
        loop, clock = running(place, say=None, at=args.at)
        plan = loop.preview(clock.now())
    if args.json:
        emit_json(plan)
        return 0
    out = console()
    if plan.causes:
        show_table("causes", ("cause", "evidence"), [(c.name, c.evidence) for c in plan.causes])
    for action in plan.actions:
        arguments = " ".join(action.arguments.values())
        out.print(f"would [bold]{action.verb}[/] {arguments}: {action.why}")
    if not plan.actions:
        out.print(plan.reason)
    return 0
