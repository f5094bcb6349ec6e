"""The order of rows in time, and the span of time they take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl


def span(times: pl.Series) -> tuple[datetime, datetime]:
    """The first and the last moment, in UTC."""
    first, last = times.min(), times.max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    return first.astimezone(UTC), last.astimezone(UTC)


def in_order(rows: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """Sorted by the columns; rows that were collected day by day mostly are already."""
    later = pl.lit(value=False)  # the next row is greater in the first column that differs
    for name in reversed(order):
        here, following = pl.col(name), pl.col(name).shift(-1)
        later = (here < following) | ((here == following) & later)
    if rows.height < 2 or rows.select(later.head(rows.height - 1).all()).item():
        return rows
    return rows.sort(order)
