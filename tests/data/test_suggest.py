"""Suggested rules and requirements load, hold what they were made from, and seldom cry wolf."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom

from trimtab.data.quality.measure import measure
from trimtab.data.quality.profile import profile
from trimtab.data.quality.suggest import suggest
from trimtab.data.spec import DatasetSpec
from trimtab.declaration.load import parse
from trimtab.declaration.requirements.writing import dataset_lines, requirement_lines
from trimtab.measures.predictive import exceeded, most_failures, most_outside

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=30, minutes=10)
SPEC = DatasetSpec(name="orders", source="orders.parquet", key=("id",), time="at", label="bad", recorded="seen")


def orders(dice: np.random.Generator, rows: int = 1_500) -> pl.DataFrame:
    """Orders of a month, of one distribution."""
    at = np.sort(dice.uniform(0, 30 * 86_400, rows))
    late = dice.exponential(600, rows)
    frame = pl.DataFrame(
        {
            "id": [f"ord-{n:06}" for n in dice.choice(10**6, rows, replace=False)],
            "at": [START + timedelta(seconds=float(second)) for second in at],
            "seen": [START + timedelta(seconds=float(second)) for second in at + late],
            "bad": dice.random(rows) < 0.08,
            "price": dice.gamma(2, 30, rows),
            "share": dice.beta(2, 5, rows),
            "pieces": dice.poisson(3, rows),
            "state": dice.choice(["new", "paid", "sent"], rows, p=[0.1, 0.5, 0.4]),
            "mail": [f"user{n}@example.com" for n in dice.integers(0, 900, rows)],
            "words": [f"{n} said{'!' * (n % 5)}" for n in dice.integers(0, 900, rows)],
            "width": dice.normal(0, 5, rows),
        }
    )
    gone = pl.Series(dice.random(rows) < 0.03)
    return frame.with_columns(width=pl.when(gone).then(None).otherwise("width"))


def test_a_batch_of_the_same_kind_passes() -> None:
    """At most one in fifty batches of the same size raises any alarm; `unknown` counts as one."""
    dice = np.random.default_rng(11)
    alarms = []
    for _ in range(100):
        sample, batch = orders(dice), orders(dice)
        told = suggest(sample, SPEC, now=NOW)
        spec = msgspec.structs.replace(SPEC, valid=told.valid, consistent=told.consistent)
        verdicts = measure(batch, spec, told.requirements, now=NOW, quarantined={})
        alarms += [(v.metric, v.figure, v.limit) for v in verdicts if v.status != "met"][:1]
    assert len(alarms) <= 2, alarms


def test_a_batch_of_another_kind_does_not() -> None:
    dice = np.random.default_rng(5)
    told = suggest(orders(dice), SPEC, now=NOW)
    spec = msgspec.structs.replace(SPEC, valid=told.valid, consistent=told.consistent)
    good = orders(dice)
    faults = {
        "data.completeness": good.with_columns(price=pl.when(pl.col("pieces") > 3).then("price")),
        "data.validity": good.with_columns(state=pl.col("state").replace("paid", "payed")),
        "data.consistency": good.with_columns(seen=pl.col("seen") - timedelta(minutes=20)),
        "data.uniqueness": pl.concat([good, good.head(100)]),
        "data.timeliness": good.with_columns(seen=pl.col("seen") + timedelta(hours=2)),
        "data.freshness": good.with_columns(at=pl.col("at") - timedelta(days=9)),
        "data.balance": good.with_columns(bad=pl.col("bad") & (pl.col("pieces") > 5)),
        "data.mean": good.with_columns(price=pl.col("price") * 1.3),
    }
    assert {requirement.metric for requirement in told.requirements} == set(faults)
    for metric, frame in faults.items():
        verdicts = measure(frame, spec, told.requirements, now=NOW, quarantined={})
        assert metric in {v.metric for v in verdicts if v.status == "broken"}


def test_what_is_suggested() -> None:
    told = suggest(orders(np.random.default_rng(1)), SPEC, now=NOW)
    rules = {rule.column: rule for rule in told.valid}
    assert rules["id"].pattern == r"[a-z]{3}\-[0-9]{6}"
    assert rules["mail"].pattern == r"[^@\s]+@[^@\s]+\.[A-Za-z]+"
    assert rules["state"].allowed == ("new", "paid", "sent")
    assert (rules["share"].low, rules["share"].high) == (0.0, 1.0)
    assert rules["width"].low is not None
    assert rules["width"].low < -15
    assert told.left_out == ("words",)
    assert told.consistent == ("at <= seen",)


def test_what_is_hidden_is_not_spoken_of() -> None:
    told = suggest(orders(np.random.default_rng(1)), SPEC, now=NOW, hidden=("mail", "bad", "price"))
    assert not {"mail", "price"} & {rule.column for rule in told.valid}
    named = {column for requirement in told.requirements for column in requirement.columns}
    assert not {"mail", "bad", "price"} & named
    assert "data.balance" not in {requirement.metric for requirement in told.requirements}


def test_days_that_differ_widen_what_is_expected() -> None:
    """Rows of one day move together: a mean of thirty such days is less sure than one of as many rows."""
    dice = np.random.default_rng(2)

    def width(between: float) -> float:
        frame = orders(dice).with_columns(
            price=pl.Series(dice.normal(0, 1, 1_500) + np.repeat(dice.normal(0, between, 30), 50))
        )
        found = [
            r.limit
            for r in suggest(frame, SPEC, now=NOW).requirements
            if r.metric == "data.mean" and r.columns == ("price",)
        ]
        return max(found) - min(found)

    assert width(1.0) > 3 * width(0.0)


def test_it_loads(tmp_path: Path) -> None:
    told = suggest(orders(np.random.default_rng(3)), SPEC, now=NOW)
    text = "\n".join(
        [
            '[system]\nname = "a"\nproblem = "b"\ntask = "binary_classification"\n[requirements]',
            *requirement_lines(told.requirements),
            '[[data]]\nname = "orders"\nsource = "orders.parquet"\nkey = "id"\ntime = "at"\nlabel = "bad"',
            'recorded = "seen"',
            *dataset_lines(told.valid, told.consistent),
            '[model]\ncode = "model.py"',
        ]
    )
    (tmp_path / "model.py").write_text("def train(train, valid, params): ...\n")
    system = parse(text, tmp_path / "trimtab.toml")
    assert system.data[0].valid == told.valid
    assert system.data[0].consistent == told.consistent
    plain = [msgspec.structs.replace(r, text="", line=0, places=()) for r in system.requirements]
    assert sorted(plain, key=str) == sorted(told.requirements, key=str)


def test_little_and_odd_data_suggest_little() -> None:
    few = orders(np.random.default_rng(0), 50)
    assert suggest(few, SPEC, now=NOW).requirements == ()
    odd = pl.DataFrame(
        {"id": range(200), "at": [START] * 200, "n": [None] * 200, "x": [float("nan")] * 200, "b": [b"x"] * 200}
    ).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
    spec = DatasetSpec(name="o", source="x", key=("id",), time="at")
    assert {r.metric for r in suggest(odd, spec, now=NOW).requirements} <= {"data.completeness", "data.uniqueness"}


@given(st.floats(0.5, 60), st.floats(0.5, 5_000), st.integers(1, 3_000), st.floats(1e-5, 0.2))
def test_beta_binomial_quantiles(a: float, b: float, coming: int, risk: float) -> None:
    found = exceeded(a, b, coming, risk)
    assert betabinom.sf(found, coming, a, b) <= risk + 1e-7
    assert found == 0 or betabinom.sf(found - 1, coming, a, b) > risk - 1e-7


def test_predictions_by_hand() -> None:
    """Of n values and n more, all orders are alike: that none of the new is above the old has the chance 1/2."""
    assert most_outside(1, 10, 10, 0.51) == 0
    assert most_outside(1, 10, 10, 0.49) == 1
    assert most_outside(0, 100, 100, 0.01) == 0
    assert 0 < most_outside(1, 1_000, 1_000, 0.01) < most_outside(4, 1_000, 1_000, 0.01) < 40
    assert most_failures(0, 1_000, 1_000, 0.01) < most_failures(20, 1_000, 1_000, 0.01)
    assert exceeded(50, 950, 5_000_000, 0.01) == pytest.approx(5_000_000 * 0.05, rel=0.4)


def test_a_profile_counts() -> None:
    frame = pl.DataFrame(
        {
            "n": [1, 2, 2, None],
            "t": [START, START + timedelta(days=1), START + timedelta(days=3), None],
            "s": ["Ab1", "Cd22", "ef", None],
            "b": [True, True, False, None],
            "_digest": [b"x"] * 4,
        }
    )
    told = profile(frame, "x")
    assert [column.name for column in told.columns] == ["n", "t", "s", "b"]
    n, t, s, b = told.columns
    assert (n.nulls, n.distinct, n.low, n.high, n.mean) == (1, 2, 1.0, 2.0, pytest.approx(5 / 3))
    assert [(often.value, often.count) for often in n.tops] == [("2", 2), ("1", 1)]
    assert (t.days, t.gap) == (0.75, 2 * 86_400.0)
    assert [(often.value, often.count) for often in s.shapes] == [("Aa9", 2), ("a", 1)]
    assert (s.low, s.high) == (2, 4)
    assert [(often.value, often.count) for often in b.tops] == [("true", 2), ("false", 1)]
    assert profile(frame.clear(), "x").rows == 0
