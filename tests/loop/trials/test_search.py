"""Searches on the bakery: trials within the requirements, resumed, stopped, and taken over by the loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.loop.conftest import Make, Run

from trimtab.declaration.grammar import Context, parse_requirement
from trimtab.errors import PermanentError
from trimtab.loop.ports import Bench
from trimtab.loop.trials.search import run_search, trials_of
from trimtab.loop.trials.tuned import tuned
from trimtab.records.requirement import Requirement
from trimtab.records.studies import SearchFinished, TrialFinished
from trimtab.training.spec import Dimension, SearchSpec
from trimtab.training.trainer import Trainer

TREES = SearchSpec(
    space=(Dimension(name="trees", low=2, high=60, integer=True),),
    objectives=("quality.roc_auc",),
    trials=4,
    sampler="random",
)


def no_server() -> Bench:
    raise AssertionError("nothing is required of the server")


def searched(
    run: Run, search: SearchSpec, work: Path, bench: Callable[[], Bench] = no_server, **changes: Any
) -> SearchFinished:
    model = msgspec.structs.replace(run.system.model, search=search)
    system = msgspec.structs.replace(run.system, model=model, **changes)
    return run_search(
        system,
        datasets=run.datasets,
        now=run.span.end,
        ledger=run.ledger,
        blobs=run.blobs,
        trainer=lambda: Trainer(run.blobs, work),
        bench=bench,
        tell=lambda *_: None,
    )


def required(name: str, limit: str) -> Requirement:
    return parse_requirement(name, limit, Context(task="binary_classification", currency="EUR", explain_time=0.1))


def test_the_best_feasible_trial_is_chosen_and_the_loop_trains_with_it(make: Make, tmp_path: Path) -> None:
    run = make()
    fact = searched(run, TREES, tmp_path / "work", requirements=())
    trials = trials_of(run.ledger, fact.search)
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert trials[0].params == {"trees": 25}
    best = max(trials, key=lambda t: t.figures["quality.roc_auc"])
    assert fact.params == best.params
    assert fact.front == (best.number,)
    system = msgspec.structs.replace(run.system, model=msgspec.structs.replace(run.system.model, search=TREES))
    assert tuned(system, run.ledger).model.params == best.params
    other = msgspec.structs.replace(TREES, objectives=("quality.log_loss",))
    unlike = msgspec.structs.replace(run.system, model=msgspec.structs.replace(run.system.model, search=other))
    assert tuned(unlike, run.ledger).model.params == {"trees": 25}, "another search has not been run"
    assert tuned(run.system, run.ledger) is run.system


def test_a_search_goes_on_where_it_was(make: Make, tmp_path: Path) -> None:
    run = make()
    two = searched(run, msgspec.structs.replace(TREES, trials=2), tmp_path / "work", requirements=())
    four = searched(run, TREES, tmp_path / "work", requirements=())
    assert two.search == four.search
    assert four.trials == 4
    params = [trial.params["trees"] for trial in trials_of(run.ledger, four.search)]
    assert params[:2] == [trial.params["trees"] for trial in trials_of(run.ledger, two.search)][:2]
    entries = len(list(run.ledger.entries(TrialFinished)))
    assert searched(run, TREES, tmp_path / "work", requirements=()) == four
    assert len(list(run.ledger.entries(TrialFinished))) == entries == 4


def test_a_trial_that_misses_a_requirement_is_never_chosen(make: Make, tmp_path: Path) -> None:
    run = make()
    small = searched(
        run,
        msgspec.structs.replace(TREES, objectives=("quality.roc_auc", "resources.model_size"), trials=6, workers=2),
        tmp_path / "work",
        requirements=(required("resources.model_size", "<= 12 KiB"),),
    )
    trials = {trial.number: trial for trial in trials_of(run.ledger, small.search)}
    assert any("resources.model_size" in trial.broken for trial in trials.values())
    for trial in trials.values():
        assert ("resources.model_size" in trial.broken) == (trial.figures["resources.model_size"] > 12 * 1024)
    assert small.chosen is not None
    assert all(trials[number].feasible for number in small.front)
    for number in small.front:
        mine = trials[number].figures
        for other in trials.values():
            if other.feasible and other.number not in small.front:
                continue
            better = other.figures["quality.roc_auc"] > mine["quality.roc_auc"]
            smaller = other.figures["resources.model_size"] < mine["resources.model_size"]
            assert not (other.feasible and better and smaller)

    none = searched(run, TREES, tmp_path / "work", requirements=(required("quality.roc_auc", ">= 0.9999"),))
    assert none.chosen is None
    assert "the nearest one misses quality.roc_auc" in none.stopped
    declared = msgspec.structs.replace(run.system, model=msgspec.structs.replace(run.system.model, search=TREES))
    assert tuned(declared, run.ledger).model.params == {"trees": 25}


def test_it_stops_when_another_trial_cannot_pay(make: Make, tmp_path: Path) -> None:
    run = make()
    assert run.system.value is not None
    dear = msgspec.structs.replace(run.system.value, per_training_minute=-1e9)
    many = msgspec.structs.replace(TREES, objectives=("value.per_1000",), trials=500)
    fact = searched(run, many, tmp_path / "work", requirements=(), value=dear)
    assert fact.trials == 10
    assert fact.stopped.startswith("another trial costs")


def test_what_cannot_be_trained_is_told_and_the_rest_goes_on(make: Make, tmp_path: Path) -> None:
    begins = "def train(train, valid, params):"
    fails = f"{begins}\n    if params['trees'] > 30:\n        raise ValueError('too many trees')"
    run = make(edits=[("model.py", begins, fails)])
    grid = SearchSpec(
        space=(Dimension(name="trees", choices=(10, 40)),), objectives=("quality.roc_auc",), trials=9, sampler="grid"
    )
    fact = searched(run, grid, tmp_path / "work", requirements=())
    trials = trials_of(run.ledger, fact.search)
    assert [bool(trial.model) for trial in trials] == [True, True, False]
    assert "too many trees" in trials[2].why
    assert fact.stopped == "all 3 combinations were tried"


def test_without_a_search_it_says_what_to_write(make: Make, tmp_path: Path) -> None:
    run = make()
    with pytest.raises(PermanentError, match="no search is declared"):
        run_search(
            run.system,
            datasets=run.datasets,
            now=run.span.end,
            ledger=run.ledger,
            blobs=run.blobs,
            trainer=lambda: Trainer(run.blobs, tmp_path),
            bench=no_server,
            tell=lambda *_: None,
        )
