"""The figures that releases are compared by, on rows that both of them scored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.loop.conftest import Make

from trimtab.loop.passes.evidence import compare, compare_all, deciding_metric, same_rows, threshold_of
from trimtab.records.requirement import Requirement, Value

START = datetime(2024, 1, 1, tzinfo=UTC)
VALUE = Value(true_positive=8.0, false_positive=-3.0)
AUC = Requirement(metric="quality.roc_auc", comparison=">=", limit=0.7)
FRESH = Requirement(metric="data.freshness", comparison="<=", limit=1.0)


@pytest.mark.parametrize(
    ("task", "value", "requirements", "metric"),
    [
        ("binary_classification", VALUE, (AUC,), "value.per_1000"),
        ("binary_classification", None, (FRESH, AUC), "quality.roc_auc"),
        ("binary_classification", None, (FRESH,), "quality.log_loss"),
        ("regression", None, (), "quality.mae"),
    ],
)
def test_the_deciding_metric(make: Make, task: str, value: Value | None, requirements: Any, metric: str) -> None:
    system = msgspec.structs.replace(make().system, task=task, value=value, requirements=requirements)
    assert deciding_metric(system) == metric


def test_the_threshold_is_the_one_that_earns_most(make: Make) -> None:
    system = make().system
    assert threshold_of(msgspec.structs.replace(system, value=VALUE)) == pytest.approx(3 / 11)
    assert threshold_of(msgspec.structs.replace(system, value=None)) == 0.5


def rows(count: int = 4000, seed: int = 3) -> dict[str, Any]:
    """Truth, a fair champion and the days of rows; the better challenger is the probability itself."""
    dice = np.random.default_rng(seed)
    p = dice.uniform(0.05, 0.95, count)
    moments = np.sort(dice.integers(0, 20 * 86_400, count)) * 1_000_000
    return {
        "y": (dice.random(count) < p).astype(float),
        "champion": np.clip(p + dice.normal(0, 0.2, count), 0.01, 0.99),
        "challenger": p,
        "moments": moments,
        "thresholds": (0.3, 0.3),
    }


def test_better_and_worse_are_each_others_mirror(make: Make) -> None:
    system = msgspec.structs.replace(make().system, value=VALUE)
    known = rows()
    there = compare(system, **known)
    back = compare(system, **{**known, "champion": known["challenger"], "challenger": known["champion"]})
    assert (there.verdict, back.verdict) == ("better", "worse")
    assert there.difference == pytest.approx(-back.difference)
    same = compare(system, **{**known, "champion": known["challenger"]})
    assert (same.difference, same.verdict) == (0.0, "no_difference")


def test_classes_are_compared_by_their_probabilities_too(make: Make) -> None:
    system = msgspec.structs.replace(make().system, value=VALUE)
    found = dict(compare_all(system, **rows()))
    assert list(found) == ["value.per_1000", "quality.log_loss", "quality.roc_auc"]
    assert min(paired.difference for paired in found.values()) > 0
    plain = msgspec.structs.replace(system, value=None, requirements=())
    assert [metric for metric, _ in compare_all(plain, **rows())] == ["quality.log_loss", "quality.roc_auc"]
    numbers = msgspec.structs.replace(plain, task="regression")
    assert [metric for metric, _ in compare_all(numbers, **rows())] == ["quality.mae"]


def test_only_rows_that_both_scored_and_whose_truth_is_known() -> None:
    at = [START + timedelta(hours=h) for h in range(4)]
    scored = [  # id, release, stage, score, label
        ("a", "r-001", "live", 0.1, 0.0),
        ("a", "r-002", "shadow", 0.2, 0.0),
        ("b", "r-001", "live", 0.3, None),
        ("b", "r-002", "shadow", 0.4, None),
        ("c", "r-003", "canary", 0.5, 1.0),
        ("c", "r-002", "shadow", 0.6, 1.0),
        ("d", "r-001", "live", 0.7, 1.0),
        ("d", "r-002", "shadow", 0.8, 1.0),
        ("d", "r-004", "shadow", 0.9, 1.0),
    ]
    frame = pl.DataFrame(scored, schema=["id", "release", "stage", "score", "label"], orient="row")
    frame = frame.with_columns(at=pl.col("id").replace_strict(list("abcd"), at, return_dtype=pl.Datetime("us", "UTC")))
    found = same_rows(frame.reverse(), "r-002")
    assert found.select("id", "score", "answered", "by").rows() == [
        ("a", 0.2, 0.1, "r-001"),
        ("d", 0.8, 0.7, "r-001"),
    ]
