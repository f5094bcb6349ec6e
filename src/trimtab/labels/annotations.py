"""What was said, as rows: every revision of every annotation stays, and the newest of each annotator stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from trimtab.labels.port import Annotation, Value

KEY = ("annotation", "at")
SCHEMA: dict[str, pl.DataType] = {
    "annotation": pl.String(),
    "at": pl.Datetime("us", "UTC"),
    "item": pl.String(),
    "annotator": pl.String(),
    "state": pl.String(),
    "value": pl.String(),
    "seconds": pl.Float64(),
    "reason": pl.String(),
    "given": pl.String(),
}
"""The columns of the dataset of annotations; a value is kept as JSON."""


@dataclass(frozen=True)
class Said:
    """What several annotators say of one item: their labels, by annotator, in order of name."""

    item: str
    labels: Mapping[str, Value]


def rows_of(annotations: Iterable[Annotation]) -> pl.DataFrame:
    """Annotations as rows."""
    found = [
        (
            a.id,
            a.at,
            a.item,
            a.annotator,
            a.state,
            msgspec.json.encode(a.value).decode() if a.state == "said" else None,
            a.seconds,
            a.reason or None,
            a.given or None,
        )
        for a in annotations
    ]
    return pl.DataFrame(found, schema=SCHEMA, orient="row")


def withdrawn(rows: pl.DataFrame, items: Sequence[str], there: Sequence[Annotation]) -> list[Annotation]:
    """Annotations that `rows` hold of these items and that are no longer `there`; each is withdrawn a microsecond
    after its last revision, so that the same is said whenever it is found out."""
    have = {a.id for a in there}
    newest = _newest(rows.filter(pl.col("item").is_in(list(items)) & ~pl.col("annotation").is_in(list(have))))
    gone = newest.filter(pl.col("state") != "withdrawn").with_columns(pl.col("at") + pl.duration(microseconds=1))
    return [
        Annotation(id=row["annotation"], item=row["item"], annotator=row["annotator"], at=row["at"], state="withdrawn")
        for row in gone.iter_rows(named=True)
    ]


def standing(rows: pl.DataFrame) -> list[Said]:
    """What stands: of each annotator and item the newest label that was neither withdrawn, skipped nor refused."""
    stands = _newest(rows).filter(pl.col("state") == "said")
    return list(_by_item(stands.sort("at", "annotation").unique(["item", "annotator"], keep="last")))


def first(rows: pl.DataFrame) -> list[Said]:
    """What each annotator said first of each item, whatever became of it since."""
    said = rows.filter(pl.col("state") == "said")
    return list(_by_item(said.sort("at", "annotation").unique(["item", "annotator"], keep="first")))


def refused(rows: pl.DataFrame) -> pl.DataFrame:
    """The refused annotations that have not been mended or withdrawn since, newest first."""
    return _newest(rows).filter(pl.col("state") == "refused").sort("at", "annotation", descending=True)


def seconds_per_label(rows: pl.DataFrame) -> float | None:
    """The median time that a label took; None where the tool does not tell."""
    found: Any = rows.filter(pl.col("state") == "said")["seconds"].median()
    return None if found is None else float(found)


def _newest(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("at").unique(["annotation"], keep="last", maintain_order=True)


def _by_item(rows: pl.DataFrame) -> Iterator[Said]:
    found: defaultdict[str, dict[str, Value]] = defaultdict(dict)
    ordered = rows.sort("item", "annotator").select("item", "annotator", "value")
    decoded: dict[str, Value] = {}
    for item, annotator, value in ordered.iter_rows():
        if value not in decoded:
            decoded[value] = msgspec.json.decode(value)
        found[item][annotator] = decoded[value]
    return (Said(item, labels) for item, labels in found.items())
