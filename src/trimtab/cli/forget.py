"""`trimtab forget`: a person's data made unreadable everywhere, with proof."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError, add_words, take_system
from trimtab.cli.by_hand import add_wait, lead
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import say, styled

if TYPE_CHECKING:
    from trimtab.loop.people.forgetting import Found, Outcome

_SHORT = 10
_SHOWN = 6


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `forget`."""
    add_words(parser, "[SYSTEM] SUBJECT", "then the person: what the column `subject` holds")
    parser.add_argument("--yes", action="store_true", help="do it; without it, only tell what would be")
    add_wait(parser)


def run(args: argparse.Namespace) -> int:
    """Forget a person; 1 when nobody is called so, or without `--yes`."""
    from trimtab.loop.people.forgetting import Forgetting, Outcome
    from trimtab.records.base import SystemClock
    from trimtab.wiring.place import open_place
    from trimtab.wiring.serving import server_of

    system, words = take_system(args.words)
    if len(words) != 1:
        raise UsageError("say whom to forget", hint="trimtab forget [SYSTEM] SUBJECT")
    subject = words[0]
    with open_place(system, args.state, create=False) as place, lead(place, args.wait):
        turn = server_of(place).turn_telemetry
        forgetting = Forgetting(place.system, place.layout, place.ledger, place.data, turn)
        found = forgetting.find(subject)
        if isinstance(found, Outcome):
            _tell(forgetting.again(subject, found, SystemClock().now()) if args.yes else found, args)
            return 0
        if not args.yes:
            _preview(found, args)
            return 1
        _tell(forgetting.carry_out(subject, found, SystemClock().now()), args)
    return 0


def _preview(found: Found, args: argparse.Namespace) -> None:
    if args.json:
        emit_json(
            {
                "forgotten": False,
                "person": found.person,
                "versions": found.versions,
                "models": found.models,
                "telemetry": found.telemetry,
            }
        )
        return
    say("would forget this person, who is held by")
    _held(found)
    say("nothing was destroyed: `--yes` does it, and it cannot be undone")


def _tell(outcome: Outcome, args: argparse.Namespace) -> None:
    if args.json:
        emit_json({"forgotten": True, **_plain(outcome)})
        return
    when = f"{outcome.at:%Y-%m-%d %H:%M} UTC"
    say(f"forgotten already, {when}" if outcome.already else styled("forgotten", "green") + f", {when}")
    say(f"proof: `forgotten:{outcome.person}` in the ledger; {outcome.keys} keys were destroyed", indent=2)
    _held(outcome)
    if outcome.models:
        say("the next pass trains a model without this person, if one of these is live")
    say("out of reach: what was exported, copied, backed up or sent elsewhere, DVC repositories among it")
    if outcome.left:
        sys.stderr.write(
            f"trimtab: the person's own texts still stand in {', '.join(outcome.left)}: look at these files yourself\n"
        )


def _held(found: Found | Outcome) -> None:
    for dataset, versions in found.versions.items():
        most = max((one.rows for one in versions), default=0)
        say(f"{dataset}: {len(versions)} versions, up to {most:,} rows ({_some([v.name for v in versions])})", indent=2)
    say(f"models: {_some(found.models) if found.models else 'none'}", indent=2)
    rows = sum(one.rows for one in found.telemetry)
    say(f"telemetry: {rows:,} rows in {len(found.telemetry)} segments", indent=2)


def _some(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(name[:_SHORT] for name in names[-_SHOWN:])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} before"


def _plain(outcome: Outcome) -> dict[str, object]:
    return {name: getattr(outcome, name) for name in outcome.__struct_fields__}
