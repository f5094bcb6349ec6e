"""Suites of Great Expectations: what is written is what it reads, nothing is dropped in silence, and both sides judge
the same file alike."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.conftest import absent

from trimtab.adapters.great_expectations.importing import _whole
from trimtab.adapters.great_expectations.quality import GreatExpectations
from trimtab.data.quality.measure import measure
from trimtab.data.quality.rules import parse_consistent
from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.declaration.tables.datasets import parse_comparison
from trimtab.errors import PermanentError
from trimtab.records.requirement import Requirement
from trimtab.testing.suites import SuitesSuite

PYTHON = Path(__file__).parents[3] / "build" / "components" / "great_expectations" / "bin" / "python"
SUITES = GreatExpectations()
START = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = DatasetSpec(
    name="orders",
    source="x",
    key=("id",),
    time="at",
    valid=(
        ColumnRule(column="qty", low=1, high=10),
        ColumnRule(column="state", allowed=("new", "paid")),
        ColumnRule(column="level", allowed=("1", "2", "3")),
        ColumnRule(column="flag", allowed=("true",)),
        ColumnRule(column="sku", pattern="[A-Z]{2}-[0-9]+|none"),
    ),
    consistent=("sent >= at", "total > 0", "qty <= total", "state != 'lost'", "total == checked"),
    plausible=("total < 10000",),
)
TYPES = {
    "id": "number", "at": "time", "sent": "time", "qty": "number", "total": "number", "checked": "number",
    "level": "number", "state": "text", "flag": "boolean", "sku": "text", "error": "text",
}  # fmt: skip


def orders(seed: int = 0, rows: int = 400) -> pl.DataFrame:
    """Orders without a fault, some cells not there."""
    dice = np.random.default_rng(seed)
    at = [START + timedelta(minutes=n) for n in range(rows)]
    qty = dice.integers(1, 11, rows)
    frame = pl.DataFrame(
        {
            "id": np.arange(rows),
            "at": at,
            "sent": [moment + timedelta(hours=int(h)) for moment, h in zip(at, dice.integers(0, 5, rows), strict=True)],
            "qty": qty,
            "total": qty * dice.uniform(1, 9, rows),
            "level": dice.integers(1, 4, rows),
            "state": dice.choice(["new", "paid"], rows),
            "flag": [True] * rows,
            "sku": [f"AB-{n}" if n % 7 else "none" for n in range(rows)],
            "error": pl.Series([None] * rows, dtype=pl.String),
        }
    ).with_columns(checked=pl.col("total"))
    return frame.with_columns(state=pl.when(pl.col("id") % 40 == 5).then(None).otherwise("state"))


FAULTS: dict[str, Any] = {
    "none": [],
    "a quantity": [pl.col("qty").replace(3, 30)],
    "a state": [pl.col("state").replace("new", "gone")],
    "no state": [pl.when(pl.col("id") > 200).then(pl.col("state")).alias("state")],
    "a level": [pl.col("level").replace(1, 9)],
    "a flag": [pl.col("id") > 5],
    "a name": [pl.when(pl.col("id") == 9).then(pl.lit("xAB-1\n")).otherwise("sku").alias("sku")],
    "sent before": [pl.col("sent") - timedelta(hours=3)],
    "nothing to pay": [pl.col("total") * 0],
    "too much to pay": [(pl.col("total") * 1e5).alias("total"), (pl.col("total") * 1e5).alias("checked")],
    "checked wrongly": [pl.col("checked") + 1],
    "repeated": [pl.col("id") // 2],
    "errors": [pl.when(pl.col("id") < 30).then(pl.lit("broken")).alias("error")],
}
FAULTS["a flag"] = [(pl.col("id") > 5).alias("flag")]


def ask(metric: str, comparison: str, limit: float, *columns: str, **more: Any) -> Requirement:
    return Requirement(metric=f"data.{metric}", comparison=comparison, limit=limit, columns=columns, **more)  # type: ignore[arg-type]


REQUIRED = (
    ask("completeness", ">=", 0.9, "state"),
    ask("completeness", "==", 1.0, "id", "at"),
    ask("validity", "==", 1.0),
    ask("consistency", ">=", 1.0),
    ask("plausibility", ">=", 1.0),
    ask("uniqueness", ">=", 0.99),
    ask("uniqueness", "==", 1.0),
    ask("rows", ">=", 300.0),
    ask("rows", "<", 1000.0),
    ask("corrupt", "<=", 0.05, "error"),
    ask("mean", ">=", 2.0, "qty"),
    ask("deviation", "<=", 5.0, "qty"),
    ask("quantile", "<=", 9.5, "qty", quantile=0.5),
    ask("minimum", ">=", 1.0, "qty"),
    ask("maximum", "<=", 10.0, "qty"),
    ask("distinct", ">=", 3.0, "level"),
)


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Judges files by a suite in Great Expectations itself."""
    if not PYTHON.exists():
        absent("Great Expectations", "tools/component great_expectations")
    folder = tmp_path_factory.mktemp("suites")

    def judged(suite: dict[str, Any], *frames: pl.DataFrame) -> dict[str, Any]:
        (folder / "suite.json").write_text(json.dumps(suite), "utf-8")
        files = []
        for number, frame in enumerate(frames):
            files.append(folder / f"{number}.parquet")
            frame.write_parquet(files[-1])
        command = [
            str(PYTHON),
            str(Path(__file__).with_name("judging.py")),
            str(folder / "suite.json"),
            *map(str, files),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    return judged


def ours(frame: pl.DataFrame, requirements: tuple[Requirement, ...], spec: DatasetSpec = SPEC) -> list[str]:
    verdicts = measure(frame, spec, requirements, now=START + timedelta(days=9), quarantined={})
    return [verdict.status for verdict in verdicts]


@pytest.mark.component
def test_both_judge_the_same_files_alike(judge: Any) -> None:
    required = tuple(Requirement(**_fields(r) | {"text": f"line {n}"}) for n, r in enumerate(REQUIRED))
    exported = SUITES.exported(SPEC, required, TYPES, "orders")
    assert {(note.kind, note.what) for note in exported.notes} == {("differs", "line 10"), ("differs", "line 12")}
    frames = {name: orders().with_columns(*fault) for name, fault in FAULTS.items()}
    told = judge(exported.suite, *frames.values())
    broken = 0
    for (name, frame), answers in zip(frames.items(), told["answers"], strict=True):
        theirs = dict.fromkeys((r.text for r in required), True)
        for _, meta, success in answers:
            theirs[meta["trimtab"]] &= success
        for requirement, status in zip(required, ours(frame, required), strict=True):
            assert status == ("met" if theirs[requirement.text] else "broken"), (name, requirement.metric)
            broken += status == "broken"
    assert broken >= len(FAULTS)


@pytest.mark.component
def test_its_own_suites_are_judged_alike_here(judge: Any) -> None:
    """A suite of every kind that has a partner; the same verdicts of what was imported, line by line."""
    configs = {
        "expect_column_values_to_not_be_null": {"column": "state", "mostly": 0.9},
        "expect_column_values_to_be_null": {"column": "error", "mostly": 0.95},
        "expect_column_values_to_be_between": {"column": "qty", "min_value": 1, "max_value": 10},
        "expect_column_values_to_be_in_set": {"column": "state", "value_set": ["new", "paid"]},
        "expect_column_values_to_not_be_in_set": {"column": "level", "value_set": [9]},
        "expect_column_values_to_match_regex": {"column": "sku", "regex": "^AB-|^none$"},
        "expect_column_values_to_be_unique": {"column": "id"},
        "expect_compound_columns_to_be_unique": {"column_list": ["id", "at"]},
        "expect_column_pair_values_a_to_be_greater_than_b": {
            "column_A": "sent", "column_B": "at", "or_equal": True, "ignore_row_if": "either_value_is_missing"},
        "expect_column_pair_values_to_be_equal": {
            "column_A": "total", "column_B": "checked", "ignore_row_if": "either_value_is_missing"},
        "expect_table_row_count_to_be_between": {"min_value": 300, "max_value": 500},
        "expect_column_mean_to_be_between": {"column": "total", "min_value": 2, "max_value": 900},
        "expect_column_median_to_be_between": {"column": "qty", "min_value": 1.5, "max_value": 8.5},
        "expect_column_stdev_to_be_between": {"column": "qty", "max_value": 5},
        "expect_column_max_to_be_between": {"column": "total", "max_value": 9_000, "strict_max": True},
        "expect_column_min_to_be_between": {"column": "total", "min_value": 0, "strict_min": True},
        "expect_column_unique_value_count_to_be_between": {"column": "level", "min_value": 3, "max_value": 3},
        "expect_column_proportion_of_unique_values_to_be_between": {"column": "id", "min_value": 0.99},
        "expect_column_proportion_of_non_null_values_to_be_between": {"column": "state", "min_value": 0.9},
        "expect_column_value_lengths_to_be_between": {"column": "state", "min_value": 3, "max_value": 4},
        "expect_column_quantile_values_to_be_between": {
            "column": "qty", "quantile_ranges": {"quantiles": [0.1, 0.9], "value_ranges": [[0.5, 3.5], [7.5, None]]}},
    }  # fmt: skip
    frames = {name: orders().with_columns(*fault) for name, fault in FAULTS.items()}
    for kind, kwargs in configs.items():
        suite = {"name": "one", "expectations": [{"type": kind, "kwargs": kwargs, "meta": {}}]}
        imported = SUITES.imported(suite, ("id",))
        assert imported.requirements, kind
        assert not [note for note in imported.notes if note.kind == "left out"], kind
    whole = {"name": "all", "expectations": [{"type": k, "kwargs": v, "meta": {"n": k}} for k, v in configs.items()]}
    told = judge(whole, *frames.values())
    for (name, frame), answers in zip(frames.items(), told["answers"], strict=True):
        for kind, _, success in answers:
            one = {"name": "one", "expectations": [{"type": kind, "kwargs": configs[kind]}]}
            imported = SUITES.imported(one, ("id",))
            spec = DatasetSpec(
                name="orders", source="x", key=("id",), time="at", valid=imported.valid, consistent=imported.consistent
            )
            statuses = ours(frame, imported.requirements, spec)
            assert (set(statuses) == {"met"}) == success, (name, kind, statuses)
    # What Great Expectations itself wrote of the suite is read like what we wrote.
    again = SUITES.imported(told["suite"], ("id",))
    assert set(again.requirements) == set(SUITES.imported(whole, ("id",)).requirements)


def test_a_suite_comes_back_as_it_went() -> None:
    required = tuple(r for r in REQUIRED if r.metric not in ("data.plausibility", "data.rows"))
    exported = SUITES.exported(SPEC, required, TYPES, "orders")
    back = SUITES.imported(exported.suite, SPEC.key)
    assert set(back.valid) == set(SPEC.valid)
    lines = {parse_consistent(parse_comparison(line)).text for line in back.consistent}
    assert lines == {"sent >= at", "total > 0.0", "total >= qty", 'state != "lost"', "total == checked"}
    assert {r.metric for r in back.requirements} == {r.metric for r in required}


def test_what_cannot_be_said_is_named() -> None:
    lines = [
        ask("freshness", "<=", 3600.0), ask("timeliness", "<=", 3600.0), ask("accuracy", ">=", 0.9),
        ask("referential", ">=", 0.9), ask("duplicates", "<=", 0.1), ask("balance", ">=", 0.1),
        ask("completeness", "<=", 0.9, "state"), ask("completeness", ">=", 0.9, "state", by="level"),
        ask("completeness", ">=", 0.9, "state", "sku"), ask("validity", ">=", 0.9),
        ask("rows", ">=", 9.0, window=60.0), ask("corrupt", "<=", 0.1, "flag"),
    ]  # fmt: skip
    for line in lines:
        exported = SUITES.exported(SPEC, (line,), TYPES, "orders")
        assert exported.notes, line.metric
    quality = Requirement(metric="quality.roc_auc", comparison=">=", limit=0.6)
    assert SUITES.exported(SPEC, (quality,), TYPES, "orders").notes == ()


@pytest.mark.parametrize(
    ("kind", "kwargs", "why"),
    [
        ("expect_column_kl_divergence_to_be_less_than", {"column": "a", "threshold": 1}, "no such check"),
        ("expect_column_values_to_match_regex", {"column": "a", "regex": "(?=a)"}, "patterns here have no"),
        ("expect_column_values_to_be_between", {"column": "a"}, "no limit"),
        ("expect_column_values_to_be_between", {"column": "a", "min_value": 1, "row_condition": "x>1"}, "some rows"),
        ("expect_column_values_to_be_between", {"min_value": 1}, "cannot be read"),
        ("expect_column_max_to_be_between", {"column": "a", "max_value": "2020-01-01"}, "is no number"),
        ("expect_column_values_to_be_unique", {"column": "a", "mostly": 0.5}, "counts every row"),
        ("expect_column_to_exist", {"column": "a"}, "missed anyway"),
    ],
)
def test_what_is_not_here_is_named(kind: str, kwargs: dict[str, Any], why: str) -> None:
    imported = SUITES.imported({"expectations": [{"type": kind, "kwargs": kwargs}]}, ("id",))
    assert imported.requirements == ()
    (note,) = imported.notes
    assert note.kind == "left out"
    assert why in note.why


def test_what_is_no_suite() -> None:
    with pytest.raises(PermanentError, match="no suite"):
        SUITES.imported({"name": "x"}, ("id",))


@given(
    st.sampled_from(
        ["^ab$", "ab", "^ab", "ab$", "^(?:a|b)$", "a|b", "^a|b$", r"\Aa+\Z", "^(?:a)(?:b)$", "(?:a)|(?:b)"]
    ),
    st.text("ab\n", max_size=4),
)
def test_a_pattern_found_in_a_cell_is_one_that_the_whole_cell_has(pattern: str, cell: str) -> None:
    theirs = re.search(pattern.replace("$", r"\Z"), cell) is not None
    found = pl.Series([cell]).str.contains(f"^(?:{_whole(pattern)})$").item()
    assert found == theirs


class TestSharedSuite(SuitesSuite):
    """What the port asks of every tool."""

    def open(self) -> GreatExpectations:
        return SUITES


def _fields(record: Requirement) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
