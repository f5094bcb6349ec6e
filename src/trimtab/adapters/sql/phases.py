"""The statements of one reading, in turn: rows without an order first, then the others in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from trimtab.adapters.sql.relation import Kept, Relation, bound, earlier
from trimtab.records.base import Record


class At(Record):
    """Where a reading stands. It began at `since`, as `of` was declared, and asks for rows with
    lower < time <= until; with a declared cursor, for those beyond `base`, and for those before it that were too late
    for the reading that came so far. It goes on in `phase`, behind the row whose order is `after`, unless it is `done`.
    """

    of: str
    since: datetime | None
    lower: datetime | None
    until: datetime
    base: Kept | None = None
    phase: int = 0
    after: tuple[Kept, ...] | None = None
    done: bool = False


@dataclass(frozen=True)
class Phase:
    """Some of the rows: those for which `where` holds, in the `order` of these columns (none: in any order).
    `moves_base`: once they are read, everything up to the last one's cursor is."""

    number: int
    relation: Relation
    where: sa.ColumnElement[bool]
    order: tuple[str, ...] = ()
    moves_base: bool = False

    def statement(self, after: Sequence[Kept] | None) -> sa.Select[Any]:
        """What to ask for; only rows behind `after`, where that is given."""
        columns = self.relation.source.c
        asked = sa.select(self.relation.source).where(self.where).order_by(*(columns[name] for name in self.order))
        if after:
            asked = asked.where(behind([columns[name] for name in self.order], [bound(value) for value in after]))
        return asked


def phases(relation: Relation, at: At) -> list[Phase]:
    """The phases of a reading."""
    columns, spec = relation.source.c, relation.spec
    leading = relation.cursor or spec.time
    time = columns[spec.time]
    order = (leading, *(name for name in spec.key if name != leading))
    within = relation.not_later(at.until)
    ordered = sa.and_(within, *(columns[name].is_not(None) for name in (*order, spec.time)))
    span = within if at.lower is None else sa.and_(within, relation.later(at.lower))
    unordered = sa.or_(*(columns[name].is_(None) for name in order))
    loose = Phase(0, relation, sa.or_(time.is_(None), sa.and_(unordered, span)))
    if not relation.cursor:
        lower = sa.true() if at.lower is None else relation.later(at.lower)
        return [loose, Phase(1, relation, sa.and_(ordered, lower), order)]
    if at.base is None or at.lower is None:
        return [loose, Phase(1, relation, sa.false(), order), Phase(2, relation, ordered, order, moves_base=True)]
    again, base = bound(earlier(at.base, spec.late)), bound(at.base)
    late = sa.and_(ordered, columns[leading] <= base, sa.or_(columns[leading] > again, relation.later(at.lower)))
    beyond = sa.and_(ordered, columns[leading] > base)
    return [loose, Phase(1, relation, late, order), Phase(2, relation, beyond, order, moves_base=True)]


def behind(columns: Sequence[sa.ColumnElement[Any]], values: Sequence[sa.ColumnElement[Any]]) -> sa.ColumnElement[bool]:
    """Rows that come after `values` in the order of `columns`: a > x, or a = x and b > y, and so on."""
    parts = []
    for number in range(len(columns)):
        same = [column == value for column, value in zip(columns[:number], values[:number], strict=True)]
        parts.append(sa.and_(*same, columns[number] > values[number]))
    return sa.and_(columns[0] >= values[0], sa.or_(*parts))
