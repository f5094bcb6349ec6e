"""The requirement grammar: `"quality.recall" = { limit = ">= 0.55", by = "carrier", min_rows = 300 }`.

A requirement is a metric, a comparison and a limit with its unit. It is refused unless some stage can measure it for
this task, and unless its limit is one that a figure could reach. `format_requirement` writes what `parse_line` reads.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Sequence

import msgspec

from trimtab.declaration.problems import describe, did_you_mean
from trimtab.declaration.requirements.catalog import bounds, metrics, nearest_metric
from trimtab.declaration.units import format_duration, format_quantity, parse_duration, parse_quantity, units_of
from trimtab.errors import DeclarationError
from trimtab.records.base import Record
from trimtab.records.metric import PART, Metric, Option, Place, Task, is_answered
from trimtab.records.requirement import Comparison, Requirement
from trimtab.serving.spec import ServeSpec

COMPARISONS: tuple[Comparison, ...] = (">=", "<=", "==", ">", "<")
KEYS = ("limit", "by", "min_rows", "window", "columns", "quantile", "distance")
EXPLAINABLE = "explainable"
_COMPARISON = re.compile(r"[<>=!≥≤≠~]+")
_MISWRITTEN: dict[str, Comparison] = {
    "=>": ">=", "≥": ">=", ">==": ">=", "=<": "<=", "≤": "<=", "<==": "<=", "=": "==", "===": "==",
}  # fmt: skip
_OF_SCORES = {
    "serving.explain_time": "answers are explained by the columns they come from",
    "labels.error_rate": "likely wrong labels are found by scores of classes",
}
_COMMON_UNITS = {"time": "s", "size": "MiB"}
_DEFAULT_MIN_ROWS = Requirement(metric="", comparison=">=", limit=0.0).min_rows


class Context(Record, kw_only=True):
    """What a requirement is read against: the task (None when it is not known, and every metric fits), the currency of
    `[value]` (None when there is no such table), and the `explain_time` of `[serve]` in seconds."""

    task: Task | None
    currency: str | None = None
    explain_time: float = ServeSpec().explain_time


def parse_requirement(name: str, entry: object, context: Context, *, line: int = 0) -> Requirement:
    """Understand one entry of `[requirements]`: a text such as ">= 0.66", or a table with a `limit` and more.

    DeclarationError (without a place: the caller knows it) when nothing could measure it, or nothing could meet it.
    """
    if name == EXPLAINABLE:
        name, entry = "serving.explain_time", _explainable(entry, context)
    metric = _known(name, context)
    table = entry if isinstance(entry, dict) else {"limit": entry}
    for key in table:
        if key not in KEYS:
            raise DeclarationError(f'unknown key "{key}"{did_you_mean(key, KEYS)}', hint=f"allowed: {', '.join(KEYS)}")
    if "limit" not in table:
        raise DeclarationError("has no limit", hint=f'write limit = "{_example(metric, context)}"')
    comparison, limit, scale, unit = _limit(table["limit"], metric, context)
    _check_reachable(metric, comparison, limit, unit, scale)
    requirement = Requirement(
        metric=name,
        comparison=comparison,
        limit=limit,
        unit=unit,
        scale=scale,
        by=_by(table, metric),
        min_rows=_min_rows(table, metric),
        window=_window(table, metric),
        columns=_columns(table, metric),
        quantile=_quantile(table, metric),
        distance=_distance(table, metric),
        places=_places(metric, context),
        line=line,
    )
    return msgspec.structs.replace(requirement, text=format_requirement(requirement))


def parse_line(text: str, context: Context, *, line: int = 0) -> Requirement:
    """Read one line of `[requirements]` as it stands in the file. DeclarationError as parse_requirement."""
    try:
        (entry,) = tomllib.loads(text).items()
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise DeclarationError(f"not one line of [requirements]: {text}") from error
    return parse_requirement(entry[0], entry[1], context, line=line)


def format_requirement(requirement: Requirement) -> str:
    """The line of `[requirements]` that says this; `parse_line` reads the same requirement back."""
    limit = quoted(format_condition(requirement))
    more = []
    if requirement.by is not None:
        more.append(f"by = {quoted(requirement.by)}")
    if requirement.min_rows != _DEFAULT_MIN_ROWS:
        more.append(f"min_rows = {requirement.min_rows}")
    if requirement.window is not None:
        more.append(f"window = {quoted(format_duration(requirement.window))}")
    if requirement.columns:
        more.append(f"columns = [{', '.join(map(quoted, requirement.columns))}]")
    if requirement.quantile is not None:
        more.append(f"quantile = {requirement.quantile!r}")
    if requirement.distance is not None:
        more.append(f"distance = {requirement.distance}")
    entry = f"{{ limit = {', '.join([limit, *more])} }}" if more else limit
    return f"{quoted(requirement.metric)} = {entry}"


def format_condition(requirement: Requirement) -> str:
    """Comparison, limit and unit, such as `<= 15 ms`."""
    limit = format_quantity(requirement.limit, requirement.unit, requirement.scale)
    return f"{requirement.comparison} {limit}"


def column_problems(requirements: Sequence[Requirement], known: Sequence[str]) -> list[tuple[Requirement, str]]:
    """Requirements that name a column which the data does not have, with the problem in words.

    The loader cannot know the columns before the data is read; whoever has read it asks here.
    """
    found = []
    for requirement in requirements:
        named = [*requirement.columns, *([requirement.by] if requirement.by is not None else [])]
        found += [
            (requirement, f'"{requirement.metric}": the data has no column "{name}"{did_you_mean(name, known)}')
            for name in named
            if name not in known and not (name == requirement.by == PART and _has_parts(requirement))
        ]
    return found


def _has_parts(requirement: Requirement) -> bool:
    """Whether the metric is told of each class of boxes or pixels."""
    return not {"detection", "segmentation"}.isdisjoint(metrics()[requirement.metric].tasks)


def _explainable(found: object, context: Context) -> str:
    """`explainable = true`: an answer can be explained within the time that the server takes for it."""
    if found is not True:
        hint = "leave the line out" if found is False else "write explainable = true"
        raise DeclarationError(f"expected true, found {describe(found)}", hint=hint)
    return f"<= {format_duration(context.explain_time)}"


def _known(name: str, context: Context) -> Metric:
    known = metrics()
    fitting = {name: metric for name, metric in known.items() if fits(metric, context)}
    if name not in known:
        meant = nearest_metric(name, fitting)
        raise DeclarationError(
            "nothing measures this" + (f'; did you mean "{meant}"?' if meant else ""),
            hint=f"measured for {context.task or 'some task'}: {', '.join(fitting)}",
        )
    if name not in fitting:
        head = name.split(".", 1)[0]
        raise DeclarationError(
            f"fits {' and '.join(known[name].tasks)}, not {context.task}",
            hint=f"for {context.task}: {', '.join(other for other in fitting if other.startswith(head + '.'))}",
        )
    metric = known[name]
    if name in _OF_SCORES and context.task is not None and is_answered(context.task):
        raise DeclarationError(f"{_OF_SCORES[name]}, and {context.task} has none", hint="take this requirement away")
    if not metric.places:
        raise DeclarationError("nothing measures this yet")
    if metric.unit == "money" and context.currency is None:
        raise DeclarationError(
            "there is no [value] table to count it by", hint="declare [value], or take this requirement away"
        )
    return metric


def _places(metric: Metric, context: Context) -> tuple[Place, ...]:
    """Where the metric can be had. Answers about images and sounds are judged by labelled rows, not by callers'
    word."""
    if context.task is None or not is_answered(context.task) or not metric.name.startswith(("quality.", "value.")):
        return metric.places
    return tuple(place for place in metric.places if place in ("release", "live"))


def fits(metric: Metric, context: Context) -> bool:
    """Whether the metric says something about the task."""
    return not metric.tasks or context.task is None or context.task in metric.tasks


def _limit(found: object, metric: Metric, context: Context) -> tuple[Comparison, float, float, str]:
    if not isinstance(found, str):
        raise DeclarationError(
            f"expected a text with a comparison and a limit, found {describe(found)}",
            hint=f'write "{_example(metric, context, found)}"',
        )
    text = found.strip()
    match = _COMPARISON.match(text)
    if match is None:
        raise DeclarationError(f'"{text}" has no comparison', hint=f'write "{_default_comparison(metric)} {text}"')
    sign = match.group()
    rest = text[match.end() :].strip()
    if sign not in COMPARISONS:
        meant = _MISWRITTEN.get(sign)
        raise DeclarationError(
            f'"{sign}" is not a comparison' + (f'; did you mean "{meant} {rest}"?' if meant else ""),
            hint=f"allowed: {' '.join(COMPARISONS)}",
        )
    value, scale, unit = parse_quantity(rest, metric.unit, context.currency)
    return sign, value, scale, unit


def _check_reachable(metric: Metric, comparison: Comparison, limit: float, unit: str, scale: float) -> None:
    """A limit outside of what the metric can be either never holds or always does: both are mistakes."""
    least, most = bounds(metric)
    if not math.isfinite(limit):
        raise DeclarationError("the limit is not a finite number")
    inside = least <= limit <= most
    if inside and not (comparison == ">" and limit == most) and not (comparison == "<" and limit == least):
        return
    written = format_quantity(limit, unit, scale)
    fate = "always" if _always(comparison, limit, least, most) else "never"
    span = f"between {least:g} and {most:g}" if math.isfinite(least) and math.isfinite(most) else (
        f"never below {least:g}" if math.isfinite(least) else f"never above {most:g}"
    )  # fmt: skip
    percent = 1 < limit <= 100 and metric.unit == "ratio"
    hint = f'write "{comparison} {format_quantity(limit / 100, "%", 0.01)}"' if percent else ""
    raise DeclarationError(f'"{comparison} {written}" {fate} holds: {metric.name} is {span}', hint=hint)


def _always(comparison: Comparison, limit: float, least: float, most: float) -> bool:
    if comparison in (">=", ">"):
        return limit < least
    return comparison != "==" and limit > most


def _by(table: dict[str, object], metric: Metric) -> str | None:
    if "by" not in table:
        return None
    if not metric.sliceable:
        sliceable = [name for name, other in metrics().items() if other.sliceable]
        raise DeclarationError(f"{metric.name} cannot be measured by slice", hint=f"by fits {', '.join(sliceable)}")
    column = table["by"]
    if not isinstance(column, str) or not column:
        raise DeclarationError(f"by: expected the name of a column, found {describe(column)}")
    return column


def _min_rows(table: dict[str, object], metric: Metric) -> int:
    rows = table.get("min_rows", _DEFAULT_MIN_ROWS)
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        raise DeclarationError(f"min_rows: expected a whole number above zero, found {describe(rows)}")
    if "min_rows" in table and not {"live", "data"} & set(metric.places):
        raise DeclarationError(f"min_rows: {metric.name} is not measured over rows that come in")
    return rows


def _window(table: dict[str, object], metric: Metric) -> float | None:
    if "window" not in table:
        return None
    window = table["window"]
    if not isinstance(window, str):
        raise DeclarationError(f"window: expected a duration, found {describe(window)}", hint='write "14 d"')
    if not {"live", "data"} & set(metric.places):
        raise DeclarationError(f"window: {metric.name} is not measured over rows that come in, so it has no window")
    seconds = parse_duration(window)
    if seconds <= 0:
        raise DeclarationError("window: a window is longer than nothing", hint='write "14 d"')
    return seconds


def _columns(table: dict[str, object], metric: Metric) -> tuple[str, ...]:
    if "columns" not in table:
        return ()
    columns = table["columns"]
    if not metric.takes_columns:
        takers = [name for name, other in metrics().items() if other.takes_columns]
        raise DeclarationError(f"{metric.name} takes no columns", hint=f"columns fits {', '.join(takers)}")
    if not isinstance(columns, list) or not columns or not all(isinstance(name, str) and name for name in columns):
        raise DeclarationError(f"columns: expected a list of column names, found {describe(columns)}")
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise DeclarationError(f'columns: "{twice[0]}" is named twice')
    if metric.one_column and len(columns) > 1:
        raise DeclarationError(f"columns: {metric.name} is of one column", hint="write a line for each")
    return tuple(columns)


def _quantile(table: dict[str, object], metric: Metric) -> float | None:
    if "quantile" not in table:
        return None
    _check_option(metric, "quantile")
    found = table["quantile"]
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < 1:
        raise DeclarationError(
            f"quantile: expected a share above 0 and below 1, found {describe(found)}", hint="write quantile = 0.95"
        )
    return float(found)


def _distance(table: dict[str, object], metric: Metric) -> int | None:
    if "distance" not in table:
        return None
    _check_option(metric, "distance")
    found = table["distance"]
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= 15:
        raise DeclarationError(f"distance: expected 0 to 15 of the 64 bits of a hash, found {describe(found)}")
    if not isinstance(columns := table.get("columns"), list) or len(columns) != 1:
        raise DeclarationError(
            "distance: which column holds the hashes is not told", hint='write columns = ["hash"] beside it'
        )
    return found


def _check_option(metric: Metric, option: Option) -> None:
    if option not in metric.options:
        takers = [name for name, other in metrics().items() if option in other.options]
        raise DeclarationError(f"{option}: {metric.name} takes none", hint=f"{option} fits {', '.join(takers)}")


def _default_comparison(metric: Metric) -> Comparison:
    return ">=" if metric.better == "higher" else "<="


def _example(metric: Metric, context: Context, found: object = None) -> str:
    number = found if isinstance(found, int | float) and not isinstance(found, bool) else 1
    unit = _COMMON_UNITS.get(metric.unit) or next(iter(units_of(metric.unit, context.currency)), "")
    return f"{_default_comparison(metric)} {number} {unit}".strip()


def quoted(text: str) -> str:
    """A TOML basic string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
