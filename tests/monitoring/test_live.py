"""Live verdicts from predictions and their truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab.errors import PermanentError
from trimtab.measures.metrics.declared import estimate
from trimtab.monitoring.live import live_verdicts
from trimtab.monitoring.serving_figures import ServingFigures, latency_quantile, serving_figures
from trimtab.records.requirement import Requirement, Value, Verdict

NOW = datetime(2013, 5, 1, tzinfo=UTC)
VALUE = Value(true_positive=8.0, false_positive=-3.0)


def frame(n: int = 4000, days: int = 14, *, stage: str = "live", release: str = "r1", seed: int = 0) -> pl.DataFrame:
    """Predictions of the `days` before NOW; the last eight hours wait for their truth."""
    r = np.random.default_rng(seed)
    score = r.beta(2, 5, n)
    label = (r.random(n) < score).astype(float)
    at = [NOW - timedelta(days=days) * float(share) for share in np.linspace(1, 1e-6, n)]
    return pl.DataFrame(
        {
            "at": pl.Series(at, dtype=pl.Datetime("us", "UTC")),
            "release": release,
            "stage": stage,
            "score": score,
            "label": pl.Series(label, dtype=pl.Float64),
            "carrier": r.choice(["AA", "DL", "UA"], n, p=[0.6, 0.39, 0.01]),
        }
    ).with_columns(pl.when(pl.col("at") < NOW - timedelta(hours=8)).then(pl.col("label")).alias("label"))


def verdicts(requirements: list[Requirement], predictions: Any, **more: Any) -> list[Verdict]:
    kwargs: dict[str, Any] = {
        "now": NOW,
        "window": 7 * 86400.0,
        "value": VALUE,
        "threshold": 3 / 11,
        "task": "binary_classification",
        "serving": None,
    }
    return live_verdicts(requirements, predictions=predictions, **(kwargs | more))


def test_figures_are_those_of_the_window_with_its_truth_known() -> None:
    table = frame()
    kept = table.filter((pl.col("at") >= NOW - timedelta(days=7)) & pl.col("label").is_not_null())
    days = kept["at"].dt.epoch("d").to_numpy()
    for metric, limit in (("quality.roc_auc", 0.6), ("quality.log_loss", 5.0), ("value.per_1000", 0.0)):
        comparison: Any = "<=" if metric == "quality.log_loss" else ">="
        [got] = verdicts([Requirement(metric=metric, comparison=comparison, limit=limit)], table)
        want = estimate(
            metric,
            y=kept["label"].to_numpy(),
            score=kept["score"].to_numpy(),
            threshold=3 / 11,
            value=VALUE,
            task="binary_classification",
            blocks=days,
        )
        assert (got.figure, got.low, got.high, got.rows) == (want.figure, want.low, want.high, kept.height)
        assert (got.status, got.place) == ("met", "live")


def test_arrays_do_as_well_as_a_frame() -> None:
    table = frame()
    arrays = {name: table[name].to_numpy() for name in table.columns}
    micros = arrays | {"at": table["at"].dt.epoch("us").to_numpy()}
    reqs = [Requirement(metric="quality.recall", comparison=">=", limit=0.3, by="carrier")]
    assert verdicts(reqs, arrays) == verdicts(reqs, table) == verdicts(reqs, micros)


def test_only_the_stage_and_the_release_in_question_count() -> None:
    both = pl.concat([frame(1000), frame(600, stage="canary", release="r2", seed=1), frame(400, release="r0", seed=2)])
    reqs = [Requirement(metric="quality.accuracy", comparison=">=", limit=0.5, window=14 * 86400.0)]
    rows = {
        (place, release): verdicts(reqs, both, place=place, release=release)[0].rows
        for place, release in (("live", None), ("live", "r1"), ("canary", None), ("shadow", None))
    }
    assert rows["live", "r1"] + verdicts(reqs, both, release="r0")[0].rows == rows["live", None]
    assert 560 <= rows["canary", None] <= 600
    assert rows["shadow", None] == 0


def test_slices_name_the_worst_and_leave_out_the_small() -> None:
    table = frame().with_columns(
        label=pl.when((pl.col("carrier") == "DL") & pl.col("label").is_not_null())
        .then((pl.col("score") < 0.2).cast(pl.Float64))
        .otherwise(pl.col("label"))
    )
    req = Requirement(metric="quality.recall", comparison=">=", limit=0.5, by="carrier", min_rows=100)
    [got] = verdicts([req], table)
    assert (got.status, got.slice) == ("broken", "DL")
    assert "1 with fewer than 100 rows" in got.reason
    lost = table.with_columns(
        pl.when(pl.col("carrier") != "DL").then(pl.col("carrier")), _sliced=pl.col("carrier") != "DL"
    )
    [got] = verdicts([req], lost)  # inputs that are not kept are in no slice, not in one of their own
    assert got.status == "met"
    assert "None" not in got.reason
    [got] = verdicts([req], table.with_columns(_sliced=pl.lit(False)))
    assert (got.status, got.reason) == ("unknown", "no inputs are kept that would tell 'carrier'")
    [unsliced] = verdicts([Requirement(metric="quality.recall", comparison=">=", limit=0.5, by="gate")], table)
    assert (unsliced.status, unsliced.reason) == ("unknown", "the predictions have no column 'gate'")


def test_what_is_not_known_is_unknown() -> None:
    req = [Requirement(metric="quality.roc_auc", comparison=">=", limit=0.5)]
    waiting = frame().filter(pl.col("label").is_null())
    [got] = verdicts(req, waiting)
    assert got.status == "unknown"
    assert got.reason == f"{waiting.height:,} predictions wait for their truth"
    assert verdicts(req, frame(), now=NOW + timedelta(days=90))[0].reason == "nothing was predicted"
    with pytest.raises(PermanentError, match="no column 'label'"):
        verdicts(req, frame().drop("label"))


def test_requirements_of_other_places_have_no_verdict_here() -> None:
    reqs = [
        Requirement(metric="quality.roc_auc", comparison=">=", limit=0.5, places=("release",)),
        Requirement(metric="data.completeness", comparison=">=", limit=0.9),
        Requirement(metric="quality.mae", comparison="<=", limit=0.9),
        Requirement(metric="serving.latency_p95", comparison="<=", limit=0.015),
    ]
    assert verdicts(reqs, frame()) == []


def test_several_classes_and_numbers() -> None:
    r = np.random.default_rng(0)
    at = np.full(500, int((NOW - timedelta(days=1)).timestamp() * 1e6))
    base = {"at": at, "stage": np.full(500, "live"), "release": np.full(500, "r")}
    score = r.dirichlet(np.ones(3), 500)
    several = base | {"score": score, "label": score.argmax(axis=1).astype(float)}
    accuracy = [Requirement(metric="quality.accuracy", comparison=">=", limit=0.9)]
    assert verdicts(accuracy, several, task="multiclass_classification")[0].figure == 1.0
    listed = pl.DataFrame(base | {"score": score.tolist(), "label": several["label"]}).with_columns(
        pl.col("at").cast(pl.Datetime("us", "UTC"))
    )
    assert verdicts(accuracy, listed, task="multiclass_classification")[0].figure == 1.0
    numbers = base | {"score": np.full(500, 3.0), "label": np.full(500, 5.0)}
    mae = [Requirement(metric="quality.mae", comparison="<=", limit=1)]
    got = verdicts(mae, numbers, task="regression")[0]
    assert (got.figure, got.status) == (2.0, "broken")


def test_the_server_is_judged_on_what_it_measured() -> None:
    r = np.random.default_rng(0)
    figures = serving_figures(r.gamma(2, 0.001, 20_000), errors=40, memory=81 * 2.0**20)
    reqs = [
        Requirement(metric="serving.latency_p50", comparison="<=", limit=0.005),
        Requirement(metric="serving.latency_p95", comparison="<=", limit=0.003, unit="ms", scale=0.001),
        Requirement(metric="serving.error_rate", comparison="<=", limit=0.01),
        Requirement(metric="resources.memory", comparison="<=", limit=600 * 2.0**20),
    ]
    got = verdicts(reqs, frame(), serving=figures)
    assert [v.status for v in got] == ["met", "broken", "met", "met"]
    assert "ms is above 3 ms" in got[1].reason
    assert verdicts(reqs, frame(), serving=ServingFigures(requests=0, errors=0))[0].metric == "serving.error_rate"
    assert verdicts(reqs[2:3], frame(), serving=ServingFigures(requests=0, errors=0))[0].status == "unknown"


def test_latency_intervals_hold_the_true_quantile() -> None:
    r = np.random.default_rng(1)
    truth = -np.log(0.05)  # of the exponential distribution
    inside = 0
    for _ in range(500):
        got = latency_quantile(np.sort(r.exponential(size=400)), 0.95)
        assert got.low is not None and got.high is not None
        inside += got.low <= truth <= got.high
    assert 465 <= inside <= 496
    assert latency_quantile(np.empty(0), 0.5).figure is None
