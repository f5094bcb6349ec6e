"""Rules and requirements as expectations. Each is said exactly, or with a note on how it differs, or only noted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.data.quality.port import Note
from trimtab.data.quality.rules import Comparison, parse_consistent
from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.records.requirement import Requirement

_AMONG_CELLS = "Great Expectations takes the share of cells that are not null, and of each rule by itself"
_NO_INTERVAL = "Great Expectations compares the figure alone, where this has an interval and may stay unknown"
_NO_PARTNER = {
    "data.freshness": "Great Expectations knows no present moment",
    "data.timeliness": "it has no quantile of the time between two columns",
    "data.accuracy": "it does not match rows with another dataset",
    "data.referential": "it does not look into another dataset",
    "data.duplicates": "it does not compare cells by what they mean",
    "data.balance": "it has no share of the rarest class",
}
_ROW_RULES = ("data.validity", "data.consistency", "data.plausibility")
_FIGURES = {
    "data.mean": ("expect_column_mean_to_be_between", _NO_INTERVAL),
    "data.deviation": ("expect_column_stdev_to_be_between", ""),
    "data.minimum": ("expect_column_min_to_be_between", ""),
    "data.maximum": ("expect_column_max_to_be_between", ""),
    "data.distinct": ("expect_column_unique_value_count_to_be_between", ""),
}


class Exporter:
    """Collects expectations and notes."""

    def __init__(self, spec: DatasetSpec, types: Mapping[str, str]) -> None:
        self._spec = spec
        self._types = types
        self.expectations: list[dict[str, Any]] = []
        self.notes: list[Note] = []

    def rules(self, requirements: Sequence[Requirement]) -> None:
        """What refuses rows, where no requirement speaks of it: every row must obey."""
        asked = {requirement.metric for requirement in requirements}
        if "data.validity" not in asked:
            for rule in self._spec.valid:
                self._rule(rule, 1.0, f"valid {rule.column}")
        if "data.consistency" not in asked:
            for line in self._spec.consistent:
                self._comparison(parse_consistent(line), 1.0, f"consistent {line!r}")

    def requirement(self, requirement: Requirement) -> None:
        """One requirement; those that are not of data are none of a suite's business."""
        metric = requirement.metric
        if not metric.startswith("data."):
            return
        what = requirement.text or metric
        if metric in _NO_PARTNER:
            self._left_out(what, _NO_PARTNER[metric])
        elif requirement.by is not None:
            self._left_out(what, f"a suite does not go through the values of {requirement.by} by itself")
        elif metric in _FIGURES:
            self._figure(requirement, what)
        elif metric in (sayings := self._sayings()):
            sayings[metric](requirement, what)
        else:
            self._left_out(what, "it has no such check")
        if requirement.window is not None and metric not in _NO_PARTNER and requirement.by is None:
            self._differs(what, "a suite judges the whole batch it is given, not a window of time")

    def _sayings(self) -> dict[str, Callable[[Requirement, str], None]]:
        return {
            "data.completeness": self._completeness,
            "data.uniqueness": self._uniqueness,
            "data.rows": self._rows,
            "data.corrupt": self._corrupt,
            "data.quantile": self._quantile,
            **dict.fromkeys(_ROW_RULES, self._row_rules),
        }

    def _figure(self, requirement: Requirement, what: str) -> None:
        kind, difference = _FIGURES[requirement.metric]
        self._add(kind, what, column=requirement.columns[0], **_ends(requirement))
        if difference:
            self._differs(what, difference)

    def _completeness(self, requirement: Requirement, what: str) -> None:
        columns = requirement.columns or tuple(self._types)
        if not columns:
            self._left_out(what, "which columns there are is not known before rows are collected")
            return
        share = self._least(requirement, what)
        if share is None:
            return
        for column in columns:
            self._add("expect_column_values_to_not_be_null", what, column=column, mostly=share)
        if len(columns) > 1 and share < 1:
            self._differs(what, "each of the columns must reach the limit there, here all of them together")

    def _uniqueness(self, requirement: Requirement, what: str) -> None:
        share, key = self._least(requirement, what), self._spec.key
        if share is None:
            return
        if len(key) == 1 and share == 1:
            self._add("expect_column_values_to_be_unique", what, column=key[0])
        elif len(key) == 1:
            kind = "expect_column_proportion_of_unique_values_to_be_between"
            self._add(kind, what, column=key[0], min_value=share)
        elif share == 1:
            self._add("expect_compound_columns_to_be_unique", what, column_list=list(key))
        else:
            self._left_out(what, "it tells no share of unique rows for a key of several columns")

    def _rows(self, requirement: Requirement, what: str) -> None:
        ends = _ends(requirement)
        low, high = ends.get("min_value"), ends.get("max_value")
        least = math.floor(low) + 1 if low is not None and ends.get("strict_min") else low and math.ceil(low)
        most = math.ceil(high) - 1 if high is not None and ends.get("strict_max") else high and math.floor(high)
        self._add("expect_table_row_count_to_be_between", what, min_value=least, max_value=most)

    def _corrupt(self, requirement: Requirement, what: str) -> None:
        column = requirement.columns[0] if requirement.columns else "corrupt"
        if self._types.get(column) == "boolean":
            self._left_out(what, f"{column} is true or false, and a suite counts what is null")
        elif requirement.comparison in ("<=", "==") and (requirement.comparison == "<=" or requirement.limit == 0):
            self._add("expect_column_values_to_be_null", what, column=column, mostly=1 - requirement.limit)
        else:
            self._left_out(what, f"{requirement.comparison} has no partner there")

    def _quantile(self, requirement: Requirement, what: str) -> None:
        ends = _ends(requirement)
        ranges = {
            "quantiles": [0.5 if requirement.quantile is None else requirement.quantile],
            "value_ranges": [[ends.get("min_value"), ends.get("max_value")]],
        }
        kind = "expect_column_quantile_values_to_be_between"
        self._add(kind, what, column=requirement.columns[0], quantile_ranges=ranges)
        self._differs(what, _NO_INTERVAL)

    def _row_rules(self, requirement: Requirement, what: str) -> None:
        share = self._least(requirement, what)
        if share is None:
            return
        before = len(self.expectations)
        if requirement.metric == "data.validity":
            for rule in self._spec.valid:
                if not requirement.columns or rule.column in requirement.columns:
                    self._rule(rule, share, what)
        else:
            consistent = requirement.metric == "data.consistency"
            for line in self._spec.consistent if consistent else self._spec.plausible:
                self._comparison(parse_consistent(line), share, what)
        if share < 1 and len(self.expectations) > before:
            self._differs(what, _AMONG_CELLS)

    def _rule(self, rule: ColumnRule, share: float, what: str) -> None:
        column = rule.column
        if rule.low is not None or rule.high is not None:
            ends = {"min_value": rule.low, "max_value": rule.high}
            self._add("expect_column_values_to_be_between", what, column=column, mostly=share, **ends)
        if rule.allowed:
            values = [_typed(value, self._types.get(column, "text")) for value in rule.allowed]
            self._add("expect_column_values_to_be_in_set", what, column=column, value_set=values, mostly=share)
        if rule.pattern:
            regex = rf"\A(?:{rule.pattern})\Z"
            self._add("expect_column_values_to_match_regex", what, column=column, regex=regex, mostly=share)

    def _comparison(self, line: Comparison, share: float, what: str) -> None:
        if line.column is not None:
            self._pair(line.left, line.op, line.column, share, what)
        elif line.op in ("==", "!="):
            kind = "in_set" if line.op == "==" else "not_be_in_set"
            prefix = "expect_column_values_to_be_" if line.op == "==" else "expect_column_values_to_"
            self._add(prefix + kind, what, column=line.left, value_set=[line.literal], mostly=share)
        elif isinstance(line.literal, float):
            low, high = (line.literal, None) if line.op[0] == ">" else (None, line.literal)
            strict = {"strict_min" if line.op == ">" else "strict_max": True} if len(line.op) == 1 else {}
            kind = "expect_column_values_to_be_between"
            self._add(kind, what, column=line.left, min_value=low, max_value=high, mostly=share, **strict)
        else:
            self._left_out(f"{what}: {line.text}", "only numbers are compared with a limit there")

    def _pair(self, left: str, op: str, right: str, share: float, what: str) -> None:
        given = {"mostly": share, "ignore_row_if": "either_value_is_missing"}
        if op == "!=":
            self._left_out(f"{what}: {left} != {right}", "it has no check that two columns differ")
        elif op == "==":
            self._add("expect_column_pair_values_to_be_equal", what, column_A=left, column_B=right, **given)
        else:
            greater, less = (left, right) if op[0] == ">" else (right, left)
            kind = "expect_column_pair_values_a_to_be_greater_than_b"
            self._add(kind, what, column_A=greater, column_B=less, or_equal=len(op) == 2, **given)

    def _least(self, requirement: Requirement, what: str) -> float | None:
        """The least share that is asked for; a note where it is not that which is asked."""
        if requirement.comparison == ">=" or (requirement.comparison == "==" and requirement.limit == 1):
            return requirement.limit
        if requirement.comparison == ">":
            self._differs(what, "a share equal to the limit passes there")
            return requirement.limit
        self._left_out(what, f"{requirement.comparison} has no partner there: `mostly` is a least share")
        return None

    def _add(self, kind: str, what: str, **kwargs: Any) -> None:
        given = {name: value for name, value in kwargs.items() if value is not None}
        if given.get("mostly") == 1:
            del given["mostly"]
        self.expectations.append({"type": kind, "kwargs": given, "meta": {"trimtab": what}})

    def _left_out(self, what: str, why: str) -> None:
        self.notes.append(Note(what=what, kind="left out", why=why))

    def _differs(self, what: str, why: str) -> None:
        note = Note(what=what, kind="differs", why=why)
        if note not in self.notes:
            self.notes.append(note)


def _ends(requirement: Requirement) -> dict[str, Any]:
    """The limit as `min_value` and `max_value`, strict or not."""
    limit = requirement.limit
    match requirement.comparison:
        case ">=":
            return {"min_value": limit}
        case ">":
            return {"min_value": limit, "strict_min": True}
        case "<=":
            return {"max_value": limit}
        case "<":
            return {"max_value": limit, "strict_max": True}
        case _:
            return {"min_value": limit, "max_value": limit}


def _typed(value: str, kind: str) -> str | float | bool:
    if kind == "number":
        number = float(value)
        return int(number) if number.is_integer() else number
    return value == "true" if kind == "boolean" else value
