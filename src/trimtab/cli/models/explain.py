"""`trimtab models explain`: what a model relies on, or why it answers to one row as it does."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from trimtab.cli.figures import number
from trimtab.cli.models.find import expect, find
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled

if TYPE_CHECKING:
    from trimtab.loop.analysis.kept import ModelAnalysis
    from trimtab.loop.analysis.one_row import RowExplained
    from trimtab.wiring.place import Place

_MOST = 15


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 1, 1, "explain [SYSTEM] MODEL [--row KEY]")
    entry = find(place, words[0])
    if args.row is None:
        from trimtab.wiring.analysis import analysis_of

        found = analysis_of(place, entry, again=args.again)
        if args.json:
            emit_json(found)
        else:
            _tell(found)
        return 0
    from trimtab.loop.analysis.one_row import explain_row, find_row
    from trimtab.loop.past.history import MOMENT
    from trimtab.wiring.analysis import labelled_rows

    row = find_row(labelled_rows(place), place.system, args.row)
    told = explain_row(place.system, place.blobs, entry.fact, row, row.get_column(MOMENT)[0])
    if args.json:
        emit_json(told)
    else:
        _tell_row(told)
    return 0


def _tell(found: ModelAnalysis) -> None:
    if not found.same:
        say("! these are not the very rows of its training: some were completed, forgotten or let go since", indent=2)
    names = list(found.contributions) or sorted(found.losses, key=lambda name: -found.losses[name].figure)
    rows = [
        [
            plain(name),
            *_with_interval(found.contributions.get(name)),
            *_with_interval(found.losses.get(name)),
        ]
        for name in names[:_MOST]
    ]
    more = f" (of {len(names)})" if len(names) > _MOST else ""
    show_table("", (f"feature{more}", "contributes", "95%", "costs", "95%"), rows, right=(1, 3))
    told = f"in {found.unit} by {found.method.replace('_', ' ')}" if found.method else "not known"
    say(f"contributes: the mean size of its contribution to answers, {told}")
    say(f"costs: how much worse {found.metric} gets when its values are shuffled, on {found.asked:,} rows")
    for column, by_metric in found.groups.items():
        for metric, groups in by_metric.items():
            apart = [one for one in groups if one.apart]
            if apart:
                worst = max(apart, key=lambda one: abs(one.difference))
                say(
                    f"{plain(column)}: {metric.replace('_', ' ')} of {plain(worst.group)} is {number(worst.figure)}, "
                    f"{number(worst.others)} elsewhere ({len(apart)} of {len(groups)} groups differ beyond chance)",
                    indent=2,
                )
    for line in found.left_out:
        say(f"left out: {plain(line)}", indent=2)


def _with_interval(found: Any) -> list[str]:
    return ["-", ""] if found is None else [number(found.figure), f"{number(found.low)}..{number(found.high)}"]


def _tell_row(told: RowExplained) -> None:
    key = ", ".join(f"{name} {value}" for name, value in told.key.items())
    scores = ", ".join(number(score) for score in told.scores)
    say(f"{styled(plain(key), 'bold')}, {told.at:%Y-%m-%d %H:%M}: {styled(plain(told.answer), 'bold')} ({scores})")
    say(f"the truth was {plain(str(told.truth))}{'; the model was fitted with it' if told.seen else ''}")
    say()
    heads = ["feature", "value", *(told.outputs or ("contribution",))]
    rows = [
        [plain(part.feature), plain(_shown(part.value)), *(f"{each:+.3g}" for each in part.contributions)]
        for part in told.parts[:_MOST]
    ]
    rest = told.parts[_MOST:]
    if rest:
        sums = [sum(part.contributions[i] for part in rest) for i in range(len(told.base))]
        rows.append([f"{len(rest)} others", "", *(f"{each:+.3g}" for each in sums)])
    rows.append(["from", "", *(f"{each:+.3g}" for each in told.base)])
    show_table("", heads, rows, right=range(2, len(heads)))
    say(f"in {told.unit}, by {told.method.replace('_', ' ')}")


def _shown(value: object) -> str:
    return number(value) if isinstance(value, float) else "(missing)" if value is None else str(value)
