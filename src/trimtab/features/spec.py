"""What a user declares about features: `[[features]]` tables."""

from __future__ import annotations

from trimtab.records.base import Record


class FeatureViewSpec(Record, kw_only=True):
    """One `[[features]]` table: the newest row of dataset `source` for an `entity` as known when predicting.

    `time` is when a row of the source became known; a row older than `ttl` seconds is not used (the features are null).
    `columns` (empty: all but entity and time) are joined to the rows under their own names; a name that the rows
    already have is an error.
    """

    view: str
    source: str
    entity: tuple[str, ...]
    time: str
    ttl: float | None = None
    columns: tuple[str, ...] = ()
    line: int = 0
