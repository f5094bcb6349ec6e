"""Searches on the bakery: trials within the requirements, resumed, stopped, and taken over by the loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.loop.conftest import Make, Run

from trimtab.declaration.load import parse
from trimtab.declaration.requirements.grammar import Context, parse_requirement
from trimtab.errors import PermanentError
from trimtab.loop.ports import Bench
from trimtab.loop.trials.search import run_search, trials_of
from trimtab.loop.trials.tuned import tuned
from trimtab.records.blobs import Blobs
from trimtab.records.requirement import Estimate, Requirement
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


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "random", "grid"])
def test_every_sampler_is_reached_from_the_declaration(make: Make, tmp_path: Path, sampler: str) -> None:
    run = make()
    space = "trees = { choices = [2, 5] }" if sampler == "grid" else "trees = [2, 6]"
    said = f'''
[model.search]
space = {{ {space} }}
objective = "quality.roc_auc"
trials = 2
sampler = "{sampler}"
'''
    declared = parse(Path(run.system.path).read_text() + said, Path(run.system.path))
    assert declared.model.search is not None
    fact = searched(run, declared.model.search, tmp_path / "work", requirements=())
    trials = trials_of(run.ledger, fact.search)
    assert len(trials) == 2
    assert all(trial.figures for trial in trials)
    assert {trial.params["trees"] for trial in trials[1:]} <= {2, 3, 4, 5, 6}
    assert fact.rule == "the best quality.roc_auc"
    assert isinstance(fact.passed_over, dict)
    assert set(fact.passed_over) == {"0", "1"} - {str(fact.chosen)}


def test_two_trials_run_at_once_and_are_measured_alone(make: Make, tmp_path: Path) -> None:
    run = make()
    quiet, at_once, measured = Counter[str](), [0], []

    class Watched(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            quiet["training"] += 1
            at_once[0] = max(at_once[0], quiet["training"])
            try:
                return super().train(*args, **kwargs)
            finally:
                quiet["training"] -= 1

    class Fixed:
        def measure(self, name: str, bundle: object, rows: object) -> dict[str, Estimate]:
            measured.append(quiet["training"])
            return {"serving.latency_p95": Estimate(figure=0.002, rows=400)}

    model = msgspec.structs.replace(run.system.model, search=msgspec.structs.replace(TREES, trials=3, workers=2))
    fact = run_search(
        msgspec.structs.replace(run.system, model=model, requirements=(required("serving.latency_p95", "<= 5 ms"),)),
        datasets=run.datasets,
        now=run.span.end,
        ledger=run.ledger,
        blobs=run.blobs,
        trainer=lambda: Watched(Blobs(tmp_path / "blobs"), tmp_path / "work"),
        bench=Fixed,
        tell=lambda *_: None,
    )
    assert at_once[0] == 2
    assert measured == [0] * 3, "nothing is trained while something is measured"
    assert fact.feasible == 3


def test_a_trial_that_is_too_slow_or_cannot_be_served_is_infeasible(make: Make, tmp_path: Path) -> None:
    run = make()
    answers = iter([0.002, 0.02, None])

    class Bench3:
        def measure(self, name: str, bundle: object, rows: object) -> dict[str, Estimate]:
            figure = next(answers)
            if figure is None:
                raise PermanentError("it cannot be served: no memory", hint="less of it")
            return {"serving.latency_p95": Estimate(figure=figure, rows=400)}

    needs = (required("serving.latency_p95", "<= 5 ms"), required("resources.model_size", "<= 1 GiB"))
    spec = msgspec.structs.replace(TREES, trials=3)
    fact = searched(run, spec, tmp_path / "work", bench=Bench3, requirements=needs)
    trials = trials_of(run.ledger, fact.search)
    assert trials[0].broken == {}
    assert trials[0].figures["serving.latency_p95"] == 0.002
    assert trials[1].broken == {"serving.latency_p95": pytest.approx(3.0)}
    assert trials[2].broken == {"served": 1.0}
    assert "no memory" in trials[2].why
    assert fact.chosen == 0
    assert isinstance(fact.passed_over, dict)
    assert fact.passed_over["1"] == "misses serving.latency_p95"


def test_who_is_behind_on_few_rows_is_not_fitted_on_all(make: Make, tmp_path: Path) -> None:
    run = make()
    spec = SearchSpec(
        space=(Dimension(name="trees", choices=(30, 1)),),
        objectives=("quality.roc_auc",),
        trials=3,
        sampler="grid",
        prune="halving",
        shares=(0.3,),
    )
    fact = searched(run, spec, tmp_path / "work", requirements=())
    trials = trials_of(run.ledger, fact.search)
    behind = [trial for trial in trials if trial.given_up]
    assert behind
    assert not trials[0].given_up
    for trial in trials:
        assert isinstance(trial.rungs, tuple)
        assert len(trial.rungs) == (1 if trial.given_up else 2)
        assert trial.feasible != trial.given_up
    assert all(trial.why.endswith("of the rows") for trial in behind)
    assert fact.chosen not in {trial.number for trial in behind}
    assert searched(run, spec, tmp_path / "work", requirements=()) == fact, "told to the sampler again, nothing is run"


def test_other_code_windows_and_seeds_are_candidates_too(make: Make, tmp_path: Path) -> None:
    run = make(own=True)
    other = Path(run.system.folder, "guess.py")
    other.write_text(Path(run.system.folder, "model.py").read_text().replace("max_depth=3", "max_depth=1"))
    said = """
[model.search]
among = { code = ["model.py", "guess.py"], window = ["12 d"] }
objective = "quality.roc_auc"
sampler = "grid"
choose = "simplest"
"""
    declared = parse(Path(run.system.path).read_text() + said, Path(run.system.path))
    assert declared.model.search is not None
    fact = searched(run, declared.model.search, tmp_path / "work", requirements=())
    trials = trials_of(run.ledger, fact.search)
    assert len(trials) == 3
    assert trials[0].params == {"model.code": "model.py", "model.window": 0.0}
    assert len({trial.model for trial in trials}) == 3
    chosen = tuned(declared, run.ledger)
    assert chosen.model.code == fact.params["model.code"]
    assert chosen.model.window == (fact.params["model.window"] or None)
    assert chosen.model.params == declared.model.params
    assert "resources.model_size" in fact.figures
    best = msgspec.structs.replace(declared.model.search, choose="best")
    again = searched(run, best, tmp_path / "work", requirements=())
    assert again.search == fact.search, "another rule chooses among the same trials"
    assert again.rule != fact.rule
    assert len(list(run.ledger.entries(TrialFinished))) == 3
