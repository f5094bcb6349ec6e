"""Feature views joined to rows as they were known at each row's moment: never anything later, and no row lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

import numpy as np
import polars as pl

from trimtab.errors import PermanentError
from trimtab.features.spec import FeatureViewSpec


class FeatureError(PermanentError):
    """A feature view and the rows, or the dataset it is made of, do not fit together."""


_ORDER = "_order"
_AT = "_view_row"
_MOMENT = "_view_moment"
_INSTANT = pl.Datetime("us", "UTC")
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


def join_views(
    rows: pl.DataFrame, views: Sequence[tuple[FeatureViewSpec, pl.DataFrame]], *, moment: str
) -> pl.DataFrame:
    """Join each view's columns to the rows: from the newest view row of the same entity with time <= `rows[moment]`.

    Where that row is older than `ttl` seconds, or there is none, or the entity or the moment is null, the features are
    null. Every row is kept, in its order. Of view rows with the same entity and time the greatest wins, compared column
    by column in order of their names with null as the least: which one does not hang on the order they come in.

    `moment` and the view's time are UTC instants. Raises FeatureError for a column that is missing, is no time or has
    another type on the other side, and for a feature whose name the rows or another view already have.
    """
    if moment not in rows.columns:
        raise FeatureError(f"the rows have no column {moment!r}, the moment of their prediction")
    chosen: list[tuple[FeatureViewSpec, pl.DataFrame, tuple[str, ...]]] = []
    taken = set(rows.columns)
    for spec, view in views:
        columns = feature_columns(spec, view.columns)
        _check(rows, spec, view, moment)
        _check_names(spec, columns, taken)
        taken.update(columns)
        chosen.append((spec, view, columns))
    entities = dict.fromkeys(name for spec, _, _ in chosen for name in spec.entity)
    left = rows.select(*entities, pl.col(moment).cast(_INSTANT).fill_null(_NEVER).alias(_MOMENT))
    if not (in_order := left.get_column(_MOMENT).is_sorted()):
        left = left.with_row_index(_ORDER).sort(_MOMENT)
    left = left.with_columns(pl.col(_MOMENT).set_sorted())
    features = []
    for spec, view, columns in chosen:
        found = _newest(left, spec, view, columns, rows.schema)
        if not in_order:
            found = _put_back(found, left.get_column(_ORDER))
        features.append(view.select(pl.col(columns).gather(found)))
    return pl.concat([rows, *features], how="horizontal")


def feature_columns(spec: FeatureViewSpec, have: Sequence[str]) -> tuple[str, ...]:
    """The columns a view gives: the declared ones, else all of its dataset but entity, time and the store's own (`_…`).

    Raises FeatureError for a column that the dataset lacks.
    """
    for name in (*spec.entity, spec.time, *spec.columns):
        if name not in have:
            near = get_close_matches(name, have, n=1)
            raise FeatureError(
                f"feature view {spec.view!r}: dataset {spec.source!r} has no column {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"its columns are {', '.join(have)}",
            )
    if spec.columns:
        return spec.columns
    return tuple(name for name in have if name not in (*spec.entity, spec.time) and not name.startswith("_"))


def _check(rows: pl.DataFrame, spec: FeatureViewSpec, view: pl.DataFrame, moment: str) -> None:
    here = f"feature view {spec.view!r}"
    for name in spec.entity:
        if name not in rows.columns:
            raise FeatureError(f"{here}: the rows have no column {name!r}, its entity")
        ours, theirs = rows.schema[name], view.schema[name]
        if ours != theirs and not (ours.is_integer() and theirs.is_integer()):
            raise FeatureError(
                f"{here}: entity {name!r} is {ours} in the rows and {theirs} in dataset {spec.source!r}",
                hint="give both the same type in their sources",
            )
    for name, dtype in ((moment, rows.schema[moment]), (spec.time, view.schema[spec.time])):
        if not isinstance(dtype, pl.Datetime) or dtype.time_zone is None:
            raise FeatureError(f"{here}: column {name!r} is {dtype}, which is no instant with a time zone")


def _check_names(spec: FeatureViewSpec, columns: Sequence[str], taken: Set[str]) -> None:
    clash = sorted(taken & set(columns))
    if clash:
        raise FeatureError(
            f"feature view {spec.view!r}: there already is a column {clash[0]!r}, in the rows or in a view before it",
            hint="name the columns that the view gives in `columns`, or rename this one in its source",
        )


def _newest(
    left: pl.DataFrame,
    spec: FeatureViewSpec,
    view: pl.DataFrame,
    columns: Sequence[str],
    types: Mapping[str, pl.DataType],
) -> pl.Series:
    """For each row of `left`, which is in order of moment, the number of the view row it sees; null for none. The join
    carries this number only: the features are fetched once, in the end."""
    keys = [*spec.entity, _MOMENT]
    right = view.select(
        *(pl.col(name).cast(types[name], strict=False) for name in spec.entity),
        pl.col(spec.time).cast(_INSTANT).alias(_MOMENT),
    ).with_row_index(_AT)
    right = right.drop_nulls(keys)
    if not right.get_column(_MOMENT).is_sorted():
        right = right.sort(_MOMENT)
    times = pl.col(_MOMENT)
    tied = right.select(keys).filter((times == times.shift(1)) | (times == times.shift(-1)))
    if tied.height and tied.select(pl.struct(keys).is_duplicated().any()).item():
        ranked = right.hstack(view.select(pl.col(columns).gather(right.get_column(_AT))))
        ranked = ranked.sort(_MOMENT, *spec.entity, *sorted(columns), nulls_last=False)
        right = ranked.unique(keys, keep="last", maintain_order=True).select(_AT, *keys)
    joined = left.lazy().join_asof(
        right.lazy().with_columns(pl.col(_MOMENT).set_sorted()),
        on=_MOMENT,
        by=list(spec.entity),
        strategy="backward",
        tolerance=timedelta(seconds=spec.ttl) if spec.ttl is not None else None,
        check_sortedness=False,
    )
    return joined.select(_AT).collect().to_series()


def _put_back(found: pl.Series, order: pl.Series) -> pl.Series:
    """Values of rows in order of moment, in the order the rows came in."""
    numbers = found.cast(pl.Int64).fill_null(-1).to_numpy()
    out = np.empty_like(numbers)
    out[order.to_numpy()] = numbers
    return pl.Series(_AT, out).replace(-1, None).cast(pl.UInt32)
