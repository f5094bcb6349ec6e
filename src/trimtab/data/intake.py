"""What comes in: each row is accepted as it will be stored, or refused with the reason. None is lost on the way."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from trimtab.data.port import DIGEST, UNREAD, DataError
from trimtab.data.privacy.patterns import masked, tells
from trimtab.data.quality.rules import (
    DUPLICATE,
    FUTURE,
    MISSING,
    PERSONAL,
    WRONG_TYPE,
    consistency_rules,
    named_columns,
    validity_rules,
)
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.casting import reading, stored_type
from trimtab.data.values.digest import row_digests
from trimtab.data.values.times import UTC_TIME, in_utc, microseconds

_Check = tuple[str | pl.Expr, pl.Expr]
"""The reason, and the rows it holds for."""

REASON = "reason"
CONTENT = "row"
_UNREAD_NAME = r'"((?:[^"\\]|\\.)*)":"'
"""The first name with a text after it, in a JSON object of texts and nulls."""
_STORABLE = re.compile(r"^[^_.`\"\x00-\x1f][^.`\"\x00-\x1f]*$")


@dataclass(frozen=True)
class Screened:
    """`good` rows in stored types with `_digest`, ordered by time and key; `bad` rows as reason, key, time and JSON;
    `early` counts the rows later than was asked for, which are left for a later collection."""

    good: pl.DataFrame
    bad: pl.DataFrame
    early: int
    new_columns: tuple[str, ...]


def screen(
    frame: pl.DataFrame,
    spec: DatasetSpec,
    stored: Mapping[str, pl.DataType] | None,
    *,
    until: datetime,
    now: datetime,
    digests: bool = True,
) -> Screened:
    """Accept or refuse each row. A row is refused for the first of: a cell that is not of its column's type, a missing
    key or time, a time after `now`, a broken rule, and a key that another row of the batch has. Without `digests` the
    good rows carry no `_digest`, which takes most of the time.

    Of rows with one key the one with the most cells stays, then the earliest, then the least digest: which one it is
    does not hang on their order. Raises DataError where a column is missing, reserved or cannot be stored.
    """
    _check_columns(frame, spec, stored)
    if gone := [name for name in stored or () if name not in frame.columns]:
        frame = frame.with_columns(pl.lit(None).alias(name) for name in gone)
    raw, frame = frame, in_utc(frame, spec)
    types = _types(frame, stored)
    lost = raw.get_column(spec.time).is_not_null() & frame.get_column(spec.time).is_null()
    frame, unreadable = _read_cells(frame, types, spec)
    if lost.any():
        frame = frame.with_columns(lost.alias("_lost_time"))
        unreadable.insert(0, (f"{WRONG_TYPE}: {spec.time} cannot be read as a time", pl.col("_lost_time")))
    checks = [*unreadable, *_checks(frame, spec, now)]
    refused = frame.select(pl.any_horizontal([broken.fill_null(value=False) for _, broken in checks])).to_series()
    bad = nothing_described()
    if refused.any():
        bad = described(_first_reason(frame.filter(refused), checks), raw.filter(refused), frame.filter(refused), spec)
        bad = _without_patterns(bad, spec)
    early = (frame.get_column(spec.time) > until) & ~refused
    keep = ~(refused | early.fill_null(value=False))
    good, raw = (frame, raw) if keep.all() else (frame.filter(keep), raw.filter(keep))
    good = good.select(list(types)) if good.height else pl.DataFrame(schema=types)
    if digests:
        good = good.with_columns(row_digests(good))
    good, repeated = _without_duplicates(good, raw, spec)
    new = tuple(sorted(set(types) - set(stored))) if stored is not None else ()
    return Screened(
        good=good.sort(spec.time, *spec.key) if good.height else good,
        bad=pl.concat([bad, repeated]) if repeated.height else bad,
        early=int(early.sum()),
        new_columns=new,
    )


def described(reasons: pl.Series, raw: pl.DataFrame, frame: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Refused rows as the quarantine keeps them: reason, key as text, time, and the row as it came, as JSON."""
    parts = [pl.col(name).cast(pl.String).fill_null("") for name in spec.key]
    head = frame.select(
        pl.concat_str(parts, separator=" ").alias("key"),
        (pl.col(spec.time) if frame.schema[spec.time] == UTC_TIME else pl.lit(None, dtype=UTC_TIME)).alias("time"),
    )
    cells = raw.select(_as_json(name, dtype) for name, dtype in sorted(raw.schema.items()) if name != DIGEST)
    content = cells.select(pl.struct(pl.all()).struct.json_encode().alias(CONTENT))
    return pl.concat([reasons.alias(REASON).to_frame(), head, content], how="horizontal")


def nothing_described() -> pl.DataFrame:
    """What `described` gives for no rows."""
    return pl.DataFrame(schema={REASON: pl.String, "key": pl.String, "time": UTC_TIME, CONTENT: pl.String})


def key_text(spec: DatasetSpec) -> pl.Expr:
    """The key of a row in one text, for people."""
    return pl.concat_str([pl.col(name).cast(pl.String) for name in spec.key], separator=" ")


def _as_json(name: str, dtype: pl.DataType) -> pl.Expr:
    cell = pl.col(name)
    if isinstance(dtype, pl.Binary):
        return cell.bin.encode("hex")
    if isinstance(dtype, (pl.Categorical, pl.Enum, pl.Decimal, pl.Duration, pl.Null)):
        return cell.cast(pl.String)
    return cell


def _check_columns(frame: pl.DataFrame, spec: DatasetSpec, stored: Mapping[str, pl.DataType] | None) -> None:
    have = set(frame.columns)
    for name in sorted(have - {UNREAD}):
        if not _STORABLE.match(name):
            raise DataError(
                f"dataset {spec.name!r}: a column cannot be called {name!r}; nothing was collected",
                hint="rename it in the source: not empty, no `_` in front, no dot, quote, backtick or line break",
            )
    for name, place in named_columns(spec).items():
        if name not in have:
            raise DataError(
                f"dataset {spec.name!r}: the rows have no column {name!r} ({place}); nothing was collected",
                hint=f"the columns are {', '.join(sorted(have)[:20])}",
            )
    for name in sorted(set(stored or ()) - have) if spec.schema_changes != "accept" else ():
        raise DataError(
            f"dataset {spec.name!r}: column {name!r} is missing, which earlier rows have; nothing was collected",
            hint='mend the source, let it give the column with nulls, or declare `schema_changes = "accept"`',
        )


def _types(frame: pl.DataFrame, stored: Mapping[str, pl.DataType] | None) -> dict[str, pl.DataType]:
    """The stored type of every column. A column with nothing but nulls has no type yet and waits for its first cell."""
    types = dict(stored or {})
    for name, dtype in frame.schema.items():
        if name not in types and name != UNREAD:
            wide = stored_type(name, dtype)
            if not isinstance(wide, pl.Null):
                types[name] = wide
    return types


def _read_cells(
    frame: pl.DataFrame, types: Mapping[str, pl.DataType], spec: DatasetSpec
) -> tuple[pl.DataFrame, list[_Check]]:
    """The frame in stored types, and for each column that was changed the rows in which it could not be read."""
    have = frame.schema
    cells, flags = list[pl.Expr](), list[pl.Expr]()
    checks: list[_Check] = []
    if UNREAD in have:
        flags.append(pl.col(UNREAD))
        first = pl.col(UNREAD).str.extract(_UNREAD_NAME, 1).fill_null("a cell")
        reason = pl.format(f"{WRONG_TYPE}: {{}} cannot be read as its column's type", first)
        checks.append((reason, pl.col(UNREAD).is_not_null()))
    for name, want in types.items():
        read = reading(name, have[name], want, zone=spec.timezone)
        cells.append(read.cell.alias(name))
        if read.failed is not None:
            flag = f"_failed_{len(checks)}"
            flags.append(read.failed.alias(flag))
            checks.append((f"{WRONG_TYPE}: {name} is not {want}", pl.col(flag)))
    nothing = [pl.lit(None, dtype=pl.Null).alias(name) for name in have if name not in types and name != UNREAD]
    return frame.select(*cells, *nothing, *flags), checks


def _checks(frame: pl.DataFrame, spec: DatasetSpec, now: datetime) -> list[_Check]:
    schema = frame.schema
    rules = [*validity_rules(spec, schema), *consistency_rules(spec, schema)]
    return [
        *((f"{MISSING}: key {name}", pl.col(name).is_null()) for name in spec.key),
        (f"{MISSING}: time {spec.time}", pl.col(spec.time).is_null()),
        *((f"{MISSING}: subject {name}", pl.col(name).is_null()) for name in (spec.subject,) if name is not None),
        (f"{FUTURE}: {spec.time} lies after the present", pl.col(spec.time) > microseconds(now)),
        *((rule.reason, rule.broken) for rule in rules),
        *_patterns(spec, schema),
    ]


def _patterns(spec: DatasetSpec, schema: Mapping[str, pl.DataType]) -> list[_Check]:
    """What tells a person where no column is declared to, where such rows are refused."""
    if not spec.privacy.quarantine:
        return []
    texts = [name for name, dtype in schema.items() if dtype == pl.String and not name.startswith("_")]
    open_ = [name for name in texts if name not in (spec.subject, *spec.personal)]
    return [
        (f"{PERSONAL}: {kind} in {name}", tells(pl.col(name), kind)) for name in open_ for kind in spec.privacy.scan
    ]


def _without_patterns(bad: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Refused rows of a dataset without a subject, under whose key they could be sealed: patterns are taken out."""
    if not spec.privacy.quarantine or spec.subject is not None:
        return bad
    return bad.with_columns(masked(pl.col(CONTENT), spec.privacy.scan), masked(pl.col("key"), spec.privacy.scan))


def _first_reason(bad: pl.DataFrame, checks: Sequence[_Check]) -> pl.Series:
    if bad.is_empty():
        return pl.Series(REASON, [], dtype=pl.String)
    told = [pl.when(broken).then(pl.lit(reason) if isinstance(reason, str) else reason) for reason, broken in checks]
    bad = bad.rechunk()  # Polars 2.1 panics in pl.format over several chunks
    return bad.select(pl.coalesce(told).alias(REASON)).to_series()


def _without_duplicates(good: pl.DataFrame, raw: pl.DataFrame, spec: DatasetSpec) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row a key, and the others described."""
    if good.is_empty() or not good.select(pl.struct(spec.key).is_duplicated().any()).item():
        return good, nothing_described()
    cells = [name for name in good.columns if name != DIGEST]
    told = good if DIGEST in good.columns else good.with_columns(row_digests(good))
    ordered = told.with_row_index("_row").sort(
        pl.sum_horizontal(pl.col(cells).is_null()), pl.col(spec.time), pl.col(DIGEST), pl.col("_row")
    )
    first = ordered.unique(spec.key, keep="first", maintain_order=True).get_column("_row").sort()
    stays = pl.Series(pl.select(pl.int_range(good.height, dtype=pl.UInt32)).to_series().is_in(first.implode()))
    out, out_raw = good.filter(~stays), raw.filter(~stays)
    reason = pl.Series(REASON, [f"{DUPLICATE}: its key comes more than once in one collection"] * out.height)
    return good.filter(stays), described(reason, out_raw, out, spec)
