"""Screened rows against the stored ones: new, identical, completing or contradicting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from trimtab.data.intake import REASON, Screened, described
from trimtab.data.port import DIGEST
from trimtab.data.quality.rules import DUPLICATE
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.tables.filters import among
from trimtab.data.store.tables.table import Table
from trimtab.data.store.writing.known import Known


@dataclass(frozen=True)
class Step:
    """What one collection adds. `completed` rows take the place of the stored ones whose digests are `replaced`;
    `same` counts the rows that are stored already; `refused` rows are described for the quarantine."""

    added: pl.DataFrame
    completed: pl.DataFrame
    replaced: pl.Series
    refused: pl.DataFrame
    same: int

    @property
    def counts(self) -> dict[str, int]:
        """Refused rows by reason."""
        return dict(self.refused.group_by(REASON).len().sort(REASON).iter_rows())


def fold_in(screened: Screened, spec: DatasetSpec, table: Table, known: Known) -> Step:
    """Compare accepted rows with what is stored under their keys."""
    good = screened.good
    if good.is_empty():
        return Step(good, good, pl.Series(DIGEST, [], dtype=pl.Binary), screened.bad, 0)
    identical = known.identical(good)
    fresh = good.filter(~identical)
    candidates = known.maybe_stored(fresh)
    nothing = fresh.clear()
    step = Step(fresh, nothing, pl.Series(DIGEST, [], dtype=pl.Binary), screened.bad, int(identical.sum()))
    if not candidates.any():
        return step
    stored = _stored_under(fresh.filter(candidates), spec, table)
    added = fresh.join(stored, on=spec.key, how="anti", maintain_order="left")
    again = fresh.join(stored.select(spec.key), on=spec.key, how="semi", maintain_order="left")
    old = again.select(spec.key).join(stored, on=spec.key, how="left", maintain_order="left")
    completes = _may_replace(old, again, spec)
    contradicting = again.filter(~completes)
    reason = pl.Series(REASON, [f"{DUPLICATE}: its key is stored with other content"] * contradicting.height)
    refused = described(reason, contradicting, contradicting, spec)
    return Step(
        added=added,
        completed=again.filter(completes),
        replaced=old.filter(completes).get_column(DIGEST),
        refused=pl.concat([screened.bad, refused]),
        same=step.same,
    )


def _stored_under(rows: pl.DataFrame, spec: DatasetSpec, table: Table) -> pl.DataFrame:
    """The stored rows that have the keys of `rows`."""
    keys = rows.select(spec.key)
    wanted = [among(name, keys.get_column(name)) for name in spec.key]
    where = " AND ".join(part for part in wanted if part)
    if where:  # more than the keys where there are several columns, and never less
        return table.read(where=where).join(keys, on=spec.key, how="semi")
    digests = table.read(columns=[*spec.key, DIGEST]).join(keys, on=spec.key, how="semi").get_column(DIGEST)
    return table.read(where=among(DIGEST, digests) if len(digests) else "false")


def _may_replace(old: pl.DataFrame, new: pl.DataFrame, spec: DatasetSpec) -> pl.Series:
    if spec.changes == "replace":
        return pl.Series([True] * new.height, dtype=pl.Boolean)
    return _only_fills(old, new, [name for name in new.columns if name not in (DIGEST, *spec.key)])


def _only_fills(old: pl.DataFrame, new: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """Which new rows agree with the old ones in every cell that was not null."""
    agrees = [
        new.get_column(name).eq_missing(old.get_column(name)) | old.get_column(name).is_null()
        for name in columns
        if name in old.columns
    ]
    return (
        pl.Series(pl.DataFrame(agrees).select(pl.all_horizontal(pl.all())).to_series())
        if agrees
        else (pl.Series([True] * new.height, dtype=pl.Boolean))
    )
