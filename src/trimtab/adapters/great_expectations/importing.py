"""Expectations as rules and requirements. Each is said exactly, or with a note on how it differs, or only noted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from trimtab.data.quality.port import Imported, Note
from trimtab.data.spec import ColumnRule
from trimtab.records.requirement import Comparison, Requirement

_Kwargs = Mapping[str, Any]
_UNSUPPORTED = re.compile(r"\(\?(?:=|!|<=|<!|>)|\\[1-9]")
_PLAIN = re.compile(r"^[^\W\d][\w.]*$")
_AMONG_ROWS = "the share is of all rows here, among them those with no value, which obey"
_INTERVAL = "here the figure has an interval and may stay unknown"
_HAS_RULE = "the column has a rule of another kind already"
_FIGURES = {
    "expect_column_mean_to_be_between": "data.mean",
    "expect_column_median_to_be_between": "data.quantile",
    "expect_column_stdev_to_be_between": "data.deviation",
    "expect_column_min_to_be_between": "data.minimum",
    "expect_column_max_to_be_between": "data.maximum",
    "expect_column_unique_value_count_to_be_between": "data.distinct",
}
_SAMPLED = ("data.mean", "data.quantile")


class _CannotSay(Exception):  # noqa: N818 - not a failure: a note is made of it
    """Why an expectation has no partner here."""


class Importer:
    """Collects rules, requirements and notes."""

    def __init__(self, key: tuple[str, ...]) -> None:
        self._key = key
        self._valid: dict[str, ColumnRule] = {}
        self._validity: dict[str, float] = {}
        self._consistent: list[str] = []
        self._consistency: list[float] = []
        self._requirements: list[Requirement] = []
        self._notes: list[Note] = []

    def expectation(self, config: Mapping[str, Any]) -> None:
        """One expectation of a suite."""
        kind = str(config.get("type") or config.get("expectation_type") or "")
        found = config.get("kwargs")
        kwargs: dict[str, Any] = dict(found) if isinstance(found, dict) else {}
        column = kwargs.get("column") or kwargs.get("column_A") or kwargs.get("column_list") or ""
        what = f"{kind} {column}".strip()
        try:
            self._say(kind, kwargs, what)
        except _CannotSay as reason:
            self._notes.append(Note(what=what, kind="left out", why=str(reason)))
        except (KeyError, TypeError, ValueError) as error:
            self._notes.append(Note(what=what, kind="left out", why=f"it cannot be read: {error!r}"))

    def result(self) -> Imported:
        """All that was collected. Each rule has its requirement; the lines of `consistent` share one."""
        validity = [_least("data.validity", share, columns=(name,)) for name, share in self._validity.items()]
        consistency = []
        if self._consistency:
            if len(set(self._consistency)) > 1:
                why = "the lines of `consistent` share one limit: the strictest"
                self._notes.append(Note(what="mostly of pairs", kind="differs", why=why))
            consistency = [_least("data.consistency", max(self._consistency))]
        return Imported(
            valid=tuple(self._valid.values()),
            consistent=tuple(dict.fromkeys(self._consistent)),
            requirements=tuple(dict.fromkeys([*self._requirements, *validity, *consistency])),
            notes=tuple(self._notes),
        )

    def _say(self, kind: str, kwargs: _Kwargs, what: str) -> None:
        sayings: dict[str, Callable[[_Kwargs, str], None]] = {
            "expect_column_values_to_not_be_null": self._not_null,
            "expect_column_proportion_of_non_null_values_to_be_between": self._share_not_null,
            "expect_column_values_to_be_null": self._null,
            "expect_column_values_to_be_between": self._between,
            "expect_column_values_to_be_in_set": self._in_set,
            "expect_column_values_to_not_be_in_set": self._not_in_set,
            "expect_column_values_to_match_regex": self._regex,
            "expect_column_value_lengths_to_be_between": self._lengths,
            "expect_column_value_lengths_to_equal": self._length,
            "expect_column_values_to_be_unique": self._unique,
            "expect_compound_columns_to_be_unique": self._unique,
            "expect_column_proportion_of_unique_values_to_be_between": self._share_unique,
            "expect_column_pair_values_a_to_be_greater_than_b": self._greater,
            "expect_column_pair_values_to_be_equal": self._equal,
            "expect_table_row_count_to_be_between": self._rows,
            "expect_table_row_count_to_equal": self._rows,
            "expect_column_quantile_values_to_be_between": self._quantiles,
            **dict.fromkeys(_FIGURES, self._figure),
        }
        if kind in ("expect_column_to_exist", "expect_table_columns_to_match_set"):
            raise _CannotSay("a column that rules name is missed anyway, and one that was there before too")
        if kwargs.get("row_condition"):
            raise _CannotSay("it holds only for some rows (row_condition)")
        if kind not in sayings:
            raise _CannotSay("there is no such check here")
        if kind in _FIGURES:
            kwargs = {**kwargs, "metric": _FIGURES[kind]}
        sayings[kind](kwargs, what)

    def _not_null(self, kwargs: _Kwargs, what: str) -> None:  # noqa: ARG002 - one shape for every kind
        self._requirements.append(_least("data.completeness", _mostly(kwargs), columns=(kwargs["column"],)))

    def _share_not_null(self, kwargs: _Kwargs, what: str) -> None:  # noqa: ARG002 - one shape for every kind
        self._limits("data.completeness", kwargs, (kwargs["column"],))

    def _null(self, kwargs: _Kwargs, what: str) -> None:  # noqa: ARG002 - one shape for every kind
        limit = round(1 - _mostly(kwargs), 12)
        self._requirements.append(
            Requirement(metric="data.corrupt", comparison="<=", limit=limit, columns=(kwargs["column"],))
        )

    def _between(self, kwargs: _Kwargs, what: str) -> None:
        column, low, high = kwargs["column"], kwargs.get("min_value"), kwargs.get("max_value")
        if low is None and high is None:
            raise _CannotSay("it has no limit")
        strict = kwargs.get("strict_min") or kwargs.get("strict_max")
        numbers = all(isinstance(end, int | float) for end in (low, high) if end is not None)
        if numbers and not strict and column not in self._valid:
            rule = ColumnRule(
                column=column,
                low=None if low is None else float(low),
                high=None if high is None else float(high),
            )
            self._rule(rule, kwargs, what)
            return
        for end, sign in (
            (low, ">" if kwargs.get("strict_min") else ">="),
            (high, "<" if kwargs.get("strict_max") else "<="),
        ):
            if end is not None:
                self._line(f"{_name(column)} {sign} {_literal(end)}", kwargs)
        if _mostly(kwargs) < 1:
            self._notes.append(Note(what=what, kind="differs", why=_AMONG_ROWS))

    def _in_set(self, kwargs: _Kwargs, what: str) -> None:
        values = [value for value in kwargs["value_set"] if value is not None]
        if not values or not all(isinstance(value, str | int | float) for value in values):
            raise _CannotSay("its values are neither text nor numbers")
        allowed = tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in values)
        self._rule(ColumnRule(column=kwargs["column"], allowed=allowed), kwargs, what)

    def _not_in_set(self, kwargs: _Kwargs, what: str) -> None:
        for value in kwargs["value_set"]:
            self._line(f"{_name(kwargs['column'])} != {_literal(value)}", kwargs)
        if _mostly(kwargs) < 1:
            self._notes.append(Note(what=what, kind="differs", why=_AMONG_ROWS))

    def _regex(self, kwargs: _Kwargs, what: str) -> None:
        pattern = str(kwargs["regex"])
        unsupported = _UNSUPPORTED.search(pattern)
        if unsupported:
            raise _CannotSay(f"patterns here have no {unsupported.group()!r}")
        self._rule(ColumnRule(column=kwargs["column"], pattern=_whole(pattern)), kwargs, what)

    def _lengths(self, kwargs: _Kwargs, what: str) -> None:
        low, high = kwargs.get("min_value") or 0, kwargs.get("max_value")
        low += bool(kwargs.get("strict_min"))
        high = None if high is None else high - bool(kwargs.get("strict_max"))
        span = f"{int(low)}," if high is None else f"{int(low)},{int(high)}"
        self._rule(ColumnRule(column=kwargs["column"], pattern=f"(?s:.{{{span}}})"), kwargs, what)

    def _length(self, kwargs: _Kwargs, what: str) -> None:
        self._rule(ColumnRule(column=kwargs["column"], pattern=f"(?s:.{{{int(kwargs['value'])}}})"), kwargs, what)

    def _unique(self, kwargs: _Kwargs, what: str) -> None:
        columns = tuple(kwargs.get("column_list") or (kwargs["column"],))
        if _mostly(kwargs) < 1:
            raise _CannotSay("it counts every row of a repeated value, and here the first one is no repetition")
        if set(columns) == set(self._key):
            self._requirements.append(_least("data.uniqueness", 1.0))
            return
        self._requirements.append(Requirement(metric="data.duplicates", comparison="<=", limit=0.0, columns=columns))
        why = "these columns are not the key: here values that differ in case and punctuation alone count as repeated"
        self._notes.append(Note(what=what, kind="differs", why=why))

    def _share_unique(self, kwargs: _Kwargs, what: str) -> None:  # noqa: ARG002 - one shape for every kind
        if (kwargs["column"],) != self._key:
            raise _CannotSay("the column is not the key, and the share of different values is told of keys alone")
        self._limits("data.uniqueness", kwargs, ())

    def _greater(self, kwargs: _Kwargs, what: str) -> None:
        sign = ">=" if kwargs.get("or_equal") else ">"
        self._pair(f"{_name(kwargs['column_A'])} {sign} {_name(kwargs['column_B'])}", kwargs, what)

    def _equal(self, kwargs: _Kwargs, what: str) -> None:
        self._pair(f"{_name(kwargs['column_A'])} == {_name(kwargs['column_B'])}", kwargs, what)

    def _pair(self, line: str, kwargs: _Kwargs, what: str) -> None:
        self._line(line, kwargs)
        if kwargs.get("ignore_row_if") != "either_value_is_missing":
            why = "a row in which one of the two is missing obeys here: that is what completeness is for"
            self._notes.append(Note(what=what, kind="differs", why=why))
        if _mostly(kwargs) < 1:
            self._notes.append(Note(what=what, kind="differs", why=_AMONG_ROWS))

    def _rows(self, kwargs: _Kwargs, what: str) -> None:  # noqa: ARG002 - one shape for every kind
        value = kwargs.get("value")
        ends = kwargs if value is None else {"min_value": value, "max_value": value}
        self._limits("data.rows", ends, ())

    def _figure(self, kwargs: _Kwargs, what: str) -> None:
        metric = kwargs["metric"]
        self._limits(metric, kwargs, (kwargs["column"],))
        if metric in _SAMPLED:
            self._notes.append(Note(what=what, kind="differs", why=_INTERVAL))

    def _quantiles(self, kwargs: _Kwargs, what: str) -> None:
        ranges = kwargs["quantile_ranges"]
        if kwargs.get("allow_relative_error"):
            self._notes.append(Note(what=what, kind="differs", why="quantiles are exact here"))
        for share, (low, high) in zip(ranges["quantiles"], ranges["value_ranges"], strict=True):
            ends = {"min_value": low, "max_value": high}
            if share in (0, 1):
                self._limits("data.minimum" if share == 0 else "data.maximum", ends, (kwargs["column"],))
            else:
                self._limits("data.quantile", ends, (kwargs["column"],), quantile=float(share))
        self._notes.append(Note(what=what, kind="differs", why=_INTERVAL))

    def _limits(self, metric: str, ends: _Kwargs, columns: tuple[str, ...], quantile: float | None = None) -> None:
        low, high = _number(ends.get("min_value")), _number(ends.get("max_value"))
        if low is None and high is None:
            raise _CannotSay("it has no limit")
        found: list[tuple[Comparison, float]] = []
        if low is not None and low == high:
            found.append(("==", low))
        else:
            if low is not None:
                found.append((">" if ends.get("strict_min") else ">=", low))
            if high is not None:
                found.append(("<" if ends.get("strict_max") else "<=", high))
        for comparison, limit in found:
            self._requirements.append(
                Requirement(metric=metric, comparison=comparison, limit=limit, columns=columns, quantile=quantile)
            )

    def _rule(self, rule: ColumnRule, kwargs: _Kwargs, what: str) -> None:
        share = _mostly(kwargs)
        if self._valid.get(rule.column, rule) != rule:
            raise _CannotSay(_HAS_RULE)
        self._valid[rule.column] = rule
        self._validity[rule.column] = max(share, self._validity.get(rule.column, 0.0))
        if share < 1:
            self._notes.append(Note(what=what, kind="differs", why=_AMONG_ROWS))

    def _line(self, line: str, kwargs: _Kwargs) -> None:
        self._consistent.append(line)
        self._consistency.append(_mostly(kwargs))


def _least(metric: str, share: float, columns: tuple[str, ...] = ()) -> Requirement:
    return Requirement(metric=metric, comparison=">=", limit=share, columns=columns)


def _mostly(kwargs: _Kwargs) -> float:
    found = kwargs.get("mostly")
    return 1.0 if found is None else float(found)


def _number(found: Any) -> float | None:
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise _CannotSay(f"its limit {found!r} is no number")
    return float(found)


def _name(column: str) -> str:
    return column if _PLAIN.match(column) else f"`{column}`"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    if '"' not in text:
        return f'"{text}"'
    if "'" not in text:
        return f"'{text}'"
    raise _CannotSay(f"a text with both kinds of quotes: {text}")


def _whole(pattern: str) -> str:
    """The pattern that whole cells match where part of them matches this one. `\\Z` is written `$`, which here is the
    very end of a cell."""
    plain = pattern.replace(r"\Z", "$").replace(r"\A", "^")
    if _alternatives(plain):
        return f"(?s:.*)(?:{plain})(?s:.*)"
    inner, front, back = plain, "(?s:.*)", "(?s:.*)"
    if inner.startswith("^"):
        inner, front = inner.removeprefix("^"), ""
    if inner.endswith("$") and not inner.endswith(r"\$"):
        inner, back = inner.removesuffix("$"), ""
    if not front and not back and inner.startswith("(?:") and inner.endswith(")") and _closed(inner[3:-1]):
        return inner[3:-1]
    return f"{front}{inner}{back}"


def _depths(pattern: str) -> list[tuple[str, int]]:
    """Each character that is neither escaped nor in a class, with the brackets that are open behind it."""
    depth, found = 0, []
    for character in re.sub(r"\\.|\[\^?\]?[^\]]*\]", "", pattern):
        depth += (character == "(") - (character == ")")
        found.append((character, depth))
    return found


def _alternatives(pattern: str) -> bool:
    return ("|", 0) in _depths(pattern)


def _closed(inner: str) -> bool:
    """Whether no bracket that was open before is closed in this."""
    return all(depth >= 0 for _, depth in _depths(inner))
