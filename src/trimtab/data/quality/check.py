"""What a check of quality is made of: expressions for the one query, and how the figure is told from its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from trimtab.data.port import DataError
from trimtab.data.spec import DatasetSpec
from trimtab.records.requirement import Estimate

Answer = dict[str, Any]
"""One row of the query's result: of all rows, or of one slice."""
STORE_COLUMNS = "_"
"""Columns that begin like this are the store's own and no data."""


@dataclass(frozen=True)
class Other:
    """Another dataset, to compare with: its rows and the columns of its key."""

    rows: pl.DataFrame | pl.LazyFrame
    key: tuple[str, ...]


Others = Callable[[str], Other]
"""Another dataset by its name."""


@dataclass(frozen=True)
class Batch:
    """The rows that are judged, and what is known beside them."""

    spec: DatasetSpec
    schema: Mapping[str, pl.DataType]
    now: datetime
    quarantined: Mapping[str, int]
    newest: datetime | None
    others: Others

    @property
    def refused(self) -> int:
        """How many rows were refused beside those that are judged."""
        return sum(self.quarantined.values())

    def refused_for(self, kind: str) -> int:
        """How many of them for reasons of this kind, the first word of a reason."""
        return sum(count for reason, count in self.quarantined.items() if reason.split(":", 1)[0] == kind)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are data."""
        return tuple(name for name in self.schema if not name.startswith(STORE_COLUMNS))

    def present(self, columns: Sequence[str]) -> None:
        """Raises DataError for a column that is not there."""
        for name in columns:
            if name not in self.schema:
                raise DataError(
                    f"dataset {self.spec.name!r} has no column {name!r}, which a requirement names",
                    hint=f"its columns are {', '.join(self.schema)}",
                )

    def number(self, column: str, metric: str) -> pl.Expr:
        """A column as numbers; true counts 1. Raises DataError where it holds none."""
        self.present((column,))
        dtype = self.schema[column]
        if not (dtype.is_numeric() or isinstance(dtype, pl.Boolean | pl.Null)):
            raise DataError(f"{metric} needs numbers, and column {column!r} of {self.spec.name!r} has type {dtype}")
        return pl.col(column) if dtype.is_numeric() else pl.col(column).cast(pl.Float64)


@dataclass(frozen=True)
class Joined:
    """Rows of another dataset, one a key, under the names that this dataset's query calls them by."""

    rows: pl.LazyFrame
    key: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """What one requirement adds to the query, and how its figure is told from the answer.

    `flags` are columns of truth values, worked out once a row, that `expressions` sum up; `joins` bring what they need
    from other datasets. `distinct` are values of which the different ones are counted: the query may take several
    goes at that, so that memory stays bounded.
    """

    expressions: dict[str, pl.Expr]
    figure: Callable[[Answer], Estimate]
    flags: dict[str, pl.Expr] = field(default_factory=dict)
    joins: dict[str, Joined] = field(default_factory=dict)
    distinct: dict[str, pl.Expr] = field(default_factory=dict)


def nothing(reason: str = "there is no row") -> Estimate:
    """No figure, and why."""
    return Estimate(figure=None, reason=reason)
