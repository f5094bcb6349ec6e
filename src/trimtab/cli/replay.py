"""`trimtab replay`: history through the real server, store and loop, with progress and the story at the end."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.arguments import add_system, moment_text
from trimtab.cli.output import emit_json, show_verdicts, worst
from trimtab.cli.report import write_report
from trimtab.cli.side_by_side import Running, one_thread_each
from trimtab.cli.terminal import plain, say, show_table, styled
from trimtab.errors import PermanentError

if TYPE_CHECKING:
    from trimtab.records.studies import BacktestFinished
    from trimtab.wiring.place import Place

_AGAINST = ("never", "declared", "every:30d")
"""Backtested beside the replay: they go through the same history without the declared incidents, so that their values
can be compared. What `declared` trains first, the replay finds trained."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `replay`."""
    add_system(parser)
    parser.add_argument("--fresh", action="store_true", help="forget an earlier replay instead of going on with it")
    parser.add_argument("--report", action="store_true", help="also backtest other policies, and write the report")
    parser.add_argument(
        "--until", type=moment_text, metavar="TIME", help="stop the replay at this moment instead of the declared end"
    )


def run(args: argparse.Namespace) -> int:
    """Replay, then show the status; 1 when a requirement is broken at the end."""
    one_thread_each()
    from trimtab.cli.arguments import moment
    from trimtab.loop.status import read_status
    from trimtab.wiring.place import declared, open_place, place_of, span_of

    span_of(declared(args.system))  # what is wrong is told before anything is removed
    if args.fresh:
        with suppress(PermanentError), open_place(args.system, args.state, create=False):
            pass  # another system's state is not this one's to remove; one that cannot be read is
        _forget(place_of(args.system, args.state))
    until = moment(args.until) if args.until else None
    with open_place(args.system, args.state, lasting=False, until=until) as place, place.lead():
        finished = _replay(place, args)
        status = read_status(place.system, place.ledger)
        page = write_report(place) if args.report else None
    if args.json:
        emit_json({"replay": finished, "status": status, "report": str(page) if page else None})
        return worst(status.verdicts)
    say()
    live = f"{styled(status.live.release, 'bold')} is live" if status.live else styled("nothing is live", "red")
    say(f"{styled(status.system, 'bold')} at {status.at:%Y-%m-%d}: {live}; {plain(status.reason)}", indent=2)
    say()
    show_verdicts(status.verdicts)
    say()
    _summary(place, finished)
    if page is not None:
        say(f"the whole story, with plots: {styled(str(page), 'bold')}")
    return 0


def _forget(root: Path) -> None:
    """Remove the state of an earlier replay; a folder that is not one is left alone."""
    if not root.exists() or not any(root.iterdir()):
        return
    if not (root / "ledger.db").is_file():
        raise PermanentError(f"{root} holds no Trimtab ledger", hint="--fresh removes only state that Trimtab wrote")
    shutil.rmtree(root)


def _replay(place: Place, args: argparse.Namespace) -> BacktestFinished:
    from trimtab.cli.progress import Board
    from trimtab.wiring.history import keep_backtests, replay

    background: list[Running] = []
    work = place.layout.work
    for left in work.glob("backtests-*"):  # by a replay that was killed
        shutil.rmtree(left, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="backtests-", dir=work) as scratch, Board(quiet=args.json) as board:
        story = board.stage("replay, real server")

        def started() -> None:
            folder, policies = Path(scratch), _AGAINST if args.report else ()
            background.extend(Running(args, policy, folder, board.stage(f"backtest {policy}")) for policy in policies)

        def tick(moment: datetime, done: int, steps: int) -> None:
            story.show(moment, done, steps)
            for other in background:
                other.follow()

        try:
            finished = replay(place, tick=tick, say=board.say, started=started)
            for other in background:
                while other.follow():
                    board.wait(0.2)
            keep_backtests(place, [other.result() for other in background])
        finally:
            for other in background:
                other.end()
    return finished


def _summary(place: Place, finished: BacktestFinished) -> None:
    currency = place.system.value.currency if place.system.value else ""
    rows = [
        ("predictions answered over HTTP", f"{finished.predictions:,}"),
        (f"value, {currency}", f"{finished.value:,.0f} ({finished.per_1000:,.1f} per 1,000)"),
        ("retrainings", str(finished.retrainings)),
        ("releases made live", str(finished.releases)),
        ("challengers refused", str(finished.refused)),
        ("releases rolled back", str(finished.rolled_back)),
    ]
    show_table("", ("over the whole replay", ""), rows, right=(1,))
