"""`trimtab backtest`: what each policy would have been worth over the declared history."""

from __future__ import annotations

import argparse
import os
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.arguments import add_system, moment_text
from trimtab.cli.output import emit_json
from trimtab.cli.side_by_side import one_thread_each, run_policies
from trimtab.cli.terminal import plain, say, show_table, styled

if TYPE_CHECKING:
    from trimtab.loop.replay.backtest import Backtest
    from trimtab.records.studies import BacktestFinished


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `backtest`."""
    add_system(parser)
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="POLICY",
        help="compare the declared policy with this one: never, every:30d, every:30d+gate (may be repeated)",
    )
    parser.add_argument(
        "--window", metavar="DURATION", help="train on this much history, such as 90d, for all policies"
    )
    parser.add_argument(
        "--until", type=moment_text, metavar="TIME", help="stop at this moment instead of the declared end"
    )
    parser.add_argument("--only", metavar="POLICY", help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, metavar="FILE", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Run every policy and show them side by side."""
    one_thread_each()
    if args.only:
        return _one(args)
    from trimtab.cli.progress import Board
    from trimtab.loop.replay.backtest import side_by_side
    from trimtab.wiring.history import under_policy
    from trimtab.wiring.place import declared, span_of

    system = declared(args.system)
    span_of(system)  # a wrong word is told before anything starts
    for policy in args.policy:
        under_policy(system, policy)
    policies = list(dict.fromkeys(["declared", *args.policy]))
    with Board(quiet=args.json) as board:
        results = run_policies(args, policies, board)
    found = side_by_side(system, results)
    if args.json:
        emit_json(found)
    else:
        _show(found)
    return 0


def _one(args: argparse.Namespace) -> int:
    """One policy in this process, its result and its progress into files."""
    import msgspec

    from trimtab.cli.arguments import moment
    from trimtab.records.durable import write_atomically
    from trimtab.wiring.history import backtest, history_of
    from trimtab.wiring.place import open_place

    until = moment(args.until) if args.until else None
    shown, asked_by = 0.0, os.getppid()

    def tick(at: datetime, done: int, steps: int) -> None:
        nonlocal shown
        if os.getppid() != asked_by:
            raise SystemExit(1)  # it was killed, and nobody waits for the result any more
        if time.monotonic() - shown > 0.25 or done == steps:
            shown = time.monotonic()
            args.into.with_suffix(".progress").write_bytes(msgspec.json.encode((at, done, steps)))

    with open_place(args.system, args.state, memory=True, until=until, window=args.window) as place:
        result = backtest(place, args.only, history_of(place), tick=tick)
    write_atomically(args.into, msgspec.json.encode(result))
    return 0


def _show(found: Backtest) -> None:
    rows = []
    for result in found.policies:
        difference = found.differences.get(result.policy)
        against = (
            f"{difference[0]:+,.0f} ({difference[1]:+,.0f}..{difference[2]:+,.0f})" if difference is not None else ""
        )
        rows.append(
            (
                result.policy,
                f"{result.value:,.0f}",
                f"{result.per_1000:,.1f}",
                against,
                result.retrainings,
                result.refused,
                result.rolled_back,
            )
        )
    say(f"{styled(found.system, 'bold')}, {found.start:%Y-%m-%d} to {found.end:%Y-%m-%d}")
    say()
    columns = ("policy", f"value {found.currency}", "/1,000", "declared - it", "trained", "refused", "back")
    show_table("", columns, rows, right=(1, 2, 3, 4, 5, 6))
    _show_declared(found.policies[0])


def _show_declared(result: BacktestFinished) -> None:
    if result.promotions:
        show_table(
            "promotions, judged on the rows that followed",
            ("at", "release", "replaced", "difference", "verdict"),
            [
                (
                    f"{p.at:%Y-%m-%d}",
                    p.release,
                    p.replaced,
                    f"{p.difference:+.1f} ({p.low:+.1f}..{p.high:+.1f})",
                    p.verdict,
                )
                for p in result.promotions
            ],
        )
    if result.refusals:
        show_table(
            "refused or rolled back",
            ("at", "release", "why"),
            [(f"{r.at:%Y-%m-%d}", r.release, plain(r.why)) for r in result.refusals],
        )
