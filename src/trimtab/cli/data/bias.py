"""`trimtab data bias`: who is in the rows of a dataset."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table

if TYPE_CHECKING:
    from trimtab.data.privacy.bias import Slice
    from trimtab.data.store.versions import DatasetStore

_UNLIKE = 0.2
"""A slice whose share differs by this much of what it should be is told."""


def show_bias(store: DatasetStore, columns: list[str], args: argparse.Namespace) -> int:
    """Slices of each column, or of the columns named, and the combinations that are rare."""
    from trimtab.data.privacy.bias import bias_of, sliceable
    from trimtab.data.store.personal import readable
    from trimtab.declaration.problems import did_you_mean

    rows = store.read(columns=readable(store.spec, store.version().columns))
    for name in columns:
        if name not in rows.columns:
            raise UsageError(
                f"no column that may be shown is called {name!r}{did_you_mean(name, rows.columns)}",
                hint=f"there are {', '.join(rows.columns)}",
            )
    found = bias_of(rows, store.spec, columns or sliceable(rows, store.spec), shown=args.n or 10**6)
    if args.json:
        emit_json(found)
        return 0
    if not found.slices:
        say("no column makes slices: name one")
        return 0
    for name, slices in found.slices.items():
        told = any(one.population is not None for one in slices)
        head = [plain(name), "rows", "of all", *(["should be", ""] if told else []), "label: share (95%)"]
        table = [
            [plain(one.value), f"{one.rows:,}", f"{one.of_all:.1%}", *(_beside(one) if told else []), _labels(one)]
            for one in (slices[: args.n] if args.n else slices)
        ]
        show_table("", head, table, right=(1, 2))
        say()
    if found.rarest:
        show_table(
            "",
            ("columns", "values", "rows"),
            [[", ".join(one.columns), ", ".join(map(plain, one.values)), f"{one.rows:,}"] for one in found.rarest],
            right=(2,),
        )
        say(f"{found.missing:,} combinations of two columns have no row at all")
    return 0


def _beside(one: Slice) -> list[str]:
    if one.population is None:
        return ["-", ""]
    if one.population and abs(one.of_all / one.population - 1) > _UNLIKE:
        return [f"{one.population:.1%}", "too many" if one.of_all > one.population else "too few"]
    return [f"{one.population:.1%}", ""]


def _labels(one: Slice) -> str:
    shown = one.labels[-1:] if len(one.labels) == 2 else one.labels
    return "; ".join(f"{plain(s.label)}: {s.share:.1%} ({s.low:.1%} .. {s.high:.1%})" for s in shown)
