"""What a row must obey, as Polars expressions: the `valid` rules of columns and the `consistent` lines between them.

A null cell obeys every rule here: whether a cell may be null is completeness. The reasons are also the keys of the
counts of refused rows, and their first word says which metric they count against.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from trimtab.data.port import DataError
from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.data.values.times import UTC_TIME, from_text

INVALID = "invalid"
INCONSISTENT = "inconsistent"
DUPLICATE = "duplicate"
WRONG_TYPE = "wrong type"
MISSING = "missing"
FUTURE = "future"
PERSONAL = "personal"

_LINE = re.compile(r"^\s*(?P<left>`[^`]+`|[^\W\d][\w.]*)\s*(?P<op><=|>=|==|!=|=|<|>)\s*(?P<right>\S.*?)\s*$")
_NAME = re.compile(r"^(?:`[^`]+`|[^\W\d][\w.]*)$")
_NUMBER = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$")
_QUOTED = re.compile(r"""^(?:"([^"]*)"|'([^']*)')$""")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of the declaration: rows where `broken` is true break it. `column` is the one to name."""

    reason: str
    column: str
    broken: pl.Expr


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One line of `consistent`, understood: `left op right`, where right is a column or a literal."""

    left: str
    op: str
    column: str | None
    literal: str | float | bool | None
    text: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns the line speaks of."""
        return (self.left,) if self.column is None else (self.left, self.column)


def parse_consistent(line: str) -> Comparison:
    """Read `column op column` or `column op literal`. The op is one of < <= > >= == !=; a literal is a number, true,
    false or quoted text (ISO 8601 where the column is a time). A name with other characters than letters, digits, `_`
    and `.` stands in backticks. Raises DataError that says what is wrong."""
    found = _LINE.match(line)
    if found is None:
        raise DataError(
            f"`consistent` line {line!r} is no comparison",
            hint="write `column op column` or `column op literal`, for example `arrival > departure`",
        )
    left, op, right = found["left"].strip("`"), found["op"], found["right"]
    if op == "=":
        raise DataError(f"`consistent` line {line!r} uses `=`", hint="write `==` to compare")
    column: str | None = None
    literal: str | float | bool | None = None
    quoted = _QUOTED.match(right)
    if quoted is not None:
        literal = quoted[1] if quoted[1] is not None else quoted[2]
    elif _NUMBER.match(right):
        literal = float(right)
    elif right in ("true", "false"):
        literal = right == "true"
    elif _NAME.match(right):
        column = right.strip("`")
    else:
        raise DataError(
            f"`consistent` line {line!r}: cannot read {right!r}",
            hint="the right side is one column, a number, true, false or quoted text; sums are not computed",
        )
    return Comparison(left=left, op=op, column=column, literal=literal, text=" ".join(line.split()))


def named_columns(spec: DatasetSpec) -> dict[str, str]:
    """Every column that the declaration of this dataset names, with the place that names it."""
    named = dict.fromkeys(spec.key, "key")
    named.setdefault(spec.time, "time")
    if spec.label is not None:
        named.setdefault(spec.label, "label")
    if spec.subject is not None:
        named.setdefault(spec.subject, "subject")
    for name in spec.personal:
        named.setdefault(name, "personal")
    for rule in spec.valid:
        named.setdefault(rule.column, "valid")
    for line in spec.consistent:
        for name in parse_consistent(line).columns:
            named.setdefault(name, f"consistent line {line!r}")
    for line in spec.plausible:
        for name in parse_consistent(line).columns:
            named.setdefault(name, f"plausible line {line!r}")
    for reference in spec.references:
        named.setdefault(reference.column, "references")
    for trusted in spec.trusted:
        named.setdefault(trusted.column, "trusted")
        if not trusted.dataset:
            named.setdefault(trusted.other, f"trusted {trusted.column}")
    if spec.recorded is not None:
        named.setdefault(spec.recorded, "recorded")
    return named


def validity_rules(spec: DatasetSpec, schema: Mapping[str, pl.DataType]) -> list[Rule]:
    """One rule for each column with a `valid` table. Raises DataError when a rule does not fit the column."""
    return [_validity(rule, _typed(spec, rule.column, schema), spec) for rule in spec.valid]


def consistency_rules(spec: DatasetSpec, schema: Mapping[str, pl.DataType]) -> list[Rule]:
    """One rule for each line of `consistent`. Raises DataError when its sides cannot be compared."""
    return [_consistency(parse_consistent(line), spec, schema) for line in spec.consistent]


def plausibility_rules(spec: DatasetSpec, schema: Mapping[str, pl.DataType]) -> list[Rule]:
    """One rule for each line of `plausible`; they are written like those of `consistent`, and refuse no row."""
    return [_consistency(parse_consistent(line), spec, schema, "plausible") for line in spec.plausible]


def _typed(spec: DatasetSpec, column: str, schema: Mapping[str, pl.DataType]) -> pl.DataType:
    if column not in schema:
        raise DataError(f"dataset {spec.name!r} has no column {column!r}, which its rules name")
    return schema[column]


def _validity(rule: ColumnRule, dtype: pl.DataType, spec: DatasetSpec) -> Rule:
    cell = pl.col(rule.column)
    where = f"dataset {spec.name!r}, rule for column {rule.column!r}"
    broken: list[pl.Expr] = []
    wants: list[str] = []
    if isinstance(dtype, pl.Null):
        return Rule(reason=f"{INVALID}: {rule.column}", column=rule.column, broken=pl.lit(value=False))
    if rule.low is not None or rule.high is not None:
        if not (dtype.is_numeric() or isinstance(dtype, pl.Boolean)):
            raise DataError(f"{where}: low and high need a number, the column has type {dtype}")
        broken.append(_outside(rule, cell, dtype))
        wants.append(_bounds(rule))
    if rule.allowed:
        broken.append(~cell.is_in(_allowed(rule, dtype, where).implode()))
        wants.append(f"one of {', '.join(rule.allowed[:5])}{', …' if len(rule.allowed) > 5 else ''}")
    if rule.pattern:
        if not isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
            raise DataError(f"{where}: a pattern needs text, the column has type {dtype}")
        _check_pattern(rule.pattern, where)
        broken.append(~cell.cast(pl.String).str.contains(f"^(?:{rule.pattern})$"))
        wants.append(f"like {rule.pattern}")
    reason = f"{INVALID}: {rule.column} is not {' and '.join(wants)}"
    return Rule(reason=reason, column=rule.column, broken=_any(broken))


def _outside(rule: ColumnRule, cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Boolean):
        cell = cell.cast(pl.Int8)
    broken = []
    if rule.low is not None:
        broken.append(cell < rule.low)
        if dtype.is_float() and rule.high is None:
            broken.append(cell.is_nan())  # Polars orders NaN above every number, so `high` alone refuses it
    if rule.high is not None:
        broken.append(cell > rule.high)
    return _any(broken)


def _bounds(rule: ColumnRule) -> str:
    low = f"{rule.low:g}" if rule.low is not None else ""
    high = f"{rule.high:g}" if rule.high is not None else ""
    if low and high:
        return f"within {low}..{high}"
    return f"at least {low}" if low else f"at most {high}"


def _allowed(rule: ColumnRule, dtype: pl.DataType, where: str) -> pl.Series:
    words = pl.Series(list(rule.allowed), dtype=pl.String)
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        return words
    if isinstance(dtype, pl.Boolean):
        typed = words.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    elif dtype.is_numeric():
        typed = words.cast(dtype, strict=False)
    else:
        raise DataError(f"{where}: allowed needs text, a number or a boolean, the column has type {dtype}")
    if typed.null_count():
        wrong = words.filter(typed.is_null())[0]
        raise DataError(f"{where}: allowed value {wrong!r} is not {dtype}")
    return typed


def _check_pattern(pattern: str, where: str) -> None:
    try:
        pl.Series([""]).str.contains(f"^(?:{pattern})$")
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{where}: pattern {pattern!r} is no regular expression: {str(error).splitlines()[-1]}",
            hint="patterns are Rust regular expressions: no look-around and no back-references",
        ) from error


def _consistency(
    line: Comparison, spec: DatasetSpec, schema: Mapping[str, pl.DataType], key: str = "consistent"
) -> Rule:
    left_type = _typed(spec, line.left, schema)
    where = f"dataset {spec.name!r}, `{key}` line {line.text!r}"
    if line.column is not None:
        right_type = _typed(spec, line.column, schema)
        if _kind(left_type) != _kind(right_type) and "" not in (_kind(left_type), _kind(right_type)):
            raise DataError(f"{where}: {line.left} is {left_type} and {line.column} is {right_type}")
        right = pl.col(line.column)
    else:
        right = _literal(line, left_type, spec, where)
    left = pl.col(line.left)
    holds = {
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
        "==": left == right,
        "!=": left != right,
    }[line.op]
    if isinstance(left_type, pl.Null):
        holds = pl.lit(value=True)
    kind = INCONSISTENT if key == "consistent" else "implausible"
    return Rule(reason=f"{kind}: {line.text}", column=line.left, broken=~holds)


def _literal(line: Comparison, dtype: pl.DataType, spec: DatasetSpec, where: str) -> pl.Expr:
    value, kind = line.literal, _kind(dtype)
    if kind == "time" and isinstance(value, str):
        moment = pl.select(from_text(pl.lit(value), spec.timezone or "UTC")).item()
        if not isinstance(moment, datetime):
            raise DataError(f"{where}: {value!r} is no time", hint="write it like 2013-01-31T17:05:00Z")
        return pl.lit(moment).cast(UTC_TIME).cast(dtype)
    fits = {"number": (int, float), "text": (str,), "boolean": (bool,)}.get(kind, ())
    if kind and (not isinstance(value, fits) or (isinstance(value, bool) and kind != "boolean")):
        raise DataError(f"{where}: column {line.left!r} has type {dtype}, which cannot be compared with {value!r}")
    return pl.lit(value)


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric():
        return "number"
    if isinstance(dtype, (pl.Datetime, pl.Date)):
        return "time"
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        return "text"
    if isinstance(dtype, pl.Boolean):
        return "boolean"
    return "" if isinstance(dtype, pl.Null) else str(dtype)


def _any(parts: list[pl.Expr]) -> pl.Expr:
    """True where any part is true; null cells break nothing."""
    if not parts:
        return pl.lit(value=False)
    joined = parts[0]
    for part in parts[1:]:
        joined = joined | part
    return joined
