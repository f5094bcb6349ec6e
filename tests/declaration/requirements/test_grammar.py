"""The requirement grammar: what is written is understood, and what nothing can measure or meet is refused."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.declaration.requirements.catalog import bounds, metrics, nearest_metric
from trimtab.declaration.requirements.grammar import (
    COMPARISONS,
    Context,
    column_problems,
    format_condition,
    format_requirement,
    parse_line,
    parse_requirement,
)
from trimtab.declaration.units import parse_quantity, units_of
from trimtab.errors import DeclarationError
from trimtab.records.metric import is_answered
from trimtab.records.requirement import Requirement

BINARY = Context(task="binary_classification", currency="USD")
REGRESSION = Context(task="regression", currency="USD")
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@st.composite
def requirements(draw):
    """Any requirement that the catalogue allows, with the task it fits."""
    metric = draw(st.sampled_from(list(metrics().values())))
    task = draw(st.sampled_from(metric.tasks or ("binary_classification", "multiclass_classification", "regression")))
    low, high = bounds(metric)
    inside = st.floats(max(low, -1e15), min(high, 1e15), exclude_min=low > -math.inf, exclude_max=high < math.inf)
    unit = draw(st.sampled_from(units_of(metric.unit, "USD")))
    over_rows = bool({"live", "data"} & set(metric.places))
    columns = draw(st.lists(texts, max_size=1 if metric.one_column else 3, unique=True)) if metric.takes_columns else ()
    judged = is_answered(task) and metric.name.startswith(("quality.", "value."))
    hashed = "distance" in metric.options and len(columns) == 1
    requirement = Requirement(
        metric=metric.name,
        comparison=draw(st.sampled_from(COMPARISONS)),
        limit=draw(inside),
        unit=unit,
        scale=parse_quantity(f"1 {unit}", metric.unit, "USD")[1],
        by=draw(st.none() | texts) if metric.sliceable else None,
        min_rows=draw(st.integers(1, 10**9)) if over_rows else 100,
        window=draw(st.none() | st.floats(1e-6, 1e9)) if over_rows else None,
        columns=tuple(columns),
        quantile=draw(st.none() | st.floats(0.0, 1.0, exclude_min=True, exclude_max=True))
        if "quantile" in metric.options
        else None,
        distance=draw(st.none() | st.integers(0, 15)) if hashed else None,
        places=("release", "live") if judged else metric.places,
        line=draw(st.integers(0, 500)),
    )
    return msgspec.structs.replace(requirement, text=format_requirement(requirement)), task


@given(requirements())
def test_what_is_written_is_read_back(drawn):
    requirement, task = drawn
    context = Context(task=task, currency="USD")
    assert parse_line(format_requirement(requirement), context, line=requirement.line) == requirement


def test_a_full_table_is_understood():
    found = parse_requirement(
        "quality.recall", {"limit": ">= 55%", "by": "carrier", "min_rows": 300, "window": "14 d"}, BINARY, line=7
    )
    assert found == Requirement(
        metric="quality.recall",
        comparison=">=",
        limit=0.55,
        unit="%",
        scale=0.01,
        by="carrier",
        min_rows=300,
        window=14 * 86400.0,
        places=("release", "shadow", "canary", "live"),
        text='"quality.recall" = { limit = ">= 55%", by = "carrier", min_rows = 300, window = "14 d" }',
        line=7,
    )


def test_explainable_is_a_limit_on_the_time_that_one_explanation_takes():
    found = parse_requirement("explainable", True, Context(task="regression", explain_time=0.05), line=3)
    assert (found.metric, found.places) == ("serving.explain_time", ("release",))
    assert found.text == '"serving.explain_time" = "<= 50 ms"'
    assert parse_line(found.text, Context(task="regression"), line=3) == found


@pytest.mark.parametrize(
    ("name", "entry", "condition", "limit"),
    [
        ("quality.roc_auc", ">= 0.66", ">= 0.66", 0.66),
        ("quality.roc_auc", ">0.66", "> 0.66", 0.66),
        ("serving.latency_p95", "<=  15ms", "<= 15 ms", 0.015),
        ("resources.memory", "<= 0.5 GiB", "<= 0.5 GiB", 2.0**29),
        ("data.rows", ">= 50_000", ">= 50000", 50_000.0),
        ("data.uniqueness", "== 1", "== 1", 1.0),
        ("value.per_1000", ">= -5 USD", ">= -5 USD", -5.0),
        ("quality.r2", ">= -0.5", None, None),
    ],
)
def test_conditions(name, entry, condition, limit):
    if condition is None:
        found = parse_requirement(name, entry, REGRESSION)
        assert found.limit == -0.5
        return
    found = parse_requirement(name, entry, BINARY)
    assert format_condition(found) == condition
    assert found.limit == limit


@pytest.mark.parametrize(
    ("name", "entry", "words"),
    [
        ("quality.auc", ">= 0.66", ['did you mean "quality.roc_auc"']),
        ("quality.roc_acu", ">= 0.66", ['did you mean "quality.roc_auc"']),
        ("latency_p95", "<= 15 ms", ['did you mean "serving.latency_p95"']),
        ("serving.latency", "<= 15 ms", ['did you mean "serving.latency_p50"']),
        ("explainable", False, ["expected true", "leave the line out"]),
        ("explainable", "<= 50 ms", ["expected true", "write explainable = true"]),
        ("quality.mae", "<= 3", ["fits regression, not binary_classification", "quality.roc_auc"]),
        ("serving.latency_p95", "<= 15 MiB", ["is a size, where a time is expected", "ms"]),
        ("serving.latency_p95", "<= 15", ["has no unit"]),
        ("quality.roc_auc", ">= 66", ["never holds", "between 0 and 1", 'write ">= 66%"']),
        ("quality.roc_auc", ">= 1.2", ["never holds"]),
        ("quality.roc_auc", "> 1", ["never holds"]),
        ("quality.roc_auc", "<= 1.2", ["always holds"]),
        ("quality.roc_auc", "< 0", ["never holds"]),
        ("quality.roc_auc", ">= -0.1", ["always holds"]),
        ("quality.roc_auc", "== 2", ["never holds"]),
        ("quality.roc_auc", ">= nan", ["not a ratio"]),
        ("serving.latency_p95", "<= -15 ms", ["never holds", "never below 0"]),
        ("data.freshness", ">= -2 d", ["always holds"]),
        ("quality.log_loss", "<= -1", ["never holds"]),
        ("quality.brier", ">= 1.5", ["never holds"]),
        ("quality.roc_auc", "0.66", ['write ">= 0.66"']),
        ("serving.latency_p95", "15 ms", ['write "<= 15 ms"']),
        ("quality.roc_auc", "=> 0.66", ['did you mean ">= 0.66"']),
        ("quality.roc_auc", "≥ 0.66", ['did you mean ">= 0.66"']),
        ("quality.roc_auc", "!= 0.66", ["is not a comparison", ">= <= == > <"]),
        ("quality.roc_auc", ">=", ['"" is not a ratio']),
        ("quality.roc_auc", 0.66, ["found the number 0.66", 'write ">= 0.66"']),
        ("serving.latency_p95", 15, ["found the number 15", 'write "<= 15 s"']),
        ("quality.roc_auc", True, ["found true"]),
        ("quality.roc_auc", [], ["found an empty list"]),
        ("quality.roc_auc", {}, ["has no limit", 'limit = ">= 1"']),
        ("quality.roc_auc", {"limit": ">= 0.6", "min_row": 5}, ['unknown key "min_row"', 'did you mean "min_rows"']),
        ("data.duplicates", {"limit": "<= 6%", "by": "carrier"}, ["cannot be measured by slice"]),
        ("data.mean", {"limit": ">= 6", "columns": ["a", "b"]}, ["is of one column"]),
        ("data.mean", {"limit": ">= 6", "columns": ["a"], "quantile": 0.5}, ["takes none", "data.timeliness"]),
        ("data.timeliness", {"limit": "<= 6 h", "quantile": 95}, ["above 0 and below 1"]),
        ("data.duplicates", {"limit": "<= 1%", "distance": 4}, ["which column"]),
        ("data.duplicates", {"limit": "<= 1%", "distance": 40, "columns": ["hash"]}, ["0 to 15"]),
        ("quality.roc_auc", {"limit": ">= 0.6", "columns": ["a"]}, ["takes no columns", "data.completeness"]),
        ("quality.roc_auc", {"limit": ">= 0.6", "by": ["a"]}, ["by: expected the name of a column"]),
        ("quality.roc_auc", {"limit": ">= 0.6", "min_rows": 0}, ["whole number above zero"]),
        ("quality.roc_auc", {"limit": ">= 0.6", "min_rows": True}, ["whole number above zero, found true"]),
        ("quality.roc_auc", {"limit": ">= 0.6", "window": "0 d"}, ["longer than nothing"]),
        ("quality.roc_auc", {"limit": ">= 0.6", "window": 14}, ["expected a duration, found the number 14"]),
        ("quality.roc_auc", {"limit": ">= 0.6", "window": "14 days"}, ['did you mean "14 d"']),
        ("resources.train_time", {"limit": "<= 2 d", "window": "14 d"}, ["not measured over rows"]),
        ("resources.train_time", {"limit": "<= 2 d", "min_rows": 10}, ["min_rows"]),
        ("data.completeness", {"limit": ">= 0.9", "columns": []}, ["expected a list of column names"]),
        ("data.completeness", {"limit": ">= 0.9", "columns": ["a", "a"]}, ['"a" is named twice']),
        ("value.per_1000", ">= 20 EUR", ["is in EUR, but [value] counts in USD"]),
        ("value.per_1000", ">= 20", ["has no unit", "USD"]),
    ],
)
def test_what_cannot_be_is_refused(name, entry, words):
    with pytest.raises(DeclarationError) as caught:
        parse_requirement(name, entry, BINARY)
    for word in words:
        assert word in str(caught.value)


def test_money_needs_value():
    with pytest.raises(DeclarationError, match=r"there is no \[value\] table"):
        parse_requirement("value.per_1000", ">= 20 USD", Context(task="regression"))


def test_a_line_is_one_line():
    for text in ("", "a = 1\nb = 2", "= 3"):
        with pytest.raises(DeclarationError, match="not one line"):
            parse_line(text, BINARY)


def test_columns_that_the_data_lacks_are_told():
    by = parse_requirement("quality.recall", {"limit": ">= 0.5", "by": "carier"}, BINARY)
    columns = parse_requirement("data.completeness", {"limit": ">= 0.9", "columns": ["dest", "origin"]}, BINARY)
    plain = parse_requirement("quality.roc_auc", ">= 0.5", BINARY)
    problems = column_problems([by, columns, plain], ["carrier", "dest"])
    assert [requirement for requirement, _ in problems] == [by, columns]
    assert 'no column "carier"; did you mean "carrier"?' in problems[0][1]
    assert 'no column "origin"' in problems[1][1]


def test_every_metric_can_be_required():
    for metric in metrics().values():
        context = Context(task=metric.tasks[0] if metric.tasks else "regression", currency="USD")
        comparison = ">=" if metric.better == "higher" else "<="
        unit = units_of(metric.unit, "USD")[0]
        found = parse_requirement(metric.name, f"{comparison} 0.5 {unit}", context)
        assert found.places == metric.places != ()


def test_every_metric_is_its_own_nearest():
    for name in metrics():
        assert nearest_metric(name) == name
        assert nearest_metric(name.upper()) == name
    assert nearest_metric("zzz") is None


entries = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["limit", "by", "min_rows", "window", "columns", "x"]), inner, max_size=4)
    ),
    max_leaves=5,
)


@given(st.sampled_from(list(metrics())) | st.text(max_size=20), entries)
def test_any_entry_is_a_requirement_or_an_error_of_ours(name, entry):
    try:
        found = parse_requirement(name, entry, BINARY)
    except DeclarationError:
        return
    assert found.metric == name
