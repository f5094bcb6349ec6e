"""The whole loop on other truths than 0 and 1: classes that have names, and numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from tests.loop.conftest import Make, Run

from trimtab.declaration.system import ReleaseStep, Trigger
from trimtab.loop.replay.backtest import summarise
from trimtab.records.facts import Compared, ReleaseMoved, VerdictsGiven
from trimtab.records.studies import BacktestFinished

START = datetime(2024, 1, 21, 6, tzinfo=UTC)
END = START + timedelta(days=16)
OFTEN = {
    "retrain_on": (Trigger(cause="schedule", amount=6 * 86_400.0),),
    "release": (ReleaseStep(stage="shadow", rows=40), ReleaseStep(stage="live")),
    "cooldown": 0.0,
}
NAMED = (
    "sources.py",
    """            "sold_out": pl.Series(sold_out).set(""",
    """            "sold_out": pl.Series(np.where(sold_out, "sold out", "bread left")).set(""",
)
NUMBERS = (
    (
        "sources.py",
        """            "sold_out": pl.Series(sold_out).set(""",
        """            "sold_out": pl.Series(wish.round(3)).set(""",
    ),
    ("model.py", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
    ("trimtab.toml", 'task    = "binary_classification"', 'task    = "regression"'),
    (
        "trimtab.toml",
        "true_positive = 6.0\nfalse_positive = -4.0\n",
        "absolute_error = -1.0\n",
    ),
    ("trimtab.toml", '"quality.roc_auc"     = { limit = ">= 0.7", window = "10 d" }', '"quality.mae" = "<= 1.5"'),
    (
        "trimtab.toml",
        '"quality.accuracy"    = { limit = ">= 0.5", by = "shop", min_rows = 40, window = "10 d" }',
        '"quality.r2" = ">= 0.1"',
    ),
    ("trimtab.toml", '">= 0 EUR"', '">= -5000 EUR"'),
    ("trimtab.toml", "params = { trees = 25 }", 'params = { trees = 25 }\nbaseline = "mean"'),
)


def finished(run: Run) -> BacktestFinished:
    run.replay(END)
    return summarise(
        "declared",
        system=run.system,
        span=run.span,
        ledger=run.ledger,
        blobs=run.blobs,
        predictions=run.serving.predictions(START, END),
        history=run.history,
    )


def test_classes_with_names_come_to_the_same_as_true_and_false(make: Make) -> None:
    """The very same rows, so the very same decisions and figures."""
    plain = make(policy=OFTEN)
    there = finished(plain)
    named = make(policy=OFTEN, edits=(NAMED,))
    assert named.history["sold_out"].dtype == pl.String
    here = finished(named)
    assert there.value == pytest.approx(here.value)
    assert (there.releases, there.refused, there.daily) == (here.releases, here.refused, here.daily)
    assert [p.difference for p in there.promotions] == pytest.approx([p.difference for p in here.promotions])
    for run in (plain, named):
        assert run.ledger.count(Compared) > 2
    moves = [[(e.at, e.fact.release, e.fact.to) for e in run.ledger.entries(ReleaseMoved)] for run in (plain, named)]
    assert moves[0] == moves[1]
    assert len(moves[0]) > 4


def test_regression_goes_all_the_way(make: Make) -> None:
    run = make(policy=OFTEN, edits=NUMBERS)
    done = finished(run)
    verdicts = {
        v.metric: v for e in run.ledger.entries(VerdictsGiven, prefix="verdicts:live:") for v in e.fact.verdicts
    }
    assert verdicts["quality.mae"].status == verdicts["quality.r2"].status == "met"
    assert {e.fact.metric for e in run.ledger.entries(Compared)} == {"value.per_1000"}
    scored = run.serving.predictions(START, END).filter(pl.col("stage") != "shadow").drop_nulls("label")
    error = (scored["score"] - scored["label"]).abs().sum()
    assert done.value == pytest.approx(-error - 0.001 * scored.height)
    assert done.per_1000 == pytest.approx(done.value / scored.height * 1000)


THREE = (
    (
        "sources.py",
        """            "sold_out": pl.Series(sold_out).set(""",
        """            "sold_out": pl.Series(np.select([wish > 0.8, wish > -0.8], ["early", "late"], "never")).set(""",
    ),
    ("trimtab.toml", 'task    = "binary_classification"', 'task    = "multiclass_classification"'),
    ("trimtab.toml", "true_positive = 6.0\nfalse_positive = -4.0\n", "correct = 2.0\nwrong = -3.0\n"),
    ("trimtab.toml", '"quality.roc_auc"     = { limit = ">= 0.7", window = "10 d" }', '"quality.log_loss" = "<= 1.0"'),
    ("trimtab.toml", 'retrain_on = ["schedule:12 d", ', 'retrain_on = ["concept_drift", '),
    ("trimtab.toml", '">= 0 EUR"', '">= -5000 EUR"'),
)


def test_several_classes_go_all_the_way(make: Make) -> None:
    watched = {**OFTEN, "retrain_on": (*OFTEN["retrain_on"], Trigger(cause="concept_drift"))}  # type: ignore[misc]
    run = make(policy=watched, edits=THREE)
    done = finished(run)
    verdicts = {
        v.metric: v for e in run.ledger.entries(VerdictsGiven, prefix="verdicts:live:") for v in e.fact.verdicts
    }
    assert {v.status for v in verdicts.values()} <= {"met", "unknown"}
    assert verdicts["quality.log_loss"].figure is not None
    assert {e.fact.metric for e in run.ledger.entries(Compared)} == {"value.per_1000", "quality.log_loss"}
    scored = run.serving.predictions(START, END).filter(pl.col("stage") != "shadow").drop_nulls("label")
    assert scored["score"].list.len().unique().to_list() == [3]
    right = scored.select(pl.col("score").list.arg_max() == pl.col("label")).to_series()
    assert right.mean() > 0.6  # type: ignore[operator]
    assert done.value == pytest.approx(2.0 * right.sum() - 3.0 * (~right).sum() - 0.001 * scored.height)
    assert done.promotions
