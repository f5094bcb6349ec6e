"""The rule that a column's values suggest: a range, a list, or a form that all its texts have."""

from __future__ import annotations

import re
from math import floor, log10

import polars as pl

from trimtab.data.quality.profile import ColumnProfile, shape
from trimtab.data.spec import ColumnRule

_ROOM = 0.1
_DENSE = 0.9
_LIST = 30
_SEEN = 5
_KNOWN_FORMS = (
    *(rf"[0-9a-f]{{{digits}}}" for digits in (16, 32, 40, 64)),
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    r"[^@\s]+@[^@\s]+\.[A-Za-z]+",
    r"https?://\S+",
    r"\d{4}-\d{2}-\d{2}",
    r"\d+\.\d+\.\d+\.\d+",
)
_CLASSES = {"A": r"[A-Z]", "a": r"[a-z]", "9": r"[0-9]"}
_RUN = re.compile(r"[A-Z]+|[a-z]+|[0-9]+|[^A-Za-z0-9]")


def range_rule(column: ColumnProfile) -> ColumnRule | None:
    """The range of the values, a tenth wider on both sides and with round ends; not beyond zero, or one of a share,
    where no value is. Whole numbers of which nearly all in between are there keep their ends."""
    if column.low is None or column.high is None or column.low == column.high:
        return None
    low, high = float(column.low), float(column.high)
    if "Int" in column.type and column.distinct >= _DENSE * (high - low + 1):
        return ColumnRule(column=column.name, low=low, high=high)
    room = _ROOM * (high - low)
    step = 10.0 ** floor(log10(high - low))
    step /= 1 if (high - low) / step >= 5 else 2 if (high - low) / step >= 2 else 10
    below, above = floor((low - room) / step) * step, -floor(-(high + room) / step) * step
    if low >= 0:
        below = max(0.0, below)
    if high <= 0:
        above = min(0.0, above)
    if low >= 0 and 0.5 < high <= 1:
        above = 1.0
    digits = max(0, 1 - floor(log10(step)))
    return ColumnRule(column=column.name, low=round(below, digits), high=round(above, digits))


def allowed_rule(column: ColumnProfile, cells: pl.Series) -> ColumnRule | None:
    """The list of the values, where there are few and none is so rare that others may not have been seen."""
    if not 1 <= column.distinct <= _LIST:
        return None
    counts = cells.cast(pl.String).rename("value").value_counts(name="count").sort("value")
    if int(counts.get_column("count").min()) < max(_SEEN, len(cells) // 1000):  # type: ignore[arg-type]
        return None
    return ColumnRule(column=column.name, allowed=tuple(counts.get_column("value")))


def form_rule(column: ColumnProfile, cells: pl.Series) -> ColumnRule | None:
    """A pattern that all texts have: a known form, or the runs of letters and digits that they share."""
    texts = cells.cast(pl.String).unique()
    for pattern in _KNOWN_FORMS:
        if texts.str.contains(f"^(?:{pattern})$").all():
            return ColumnRule(column=column.name, pattern=pattern)
    shapes = texts.to_frame("cell").select(shape(pl.col("cell"))).to_series().unique()
    if len(shapes) != 1 or len(shapes[0]) > 12 or not texts.str.contains(r"^[\x20-\x7e]+$").all():
        return None
    shared = _runs(texts)
    if shared is None or not texts.str.contains(f"^(?:{shared})$").all():
        return None
    return ColumnRule(column=column.name, pattern=shared)


def _runs(texts: pl.Series) -> str | None:
    """The pattern of texts of one shape: each run with its length where all agree on it, else of any length."""
    parts = [_RUN.findall(text) for text in texts.head(10_000)]
    if not parts or len({len(part) for part in parts}) != 1:
        return None
    pattern = ""
    for runs in zip(*parts, strict=True):
        first = runs[0][0]
        kind = "A" if first.isupper() else "a" if first.islower() else "9" if first.isdigit() else ""
        lengths = {len(run) for run in runs}
        if kind:
            pattern += _CLASSES[kind] + (f"{{{min(lengths)}}}" if len(lengths) == 1 else "+")
        elif len(set(runs)) == 1:
            pattern += re.escape(first)
        else:
            return None
    return pattern
