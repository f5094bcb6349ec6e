"""`trimtab status`: what is live and whether each requirement holds, read from the ledger alone."""

from __future__ import annotations

import argparse

from trimtab.cli.arguments import add_system
from trimtab.cli.output import console, emit_json, show_table, show_verdicts, worst


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `status`."""
    add_system(parser)


def run(args: argparse.Namespace) -> int:
    """Print the status; 1 when a requirement is broken or nothing is live."""
    from trimtab.loop.status import read_status
    from trimtab.wiring import open_place

    with open_place(args.system, args.state, create=False) as place:
        status = read_status(place.system, place.ledger)
    code = worst(status.verdicts) or int(status.live is None)
    if args.json:
        emit_json(status)
        return code
    out = console()
    live = f"[bold]{status.live.release}[/] (model {status.live.model[:10]})" if status.live else "[red]nothing[/]"
    since = f" since {status.live.since:%Y-%m-%d %H:%M}" if status.live else ""
    out.print(f"[bold]{status.system}[/]: {live} is live{since}")
    if status.at:
        out.print(f"last pass {status.at:%Y-%m-%d %H:%M} UTC: {status.reason}")
    for other in status.others:
        out.print(f"{other.release} is in {other.stage} since {other.since:%Y-%m-%d %H:%M}")
    show_verdicts("", status.verdicts)
    if status.causes:
        show_table("causes", ("cause", "evidence"), [(c.name, c.evidence) for c in status.causes])
    return code
