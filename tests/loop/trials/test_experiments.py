"""Experiments on the bakery: a view that matters, one that does not, and the same answer when asked again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from tests.loop.conftest import Make, Run

from trimtab.errors import DeclarationError, PermanentError
from trimtab.experiments.spec import Change, Expectation, ExperimentSpec
from trimtab.loop.trials.experiments import run_experiment
from trimtab.records.studies import ExperimentFinished
from trimtab.training.trainer import Trainer

FLOUR = ExperimentSpec(
    name="flour",
    hypothesis="How much flour there is raises the area under the ROC curve",
    expect=Expectation(
        metric="quality.roc_auc", comparison=">=", margin=0.02, text="quality.roc_auc >= baseline + 0.02"
    ),
    baseline=Change(leave_out=("flour",)),
    change=Change(add=("flour",)),
    folds=2,
    seeds=2,
)


def ran(run: Run, spec: ExperimentSpec, work: Path) -> tuple[ExperimentFinished, bool, list[str]]:
    told: list[str] = []
    system = msgspec.structs.replace(run.system, experiments=(spec,))
    now: datetime = run.span.end
    with Trainer(run.blobs, work) as trainer:
        fact, before = run_experiment(
            spec,
            system=system,
            datasets=run.datasets,
            now=now,
            ledger=run.ledger,
            blobs=run.blobs,
            trainer=trainer,
            tell=lambda at, done, total: told.append(f"{at} {done}/{total}"),
        )
    return fact, before, told


def test_a_hypothesis_comes_to_a_verdict_with_its_evidence(make: Make, tmp_path: Path) -> None:
    run = make()
    fact, before, told = ran(run, FLOUR, tmp_path / "work")
    assert not before
    assert fact.changed_by == ("with flour",)
    assert fact.verdict == fact.rounds[-1].answer
    assert fact.low <= fact.difference <= fact.high
    assert fact.changed - fact.reference == pytest.approx(fact.difference)
    assert fact.rounds[0].level < fact.rounds[-1].level or len(fact.rounds) == 1
    assert told[-1].startswith("changed, seed")
    models = {name for each in fact.rounds for pair in each.models for name in pair}
    assert all(run.blobs.get_ref(f"model-{name}") for name in models)

    again, before, told = ran(run, FLOUR, tmp_path / "work")
    assert (again, before, told) == (fact, True, [])


def test_a_killed_experiment_goes_on_with_the_models_that_are_kept(make: Make, tmp_path: Path) -> None:
    first, _, _ = ran(make(), FLOUR, tmp_path / "work")
    models = [pair for each in first.rounds for pair in each.models]
    with_nothing_in_its_ledger = make()
    for name in models[0]:
        assert with_nothing_in_its_ledger.blobs.get_ref(f"model-{name}")
    again, before, _ = ran(with_nothing_in_its_ledger, FLOUR, tmp_path / "work")
    assert not before
    assert again == first


def test_an_effect_too_large_to_be_true_is_refuted_and_kept(make: Make, tmp_path: Path) -> None:
    run = make()
    bold = msgspec.structs.replace(
        FLOUR, name="bold", expect=msgspec.structs.replace(FLOUR.expect, margin=0.45, text="bold")
    )
    fact, _, _ = ran(run, bold, tmp_path / "work")
    assert fact.verdict == "refuted"
    assert fact.high < 0.45
    entry = run.ledger.last(ExperimentFinished, prefix="experiment:bold:")
    assert entry is not None
    assert entry.fact == fact


def test_the_same_arm_twice_is_no_different_and_seeds_that_say_nothing_are_not_repeated(
    make: Make, tmp_path: Path
) -> None:
    run = make()
    same = msgspec.structs.replace(
        FLOUR, name="same", change=Change(params={"trees": 25}), baseline=Change(), seeds=5, folds=1
    )
    fact, _, told = ran(run, same, tmp_path / "work")
    assert fact.difference == 0.0
    assert fact.verdict == "refuted"
    assert len(fact.rounds[0].models) in (2, 5)
    done, _, total = told[-1].rpartition(" ")[2].partition("/")
    assert int(done) == 2 * len(fact.rounds[0].models)
    assert int(total) == 10


def test_rows_may_move_together_by_a_column(make: Make, tmp_path: Path) -> None:
    run = make()
    fact, _, _ = ran(run, msgspec.structs.replace(FLOUR, name="shop", cluster="shop", folds=1), tmp_path / "work")
    assert fact.rounds[0].blocks == 4
    with pytest.raises(DeclarationError, match="no column 'shoe' to cluster by"):
        ran(run, msgspec.structs.replace(FLOUR, name="shoe", cluster="shoe", folds=1), tmp_path / "work")


def test_what_cannot_be_done_says_so(make: Make, tmp_path: Path) -> None:
    run = make()
    with pytest.raises(DeclarationError, match="names the input 'moon', which the rows do not have"):
        ran(run, msgspec.structs.replace(FLOUR, change=Change(add=("moon",))), tmp_path / "work")
    with pytest.raises(PermanentError, match="the reference arm cannot be trained"):
        run = make(edits=[("model.py", "def train(", "raise OSError('no oven')\n\ndef train(")])
        ran(run, FLOUR, tmp_path / "work")
