"""`trimtab search`: try hyper-parameters, and let the loop train with the ones that are chosen."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.cli.arguments import UsageError, add_moment, add_system, count
from trimtab.cli.figures import number, quantity
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled
from trimtab.declaration.requirements.catalog import metrics
from trimtab.declaration.tables.search import HOW_TO_DECLARE
from trimtab.declaration.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.records.studies import SearchFinished, TrialFinished
    from trimtab.training.spec import SearchSpec
    from trimtab.wiring.place import Place

_SHOWN = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `search`."""
    add_system(parser)
    add_moment(parser)
    parser.add_argument("--trials", type=count, metavar="N", help="run until there are N trials (default: as declared)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write all of it as a page too")
    parser.add_argument("--show", action="store_true", help="show the newest search instead of running one")


def run(args: argparse.Namespace) -> int:
    """Run or show; 1 when no trial holds all requirements."""
    from trimtab.wiring.place import open_place

    with open_place(args.system, args.state) as place:
        search = place.system.model.search
        if search is None:
            raise UsageError("no search is declared", hint=HOW_TO_DECLARE)
        if args.trials:
            search = msgspec.structs.replace(search, trials=args.trials)
            model = msgspec.structs.replace(place.system.model, search=search)
            place.system = msgspec.structs.replace(place.system, model=model)
        fact = _newest(place) if args.show else _searched(place, args)
        from trimtab.loop.trials.search import trials_of

        trials = trials_of(place.ledger, fact.search)
        if args.html is not None:
            _page(place, search, fact, trials, args.html)
        if args.json:
            emit_json({"result": fact, "trials": trials})
        else:
            _tell(fact, trials)
            if args.html is not None:
                say(f"all of it: {styled(str(args.html), 'bold')}")
        return int(fact.chosen is None)


def _page(place: Place, search: SearchSpec, fact: SearchFinished, trials: Sequence[TrialFinished], to: Path) -> None:
    from trimtab.console.trials.search_page import SearchReport, search_page
    from trimtab.records.durable import write_atomically
    from trimtab.records.studies import SearchFinished as Fact

    entry = place.ledger.last(Fact, prefix=f"search:{fact.search}:")
    at = entry.at if entry is not None else datetime.now(UTC)
    report = SearchReport(system=place.system.name, spec=search, at=at, fact=fact, trials=tuple(trials))
    write_atomically(to, search_page(report).encode())


def _newest(place: Place) -> SearchFinished:
    from trimtab.records.studies import SearchFinished

    entry = place.ledger.last(SearchFinished)
    if entry is None:
        raise UsageError("no search was run yet", hint="run `trimtab search`")
    return entry.fact


def _searched(place: Place, args: argparse.Namespace) -> SearchFinished:
    from trimtab.cli.progress import Board
    from trimtab.wiring.history import search

    with Board(quiet=args.json) as board:
        stage = board.stage("trials")
        fact = search(place, at=args.at or datetime.now(UTC), tell=stage.tell)
        stage.end()
    return fact


def _tell(fact: SearchFinished, trials: Sequence[TrialFinished]) -> None:
    first = fact.objectives[0]
    heads = list(dict.fromkeys((*fact.objectives, *fact.figures)))
    front = [trial for n in fact.front for trial in trials if trial.number == n]
    others = sorted(
        (t for t in trials if t.number not in fact.front and t.figures), key=lambda t: (bool(t.broken), t.number)
    )
    ahead = [t for t in others if t.number == fact.chosen]  # the simplest need not be on the front
    shown = [*ahead, *front, *(t for t in others if t.number != fact.chosen)][:_SHOWN]
    rows = [
        [
            "declared" if t.number == 0 else str(t.number),
            ", ".join(_named(name, value) for name, value in t.params.items()),
            *(_figure(name, t.figures.get(name)) for name in heads),
            styled("chosen", "green") if t.number == fact.chosen else _against(t, fact, front),
        ]
        for t in shown
    ]
    titles = [name.partition(".")[2] for name in heads]
    show_table("", ("trial", "hyper-parameters", *titles, ""), rows)
    if len(trials) > len(shown):
        say(f"{len(shown)} of {len(trials)} trials; --json has all")
    say(f"{fact.feasible} of {fact.trials} trials hold all that is required of one; {plain(fact.stopped)}")
    rule = fact.rule if isinstance(fact.rule, str) else f"the best {first}"
    if fact.chosen == 0:
        say(f"the rule, {plain(rule)}, keeps what is declared")
    elif fact.chosen is not None:
        say(f"the loop trains with trial {fact.chosen} from now on, by the rule: {plain(rule)}")


def _against(trial: TrialFinished, fact: SearchFinished, front: Sequence[TrialFinished]) -> str:
    """Why a trial was passed over."""
    if trial.broken:
        return plain("misses " + ", ".join(name.partition(".")[2] or name for name in trial.broken))
    why = fact.passed_over.get(str(trial.number), "") if isinstance(fact.passed_over, dict) else ""
    return f"front: {plain(why.removeprefix('on the front, but '))}" if trial in front else plain(why)


def _figure(metric: str, value: float | None) -> str:
    """A figure in the unit that suits it, a dash where there is none."""
    if value is None:
        return "-"
    unit = {"time": "s", "size": "B", "rate": "/s"}.get(metrics()[metric].unit, "")
    return quantity(value, unit) if unit else number(value)


def _named(name: str, value: object) -> str:
    """A hyper-parameter, or a setting of `[model]`."""
    if name == "model.window":
        return f"window {format_duration(value)}" if isinstance(value, float) and value else "window all"
    said = number(value) if isinstance(value, float) else plain(str(value))
    return f"{name.removeprefix('model.')} {said}"
