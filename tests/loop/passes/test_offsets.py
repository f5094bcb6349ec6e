"""Answers shifted by the newest truth between trainings: what the ledger says of it, and that it can all be undone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.loop.conftest import Make, Run
from tests.loop.observed import DAY, LIVE, NOW, POLICY, seen

from trimtab.inference.encode import encode_frame
from trimtab.inference.features_code import apply_features
from trimtab.inference.model import load_model
from trimtab.inference.offset import shifted
from trimtab.loop.passes.causes import diagnose
from trimtab.loop.passes.offsets import as_fitted, generation_of, newest_truth, offset_in_force
from trimtab.loop.passes.plan import make_plan
from trimtab.loop.passes.reconcile import wanted_routes
from trimtab.loop.past.history import ASKED_AT
from trimtab.loop.replay.steps import Script
from trimtab.records.facts import ActionFinished, PassFinished, Recalibrated, ReleaseMoved

START = datetime(2024, 1, 21, 6, tzinfo=UTC)
TEN_DAYS = START + timedelta(days=10)
SHIFTING = {"retrain_on": (), "recalibrate": DAY}


@pytest.fixture
def run(make: Make) -> Run:
    """Ten days with one live model whose answers are shifted."""
    made = make(policy=SHIFTING)
    made.replay(TEN_DAYS)
    return made


def fitted(run: Run) -> pl.DataFrame:
    """What the live model itself gives every row that was asked about."""
    live = next(iter(run.serving._routes.routes))  # type: ignore[union-attr]
    script = Script(run.history, run.system, START)
    rows = script.rows.filter(pl.col(ASKED_AT) <= TEN_DAYS)
    matrix = encode_frame(apply_features(run.blobs, live.bundle, rows), live.bundle.signature)
    scores = load_model(run.blobs, live.bundle).scores(matrix).astype(np.float64)
    return pl.DataFrame({"id": script.ids[: len(rows)], "fitted": scores})


def test_every_pass_looks_at_the_newest_truth_and_writes_down_what_it_shifts(run: Run) -> None:
    facts = [entry.fact for entry in run.ledger.entries(Recalibrated)]
    assert len(facts) >= 4
    assert all("log odds" in fact.why for fact in facts)
    assert offset_in_force(run.ledger) == facts[-1].offset
    done = [entry.fact.actions for entry in run.ledger.entries(PassFinished) if entry.at > START]
    assert done.count(("collect", "recalibrate")) == 10
    said = {entry.fact.outcome for entry in run.ledger.entries(ActionFinished) if entry.fact.verb == "recalibrate"}
    assert said == {"done"}
    generation = run.ledger.count(ReleaseMoved) + len(facts)
    assert generation_of(run.ledger) == run.serving.generation() == generation
    assert wanted_routes(run.system, run.ledger, generation, TEN_DAYS).offset == facts[-1].offset


def test_what_was_answered_is_the_models_score_shifted_by_what_was_in_force(run: Run) -> None:
    answers = run.serving.predictions(START, TEN_DAYS + timedelta(hours=1)).join(fitted(run), on="id")
    changes = [(entry.at, entry.fact.offset) for entry in run.ledger.entries(Recalibrated)]
    for at, score, own in answers.select("at", "score", "fitted").iter_rows():
        offset = next((offset for since, offset in reversed(changes) if since < at), 0.0)
        assert score == pytest.approx(float(shifted(np.array([own]), offset)[0]), abs=1e-6)
    told = as_fitted(run.ledger, answers)
    np.testing.assert_allclose(told["score"], told["fitted"], atol=1e-6)
    assert (answers["score"] - answers["fitted"]).abs().max() > 0.005  # type: ignore[operator]


def test_a_policy_that_shifts_no_more_takes_the_shift_back(run: Run) -> None:
    plain = msgspec.structs.replace(run.system, policy=msgspec.structs.replace(run.system.policy, recalibrate=None))
    for part in (run.loop, run.observer, run.actor):
        name = "_system" if part is run.loop else "system"
        setattr(part, name, plain)
    generation = run.serving.generation()
    passes = run.loop.settle(TEN_DAYS + timedelta(minutes=1))
    assert passes[0].actions == ("collect", "recalibrate")
    assert offset_in_force(run.ledger) == 0.0
    assert run.serving.generation() == generation + 1
    again = run.loop.settle(TEN_DAYS + timedelta(minutes=2))
    assert again[0].actions == ("collect",)


def test_only_truth_that_is_known_counts(run: Run) -> None:
    early = START + timedelta(days=5)
    found = newest_truth(run.system, run.ledger, run.serving, early)
    known = run.serving.predictions(START, early).filter(pl.col("truth_at") <= early)
    assert found.rows == known.height > 0
    late = newest_truth(run.system, run.ledger, run.serving, TEN_DAYS)
    assert late.rows > found.rows


def test_what_was_rolled_back_asks_for_nothing(run: Run) -> None:
    before = newest_truth(run.system, run.ledger, run.serving, TEN_DAYS)
    assert before.rows > 0
    live = next(iter(run.ledger.entries(ReleaseMoved))).fact
    undone = ReleaseMoved(release=live.release, model=live.model, source="live", to="rolled_back", why="a test")
    run.ledger.append(f"release:{live.release}:rolled_back:1", undone, at=TEN_DAYS)
    after = newest_truth(run.system, run.ledger, run.serving, TEN_DAYS)
    assert (after.offset, after.rows) == (0.0, 0)


def test_without_a_live_model_there_is_nothing_to_shift() -> None:
    policy = msgspec.structs.replace(POLICY, recalibrate=DAY)

    def first(**known: object) -> tuple[str, ...]:
        observation = msgspec.structs.replace(seen(**known), turn=1)  # type: ignore[arg-type]
        return tuple(a.verb for a in make_plan(observation, diagnose(observation, policy), policy).actions)

    assert first(live=LIVE) == ("collect", "recalibrate")
    assert first(live=None) == ("collect",)
    assert NOW > START
