"""Feature views put where a server finds them: the same rows that training joins, as of the same moments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from trimtab.features.join import FeatureError, feature_columns
from trimtab.features.spec import FeatureViewSpec
from trimtab.inference.encode import normalise
from trimtab.inference.lookup.port import Key, View
from trimtab.inference.lookup.snapshot import FeatureSnapshot
from trimtab.inference.signature import column_kind
from trimtab.records.model import Column

HISTORY = timedelta(days=2)
"""How far back a server can still tell what was known: for predictions that are asked for after their moment."""
_AT = "_view_moment"
_INSTANT = pl.Datetime("us", "UTC")


def publish_view(
    snapshot: FeatureSnapshot, spec: FeatureViewSpec, frame: pl.DataFrame, *, version: str, now: datetime
) -> int:
    """Puts a view's rows, all that are known of its dataset, in place of those published before; returns how many.

    What could be told at no moment from `HISTORY` before `now` on is left out. Rows that became known after `now` are
    kept: a server tells them when their moment has come. Raises FeatureError for a column that is missing or has a type
    that no caller could send.
    """
    columns = feature_columns(spec, frame.columns)
    for name in spec.entity:
        dtype = frame.schema[name]
        if not (dtype.is_integer() or dtype in (pl.String, pl.Boolean) or isinstance(dtype, pl.Categorical | pl.Enum)):
            raise FeatureError(
                f"feature view {spec.view!r}: entity {name!r} is {dtype}, which cannot be looked up by",
                hint="make it a text or a whole number in its source",
            )
    since = now - HISTORY
    rows = _ordered(frame, spec, columns).filter(pl.col(_AT).is_not_null())
    oldest = since - timedelta(seconds=spec.ttl) if spec.ttl is not None else since
    before = rows.filter(pl.col(_AT) < oldest)
    rows = rows.filter(pl.col(_AT) >= oldest)
    if spec.ttl is None:  # the newest of before counts still, however old
        rows = pl.concat([before.unique(list(spec.entity), keep="last", maintain_order=True), rows])
    told = [Column(name=name, kind=column_kind(name, frame.schema[name])) for name in columns]
    values = normalise(rows, told)
    view = View(
        name=spec.view, entity=spec.entity, columns=columns, ttl=spec.ttl, since=int(since.timestamp() * 1_000_000)
    )
    return snapshot.publish(view, version, _packed(rows, values, spec))


def _ordered(frame: pl.DataFrame, spec: FeatureViewSpec, columns: tuple[str, ...]) -> pl.DataFrame:
    """Rows in order of moment; of those of one entity and moment, the one that training takes comes last."""
    entity = [
        pl.col(name).cast(pl.String) if _is_category(frame.schema[name]) else pl.col(name) for name in spec.entity
    ]
    rows = frame.select(*entity, pl.col(spec.time).cast(_INSTANT).alias(_AT), *columns)
    return rows.sort(_AT, *spec.entity, *sorted(columns), nulls_last=False, maintain_order=True)


def _is_category(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Categorical | pl.Enum)


def _packed(rows: pl.DataFrame, values: pl.DataFrame, spec: FeatureViewSpec) -> Iterator[tuple[Key, int, Any]]:
    moments = rows.get_column(_AT).to_physical().to_list()
    return zip(rows.select(spec.entity).iter_rows(), moments, values.iter_rows(), strict=True)
