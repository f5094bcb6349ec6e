"""Two versions side by side: which keys came, went and changed, and how far each column moved."""

from __future__ import annotations

import numpy as np
import polars as pl

from trimtab.data.intake import key_text
from trimtab.data.port import DIGEST
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.state import ColumnMovement, DatasetVersion, Difference
from trimtab.data.store.tables.table import Table

_SAMPLE = 5


def compare(table: Table, spec: DatasetSpec, a: DatasetVersion, b: DatasetVersion) -> Difference:
    """The difference from `a` to `b`, by key and by column."""
    key = list(spec.key)
    before, after = (table.read(version.number, columns=[*key, DIGEST]) for version in (a, b))
    added = after.join(before, on=key, how="anti")
    removed = before.join(after, on=key, how="anti")
    both = after.join(before, on=key, how="inner", suffix="_before")
    changed = both.filter(pl.col(DIGEST) != pl.col(f"{DIGEST}_before"))
    columns_a, columns_b = a.columns, b.columns
    shared = [name for name in columns_b if name in columns_a and name not in key]
    movement = [
        _movement(name, table.read(a.number, columns=[name])[name], table.read(b.number, columns=[name])[name])
        for name in shared
    ]
    return Difference(
        a=a.id,
        b=b.id,
        added=added.height,
        removed=removed.height,
        changed=changed.height,
        same=both.height - changed.height,
        added_keys=_some(added, spec),
        removed_keys=_some(removed, spec),
        changed_keys=_some(changed, spec),
        columns_added=tuple(name for name in columns_b if name not in columns_a),
        columns_removed=tuple(name for name in columns_a if name not in columns_b),
        labels_changed=_labels_changed(table, spec, a, b, changed),
        movement=tuple(sorted(movement, key=lambda moved: (-moved.distance, moved.column))),
    )


def _labels_changed(
    table: Table, spec: DatasetSpec, a: DatasetVersion, b: DatasetVersion, changed: pl.DataFrame
) -> int:
    if spec.label is None or changed.is_empty() or not all(spec.label in one.columns for one in (a, b)):
        return 0
    wanted = [*spec.key, spec.label]
    before, after = (table.read(one.number, columns=wanted).join(changed, on=spec.key, how="semi") for one in (a, b))
    both = after.join(before, on=spec.key, suffix="_before")
    return both.filter(pl.col(spec.label).ne_missing(pl.col(f"{spec.label}_before"))).height


def _some(rows: pl.DataFrame, spec: DatasetSpec) -> tuple[str, ...]:
    return tuple(rows.sort(list(spec.key)).head(_SAMPLE).select(key_text(spec)).to_series().to_list())


def _movement(name: str, before: pl.Series, after: pl.Series) -> ColumnMovement:
    ordered = before.dtype.is_numeric() or before.dtype.is_temporal()
    return ColumnMovement(
        column=name,
        statistic="ks" if ordered else "tv",
        distance=round(_ks(before, after) if ordered else _tv(before, after), 6),
        nulls_before=_null_share(before),
        nulls_after=_null_share(after),
    )


def _null_share(column: pl.Series) -> float:
    return round(column.null_count() / len(column), 6) if len(column) else 0.0


def _ks(before: pl.Series, after: pl.Series) -> float:
    """Kolmogorov-Smirnov: the largest gap between the two empirical distribution functions."""
    x, y = (np.sort(column.drop_nulls().to_physical().to_numpy()) for column in (before, after))
    if not len(x) or not len(y):
        return 0.0 if len(x) == len(y) else 1.0
    at = np.concatenate([x, y])
    gap = np.searchsorted(x, at, side="right") / len(x) - np.searchsorted(y, at, side="right") / len(y)
    return float(np.abs(gap).max())


def _tv(before: pl.Series, after: pl.Series) -> float:
    """Total variation: half the sum of the differences of the values' shares."""
    x, y = (column.drop_nulls().value_counts(normalize=True, name="share") for column in (before, after))
    if x.is_empty() or y.is_empty():
        return 0.0 if x.height == y.height else 1.0
    both = x.join(y, on=before.name, how="full", coalesce=True, suffix="_after").fill_null(0.0)
    return float((both["share"] - both["share_after"]).abs().sum()) / 2
