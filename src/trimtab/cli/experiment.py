"""`trimtab experiment`: the declared hypotheses, and what came of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError, add_actions, add_moment, take_system
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled

if TYPE_CHECKING:
    from trimtab.cli.progress import Board
    from trimtab.experiments.spec import ExperimentSpec
    from trimtab.records.journal import Entry
    from trimtab.records.studies import ExperimentFinished
    from trimtab.wiring.place import Place

_ACTIONS = {
    "list": "every declared experiment, and its newest verdict",
    "run": "[NAME ...]: train both arms and judge (default: all)",
    "show": "NAME [--html FILE]: what was expected, look by look what was found",
}
_STYLE = {"supported": "green", "refuted": "bold red", "inconclusive": "yellow"}
_SHORT = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `experiment`."""
    add_actions(parser, _ACTIONS, "[SYSTEM] ...", "then the experiments' names")
    add_moment(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="show: write all that lies behind it as a page")


def run(args: argparse.Namespace) -> int:
    """Do the action. A hypothesis that is refuted is an answer, not a failure: the exit code is 0."""
    from trimtab.declaration.tables.experiments import HOW_TO_DECLARE
    from trimtab.wiring.place import open_place

    system, words = take_system(args.words)
    actions: dict[str, Callable[[Place, list[str], argparse.Namespace], int]] = {
        "list": _list,
        "run": _run,
        "show": _show,
    }
    with open_place(system, args.state) as place:
        if not place.system.experiments:
            raise UsageError("no experiment is declared", hint=HOW_TO_DECLARE)
        return actions[args.action](place, words, args)


def _newest(place: Place, name: str) -> Entry[ExperimentFinished] | None:
    from trimtab.records.studies import ExperimentFinished

    return place.ledger.last(ExperimentFinished, prefix=f"experiment:{name}:")


def _named(place: Place, words: list[str]) -> list[ExperimentSpec]:
    from trimtab.declaration.problems import did_you_mean

    known = {spec.name: spec for spec in place.system.experiments}
    for word in words:
        if word not in known:
            raise UsageError(
                f"no experiment is called {word!r}{did_you_mean(word, known)}", hint=f"declared: {', '.join(known)}"
            )
    return [known[word] for word in words] if words else list(known.values())


def _list(place: Place, words: list[str], args: argparse.Namespace) -> int:
    specs = _named(place, words)
    found = [(spec, _newest(place, spec.name)) for spec in specs]
    if args.json:
        emit_json([{"experiment": s, "at": e and e.at, "result": e and e.fact} for s, e in found])
        return 0
    rows = [
        [
            spec.name,
            plain(spec.expect.text),
            styled(entry.fact.verdict, _STYLE[entry.fact.verdict]) if entry else "not run",
            f"{entry.at:%Y-%m-%d}" if entry else "",
        ]
        for spec, entry in found
    ]
    show_table("", ("experiment", "expects", "verdict", "run on"), rows)
    return 0


def _run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    from trimtab.cli.progress import Board

    specs, at = _named(place, words), args.at or datetime.now(UTC)
    with Board(quiet=args.json) as board:
        results = [_ran(place, spec, at, board) for spec in specs]
    if args.json:
        emit_json([fact for fact, _ in results])
        return 0
    for fact, before in results:
        _tell(fact, before=before)
    return 0


def _ran(place: Place, spec: ExperimentSpec, at: datetime, board: Board) -> tuple[ExperimentFinished, bool]:
    from trimtab.wiring.history import experiment

    stage = board.stage(spec.name)
    result = experiment(place, spec, at=at, tell=stage.tell)
    stage.end()
    return result


def _tell(fact: ExperimentFinished, *, before: bool = False) -> None:
    again = "; nothing it follows from has changed since it was run" if before else ""
    say(f"{styled(fact.name, 'bold')}: {styled(fact.verdict, _STYLE[fact.verdict])}{again}", indent=2)
    say(f"  {plain(fact.hypothesis)}", indent=2)
    say(f"  {plain(fact.why)}", indent=2)


def _show(place: Place, words: list[str], args: argparse.Namespace) -> int:
    if len(words) != 1:
        raise UsageError("write `trimtab experiment show [SYSTEM] NAME`")
    spec = _named(place, words)[0]
    entry = _newest(place, spec.name)
    if args.json:
        emit_json({"experiment": spec, "at": entry and entry.at, "result": entry and entry.fact})
        return 0
    if entry is None:
        say(f"{spec.name} was not run yet: `trimtab experiment run {spec.name}` does")
        return 0
    fact = entry.fact
    if args.html is not None:
        say(f"the experiment {spec.name}: {styled(str(_page(place, spec, entry, args.html)), 'bold')}")
        return 0
    _tell(fact)
    for title, text in (
        ("changed", "; ".join(fact.changed_by)),
        ("figures", f"{_number(spec, fact.reference)} -> {_number(spec, fact.changed)} in {fact.metric}"),
        ("data", f"{fact.dataset} {fact.dataset_version[:_SHORT]}, run on {entry.at:%Y-%m-%d}"),
        ("error", f"{spec.level:.3g} of wrong answers at most, over all {len(place.system.experiments)} experiments"),
    ):
        say(f"  {title:<9}{plain(text)}", indent=11)
    say()
    rows = [
        [
            str(r.folds),
            f"{r.rows:,}",
            str(r.blocks),
            _number(spec, r.difference),
            f"{_number(spec, r.low)}..{_number(spec, r.high)}",
            f"{1 - r.level:.3%}",
            styled(r.answer, _STYLE[r.answer]),
        ]
        for r in fact.rounds
    ]
    heads = ("periods", "rows", "blocks", "difference", "interval", "at", "answer")
    show_table("", heads, rows, right=(0, 1, 2, 3))
    return 0


def _page(place: Place, spec: ExperimentSpec, entry: Entry[ExperimentFinished], to: Path) -> Path:
    from trimtab.console.trials.experiment_page import ExperimentReport, experiment_page
    from trimtab.records.durable import write_atomically
    from trimtab.wiring.history import effects

    system = place.system
    report = ExperimentReport(
        system=system.name,
        currency=system.value.currency if system.value else "",
        spec=spec,
        at=entry.at,
        fact=entry.fact,
        effects=effects(place, spec, entry),
        hypotheses=len(system.experiments),
    )
    write_atomically(to, experiment_page(report).encode())
    return to


def _number(spec: ExperimentSpec, figure: float) -> str:
    from trimtab.declaration.units import format_quantity

    if abs(figure) >= 1e300:
        return "-inf" if figure < 0 else "inf"
    return format_quantity(figure, spec.expect.unit, spec.expect.scale, digits=3)
