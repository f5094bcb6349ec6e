"""Feature views joined to rows as they were known at each row's moment: never anything later, and no row lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from difflib import get_close_matches

import polars as pl

from trimtab.errors import PermanentError
from trimtab.features.spec import FeatureViewSpec


class FeatureError(PermanentError):
    """A feature view and the rows, or the dataset it is made of, do not fit together."""


_ORDER = "_order"
_TIME = "_view_time"


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
    for spec, view in views:
        columns = feature_columns(spec, view.columns)
        _check(rows, spec, view, columns, moment)
        rows = _join(rows, spec, view, columns, moment)
    return rows


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


def _check(rows: pl.DataFrame, spec: FeatureViewSpec, view: pl.DataFrame, columns: Sequence[str], moment: str) -> None:
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
    clash = sorted(set(columns) & set(rows.columns))
    if clash:
        raise FeatureError(
            f"{here}: the rows already have a column {clash[0]!r}",
            hint="name the columns that the view gives in `columns`, or rename this one in its source",
        )


def _join(
    rows: pl.DataFrame, spec: FeatureViewSpec, view: pl.DataFrame, columns: Sequence[str], moment: str
) -> pl.DataFrame:
    """One view. The order is put back with the row's number: an as-of join wants both sides sorted by time."""
    entity = list(spec.entity)
    instants = pl.Datetime("us", "UTC")
    right = (
        view.lazy()
        .select(
            *(pl.col(name).cast(rows.schema[name]) for name in entity),
            pl.col(spec.time).cast(instants).alias(_TIME),
            *columns,
        )
        .drop_nulls([*entity, _TIME])
    )
    left = rows.lazy().select(*dict.fromkeys(entity), pl.col(moment).cast(instants).alias(_TIME)).with_row_index(_ORDER)
    found = left.drop_nulls([*entity, _TIME]).sort(_TIME)
    joined = found.join_asof(
        _one_a_moment(right, entity, columns).sort(_TIME),
        on=_TIME,
        by=entity,
        strategy="backward",
        tolerance=timedelta(seconds=spec.ttl) if spec.ttl is not None else None,
        check_sortedness=False,
    ).select(_ORDER, *columns)
    features = left.select(_ORDER).join(joined, on=_ORDER, how="left", maintain_order="left").select(columns)
    return rows.hstack(features.collect())


def _one_a_moment(view: pl.LazyFrame, entity: Sequence[str], columns: Sequence[str]) -> pl.LazyFrame:
    """The view with one row for each entity and time."""
    keys = [*entity, _TIME]
    return view.sort(*keys, *sorted(columns), nulls_last=False).unique(keys, keep="last", maintain_order=True)
