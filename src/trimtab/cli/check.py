"""`trimtab check`: what the declaration asks for, where it is measured and what it is worth, before anything runs."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from trimtab.cli.arguments import add_system
from trimtab.cli.figures import number, quantity
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled
from trimtab.errors import DeclarationError, TrimtabError

if TYPE_CHECKING:
    from trimtab.declaration.scope.scope import DataFacts, Scope
    from trimtab.wiring.place import Place

_PLACES = {"data": "data", "release": "gate", "shadow": "shadow", "canary": "canary", "live": "live"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `check`."""
    add_system(parser)
    parser.add_argument("--no-data", action="store_true", help="look at the declaration alone, not at its data")


def run(args: argparse.Namespace) -> int:
    """Print the scope; 1 when the data cannot be read, 2 (raised) when the declaration or the code is wrong."""
    from pathlib import Path

    from trimtab.declaration.scope.scope import scope
    from trimtab.training.identity import code_digest
    from trimtab.wiring.place import open_place, place_of

    began = (place_of(args.system, args.state) / "ledger.db").is_file()
    problem = ""
    with open_place(args.system, args.state, create=False, memory=not began) as place:
        system = place.system
        code_digest(Path(system.folder) / system.model.code, Path(system.folder))
        facts: DataFacts | None = None
        if not args.no_data:
            try:
                facts = _facts(place)
            except DeclarationError:
                raise
            except TrimtabError as error:
                problem = f"{error.message} ({error.hint})" if error.hint else error.message
        found = scope(system, facts)
    if args.json:
        emit_json({"scope": found, "problem": problem})
    else:
        _show(found, problem)
    return int(bool(problem))


def _facts(place: Place) -> DataFacts:
    from trimtab.loop.scoping import facts_of_data
    from trimtab.records.facts import ModelTrained
    from trimtab.wiring.labels import opener_of

    last = place.ledger.last(ModelTrained)
    spent = last.measured.get("resources.train_time") if last is not None else None
    minutes = spent / 60 if spent is not None else None
    return facts_of_data(place.system, place.data, datetime.now(UTC), minutes, opener_of(place))


def _show(found: Scope, problem: str) -> None:
    say(f"{styled(found.name, 'bold')} ({found.task}): {plain(found.problem)}", indent=2)
    say()
    rows = []
    for scoped in found.requirements:
        requirement = scoped.requirement
        where = ", ".join(_PLACES[place] for place in scoped.places)
        rows.append((f"{requirement.metric} {styled(scoped.condition, 'dim')}", where))
    show_table("", ("requirement", "measured at"), rows)
    for title, text in _lines(found):
        say(f"{title:<9}{text}", indent=9)
    if found.warnings:
        say()
    for warning in found.warnings:
        say(f"{styled('!', 'yellow')} {plain(warning)}", indent=2)
    if problem:
        say()
        say(f"{styled('✗', 'bold red')} {plain(problem)}", indent=2)


def _lines(found: Scope) -> list[tuple[str, str]]:
    lines = []
    if found.value is not None:
        lines.append(("value", _value(found)))
    lines.append(("training", _training(found)))
    lines.append(("data", _data(found)))
    if found.labels is not None:
        lines.append(("labels", _labels(found)))
    if found.release_days:
        lines.append(("release", f"about {number(found.release_days)} days from candidate to live"))
    return lines


def _unknown(found: Scope) -> str:
    if found.task == "detection":
        return "of each box: what 1,000 pictures come to depends on how many they have"
    return "not known without data"


def _value(found: Scope) -> str:
    value = found.value
    if value is None:
        return ""
    parts = []
    if value.at_limits is not None:
        by = f" ({', '.join(value.limited_by)})" if value.limited_by else ""
        parts.append(f"at least {number(value.at_limits)} at the limits{by}")
    if value.best_constant is not None:
        parts.append(f"{number(value.best_constant)} for {value.constant_answer}")
    if value.perfect is not None:
        parts.append(f"{number(value.perfect)} for a perfect model")
    said = f"{value.currency} per 1,000 predictions: {'; '.join(parts)}" if parts else _unknown(found)
    return said + (f"; yes from a score of {number(value.threshold)}" if value.threshold is not None else "")


def _training(found: Scope) -> str:
    effort = found.training
    low, high = effort.per_year_least, effort.per_year_most
    often = "as often as its causes come" if high is None else f"{number(low)} to {number(high)} times a year"
    said = f"{often}, {quantity(effort.minutes * 60, 'min', 60.0)} each (by {effort.minutes_from})"
    if effort.cost_per_month_most is not None and effort.cost_per_month_least is not None and found.value is not None:
        low, high = effort.cost_per_month_least, effort.cost_per_month_most
        said += f": {number(low)} to {number(high)} {found.value.currency} a month"
    return said


def _labels(found: Scope) -> str:
    takes = found.labels
    if takes is None:
        return ""
    currency = found.value.currency if found.value is not None else ""

    def told(labels: float, cost: float | None, seconds: float | None) -> str:
        parts = [f"{labels:,.0f} labels"]
        parts += [f"{number(cost)} {currency}".strip()] if cost is not None else []
        parts += [f"{number(seconds / 3600)} h"] if seconds is not None else []
        return ", ".join(parts)

    said = [f"{takes.annotators} an item, by {takes.policy}"]
    if takes.labels is not None:
        said.append(f"{told(takes.labels, takes.cost, takes.seconds)} for all rows")
    if takes.labels_per_month is not None:
        said.append(f"{told(takes.labels_per_month, takes.cost_per_month, takes.seconds_per_month)} a month")
    if takes.budget is not None and takes.budget_rows is not None:
        said.append(f"{number(takes.budget)} {currency} pay for {takes.budget_rows:,} rows")
    return "; ".join(said)


def _data(found: Scope) -> str:
    volume = found.data
    if volume.rows is None:
        return "not looked at"
    said = f"{volume.rows:,} rows"
    said += f" ({quantity(volume.bytes, 'MiB', 2.0**20)})" if volume.bytes is not None else ""
    if volume.rows_per_day is not None:
        said += f", {number(volume.rows_per_day)} a day"
    if volume.bytes_per_month is not None:
        said += f", {quantity(volume.bytes_per_month, 'MiB', 2.0**20)} a month"
    return said
