"""What a pass sees, checked against a plain count over the same rows; looking changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.loop.conftest import Make, Run

from trimtab.declaration.system import ReleaseStep, Trigger
from trimtab.loop.past.history import KNOWN_AT, MOMENT
from trimtab.loop.replay.steps import row_ids
from trimtab.measures.metrics.declared import estimate
from trimtab.records.facts import Compared, DriftMeasured, PassFinished, ReleaseMoved, VerdictsGiven
from trimtab.records.requirement import Requirement

START = datetime(2024, 1, 21, 6, tzinfo=UTC)
TEN_DAYS = START + timedelta(days=10)


@pytest.fixture
def run(make: Make) -> Run:
    """Ten days with one live model."""
    made = make(policy={"retrain_on": ()})
    made.replay(TEN_DAYS)
    return made


def answered(run: Run, until: datetime) -> pl.DataFrame:
    """The rows that callers asked for, with the truth that had come out, without the serving's own records."""
    rows = run.history.filter((pl.col(MOMENT) > START) & (pl.col(MOMENT) <= until))
    label = pl.when(pl.col(KNOWN_AT) <= until).then(pl.col("sold_out").cast(pl.Float64))
    return rows.select("shop", MOMENT, pl.Series("id", row_ids(rows, run.system)), label.alias("label"))


def test_live_verdicts_are_those_of_what_callers_got(run: Run) -> None:
    seen, _ = run.observer.look(TEN_DAYS, 2, "test")
    rows = answered(run, TEN_DAYS)
    scored = run.serving.predictions(START, TEN_DAYS + timedelta(hours=1))
    assert sorted(scored["id"].to_list()) == sorted(rows["id"].to_list())
    # A row is asked for at the end of its hour, and a verdict looks at what was asked before now.
    both = rows.drop_nulls("label").join(scored.select("id", "at", "score"), on="id").filter(pl.col("at") < TEN_DAYS)
    since = TEN_DAYS - timedelta(days=10)
    both = both.filter(pl.col("at") >= since).sort("at", "id")
    verdicts = {v.metric: v for v in seen.live}
    auc = verdicts["quality.roc_auc"]
    wanted = estimate(
        "quality.roc_auc",
        y=both["label"].to_numpy(),
        score=both["score"].to_numpy(),
        threshold=0.4,
        task="binary_classification",
        value=None,
        blocks=both["at"].dt.epoch("d").to_numpy(),
    )
    assert auc.rows == both.height > 300
    assert auc.figure == pytest.approx(wanted.figure)
    assert auc.low == pytest.approx(wanted.low)
    assert {v.metric for v in seen.live} == {"quality.roc_auc", "quality.accuracy", "value.per_1000"}


def test_slices_come_from_the_rows_that_were_scored(run: Run) -> None:
    seen, _ = run.observer.look(TEN_DAYS, 2, "test")
    verdict = next(v for v in seen.live if v.metric == "quality.accuracy")
    rows = answered(run, TEN_DAYS).drop_nulls("label")
    scored = run.serving.predictions(START, TEN_DAYS).select("id", "score")
    live = run.ledger.entries(ReleaseMoved).__next__().fact.model
    threshold = run.observer.model(live).bundle.signature.threshold
    both = rows.join(scored, on="id").with_columns(right=(pl.col("score") >= threshold) == (pl.col("label") == 1.0))
    shares = dict(both.group_by("shop").agg(pl.col("right").mean()).rows())
    counts = dict(both.group_by("shop").len().rows())
    assert verdict.slice in shares
    assert verdict.figure == pytest.approx(shares[verdict.slice])
    assert verdict.rows == counts[verdict.slice]


def test_drift_compares_with_the_training_rows(run: Run) -> None:
    seen, facts = run.observer.look(TEN_DAYS, 2, "test")
    found = {(d.column, d.statistic): d for d in seen.drift}
    assert {column for column, _ in found} == {"shop", "flour", "price", "sun"}
    assert not found["flour", "ks"].drifted
    assert not found["shop", "tv"].drifted
    (fact,) = [draft.fact for draft in facts if isinstance(draft.fact, DriftMeasured)]
    assert fact.columns == seen.drift
    assert fact.window_to - fact.window_from == timedelta(days=10)
    assert fact.rows == len(run.serving.matrix("r-001", START, TEN_DAYS)[1])
    dearer = run.history.with_columns(pl.col("price") + 1.0)
    shifted = msgspec.structs.replace(run.span, start=TEN_DAYS)
    run.history, run.span = dearer, shifted
    run.replay(TEN_DAYS + timedelta(days=8))
    later, _ = run.observer.look(TEN_DAYS + timedelta(days=8), 2, "test")
    moved = {(d.column, d.statistic): d for d in later.drift}
    assert moved["price", "ks"].drifted
    assert moved["price", "ks"].effect > found["price", "ks"].effect
    assert not moved["flour", "ks"].drifted


def test_looking_changes_nothing_and_sees_the_same_again(run: Run) -> None:
    head = run.ledger.head()
    first, second = (run.observer.look(TEN_DAYS, 2, "test") for _ in range(2))
    assert first == second
    assert run.ledger.head() == head
    fresh = msgspec.structs.replace(first[0])
    run.observer._models.clear()
    assert run.observer.look(TEN_DAYS, 2, "test")[0] == fresh


def test_the_first_turn_sees_only_where_releases_stand(run: Run) -> None:
    seen, facts = run.observer.look(TEN_DAYS, 1, "test")
    assert facts == []
    assert seen.releases.live is not None
    assert (seen.known_rows, seen.live, seen.drift) == (0, (), ())


def test_rows_and_code_are_those_of_now(run: Run) -> None:
    seen, _ = run.observer.look(TEN_DAYS, 2, "test")
    known = run.datasets.labelled(TEN_DAYS)
    assert (seen.known_rows, seen.known_to) == (known.height, known["baked"].max())
    assert seen.last_training is not None
    assert seen.last_training.at == START
    assert seen.last_training.rows == run.datasets.known(START)[0]
    assert (seen.last_training.code, seen.last_training.params) == (seen.code, seen.params)


def test_a_challenger_in_shadow_is_compared_on_shared_rows_only(make: Make) -> None:
    run = make(
        policy={
            "retrain_on": (Trigger(cause="schedule", amount=6 * 86_400.0),),
            "release": (ReleaseStep(stage="shadow", rows=100_000), ReleaseStep(stage="live")),
            "cooldown": 0.0,
        }
    )
    run.replay(TEN_DAYS)
    seen, facts = run.observer.look(TEN_DAYS, 2, "test")
    challenger = seen.releases.challenger
    assert challenger is not None, [e.fact.why for e in run.ledger.entries(ReleaseMoved)]
    assert challenger.stage == "shadow"
    progress = seen.challenger
    assert progress is not None
    assert progress.compared is not None
    rows = run.serving.predictions(challenger.since, TEN_DAYS).filter(pl.col("label").is_not_null())
    both = rows.filter(pl.col("release") == challenger.release).join(
        rows.filter(pl.col("stage") == "live"), on="id", suffix="_live"
    )
    assert progress.rows == progress.compared.rows == both.height > 50
    assert (progress.compared.release, progress.compared.place) == (challenger.release, "shadow")
    assert [d.fact for d in facts if isinstance(d.fact, Compared)] == list(progress.comparisons)
    value = {True: (6.0, 0.0), False: (-4.0, 0.0)}
    worth = []
    for score in ("score", "score_live"):
        answers = both[score].to_numpy() >= 0.4
        worth.append(np.mean([value[bool(y)][0] if a else 0.0 for a, y in zip(answers, both["label"], strict=True)]))
    assert progress.compared.metric == "value.per_1000"
    assert progress.compared.difference == pytest.approx(1000 * (worth[0] - worth[1]))


def test_a_requirement_by_a_column_the_model_does_not_see_is_unknown(make: Make) -> None:
    asked = Requirement(
        metric="quality.accuracy", comparison=">=", limit=0.5, by="town", places=("live",), text=">= 0.5"
    )
    run = make(policy={"retrain_on": ()}, requirements=(asked,))
    run.replay(START + timedelta(days=3))
    seen, _ = run.observer.look(START + timedelta(days=3), 2, "test")
    (verdict,) = seen.live
    assert verdict.status == "unknown"
    assert "town" in verdict.reason


def test_passes_keep_what_they_saw(run: Run) -> None:
    last = run.ledger.last(PassFinished)
    assert last is not None
    assert last.at == TEN_DAYS
    kept = run.ledger.get(f"verdicts:live:r-001:{last.fact.number}")
    assert kept is not None
    assert isinstance(kept.fact, VerdictsGiven)
    assert kept.fact.verdicts == run.observer.look(TEN_DAYS, 2, "test")[0].live
