"""`trimtab status`: what is live and whether each requirement holds, read from the ledger; and what a server that runs
says is wrong with it."""

from __future__ import annotations

import argparse

import msgspec

from trimtab.cli.arguments import add_system
from trimtab.cli.figures import limit
from trimtab.cli.output import STATUS_MARK, STATUS_STYLE, emit_json, show_verdicts, worst
from trimtab.cli.terminal import plain, say, show_table, styled

_SAY_SO = frozenset({"train", "force"})


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `status`."""
    add_system(parser)


def run(args: argparse.Namespace) -> int:
    """Print the status; 1 when a requirement is broken or nothing is live."""
    from trimtab.loop.status import read_status
    from trimtab.wiring.place import open_place
    from trimtab.wiring.serving import server_trouble
    from trimtab.wiring.tracking import waiting

    with open_place(args.system, args.state, create=False) as place:
        status = read_status(place.system, place.ledger)
        trackers = waiting(place) if place.system.tracking.to else []
        trouble = server_trouble(place)
    code = worst(status.verdicts) or int(status.live is None)
    if args.json:
        emit_json(msgspec.structs.asdict(status) | {"trouble": {"server": trouble, "trackers": trackers}})
        return code
    live = (
        f"{styled(status.live.release, 'bold')} (model {status.live.model[:10]})"
        if status.live
        else styled("nothing", "red")
    )
    since = f" since {status.live.since:%Y-%m-%d %H:%M}" if status.live else ""
    say(f"{styled(status.system, 'bold')}: {live} is live{since}")
    if status.offset:
        say(f"the newest truth adds {status.offset:+.2f} to the log odds of its answers")
    for other in status.others:
        say(f"{other.release} is in {other.stage} since {other.since:%Y-%m-%d %H:%M}")
    for name, verdicts in status.excused.items():
        for v in verdicts:
            mark = styled(STATUS_MARK[v.status], STATUS_STYLE[v.status])
            told = f"the gate let {name} through without {v.metric} {limit(v)}: {v.excused}"
            say(f"{mark} {plain(told)}", indent=2)
    if status.at:
        say(f"last pass {status.at:%Y-%m-%d %H:%M} UTC: {plain(status.reason)}", indent=2)
    for action in status.failed:
        said = action.summary if action.verb in _SAY_SO else f"{action.verb} failed: {action.summary}"
        say(f"{styled('✗', 'bold red')} {plain(said)}", indent=2)
        if action.verb in _SAY_SO:
            say("  what it printed: `trimtab log --kind training_failed --json`", indent=2)
    for line in trouble:
        say(f"{styled('✗', 'bold red')} the server: {plain(line)}", indent=2)
    for line in trackers:
        say(f"{styled('?', 'yellow')} {plain(line)}", indent=2)
    say()
    show_verdicts(status.verdicts)
    if status.causes:
        say()
        show_table("causes", ("cause", "evidence"), [(c.name, plain(c.evidence)) for c in status.causes])
    return code
