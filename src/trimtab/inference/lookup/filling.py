"""Rows completed with the features that were looked up for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from trimtab.errors import PermanentError
from trimtab.inference.lookup.port import FeatureLookup, View

Row = Any  # what a caller sent: a mapping, where all is well
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Filling:
    """Completes the rows of one model from a store. `inputs` are the columns that the model takes.

    A row that has none of the columns that the model takes from a view gets them from the store: as of the row's own
    moment, null where nothing was known or it is older than the view's `ttl`. A row that has them keeps them. Columns
    that name an entity and are no input of the model are taken away afterwards. `counts` tells by view what came of
    lookups: `fresh`, `stale` or `missing`.
    """

    def __init__(self, lookup: FeatureLookup, inputs: Iterable[str]) -> None:
        self._lookup = lookup
        self._inputs = frozenset(inputs)

    def needed(self, rows: Sequence[Row], views: Sequence[View]) -> list[View]:
        """Those of the views that some row leaves out; empty where nothing is to be looked up."""
        found = []
        for view in views:
            wanted = self._inputs.intersection(view.columns)
            if wanted and any(isinstance(row, Mapping) and wanted.isdisjoint(row) for row in rows):
                found.append(view)
        return found

    def fill(
        self, rows: Sequence[Row], at: Sequence[int], views: Sequence[View], counts: dict[str, Counter[str]]
    ) -> list[Row]:
        """The rows, completed. `at`: the moment of each, microseconds since 1970. Raises PermanentError naming a row
        whose entity is missing or whose moment is before what the store remembers, TemporaryError when the store
        cannot be asked."""
        made = [dict(row) if isinstance(row, Mapping) else row for row in rows]
        spare = {name for view in views for name in view.entity} - self._inputs
        for view in views:
            self._fill_view(view, rows, made, at, counts.setdefault(view.name, Counter()))
        for row in made:
            if isinstance(row, dict):
                for name in spare.intersection(row):
                    del row[name]
        return made

    def _fill_view(
        self, view: View, rows: Sequence[Row], made: Sequence[Any], at: Sequence[int], counts: Counter[str]
    ) -> None:
        wanted = [(place, name) for place, name in enumerate(view.columns) if name in self._inputs]
        names = [name for _, name in wanted]
        lacking = [
            place
            for place, row in enumerate(rows)
            if isinstance(row, Mapping) and not any(name in row for name in names)
        ]
        keys = [_key(view, place, rows[place]) for place in lacking]
        for place in lacking:
            if at[place] < view.since:
                since = _EPOCH + timedelta(microseconds=view.since)
                raise PermanentError(
                    f"row {place}: view {view.name!r} remembers what was known from {since:%Y-%m-%dT%H:%M:%SZ} on",
                    hint=f"for an earlier moment send its columns: {', '.join(names)}",
                )
        found = self._lookup.read(view.name, keys, [at[place] for place in lacking])
        oldest = None if view.ttl is None else round(view.ttl * 1e6)
        for place, known in zip(lacking, found, strict=True):
            row = made[place]
            if known is None:
                counts["missing"] += 1
                row.update(dict.fromkeys(names))
            elif oldest is not None and at[place] - known.at > oldest:
                counts["stale"] += 1
                row.update(dict.fromkeys(names))
            else:
                counts["fresh"] += 1
                row.update({name: known.values[position] for position, name in wanted})


def _key(view: View, place: int, row: Row) -> tuple[Any, ...]:
    for name in view.entity:
        if name not in row:
            raise PermanentError(
                f"row {place}: column {name!r} is missing, by which the features of view {view.name!r} are looked up",
                hint=f"send {name!r}, or the columns of the view themselves",
            )
        if not isinstance(row[name], str | int | float | bool | None):
            raise PermanentError(f"row {place}, column {name!r}: expected a text or a number, got {row[name]!r:.60}")
    return tuple(row[name] for name in view.entity)
