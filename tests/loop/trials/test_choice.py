"""The rule by which one trial goes on, and why each of the others does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.loop.trials.choice import choose
from trimtab.measures.comparison.paired import Paired
from trimtab.records.studies import TrialFinished
from trimtab.training.spec import SearchSpec

AUC, SIZE = "quality.roc_auc", "resources.model_size"
SPEC = SearchSpec(space=(), objectives=(AUC,))
TWO = SearchSpec(space=(), objectives=(AUC, SIZE))
SIMPLEST = SearchSpec(space=(), objectives=(AUC,), choose="simplest")


def trial(number: int, auc: float, size: float, **changes) -> TrialFinished:
    told = {"broken": {}, "given_up": False, "why": "", "figures": {AUC: auc, SIZE: size}, **changes}
    return TrialFinished(search="s", number=number, params={}, model=f"m{number}", **told)


def nothing(best: TrialFinished, other: TrialFinished) -> Paired | None:
    raise AssertionError("the best needs no comparison")


def with_error(error: float):
    """Compares by the figures, with one standard error for all."""

    def compare(best: TrialFinished, other: TrialFinished) -> Paired:
        gap = other.figures[AUC] - best.figures[AUC]
        return Paired(
            difference=gap,
            low=gap - 2 * error,
            high=gap + 2 * error,
            rows=100,
            verdict="no_difference",
            smallest_detectable=None,
            error=error,
        )

    return compare


TRIALS = [
    trial(0, 0.70, 10.0),
    trial(1, 0.80, 50.0),
    trial(2, 0.79, 20.0),
    trial(3, 0.90, 5.0, broken={"serving.latency_p95": 0.5}),
    trial(4, 0.60, 1.0, given_up=True, why="behind after 120 of the rows"),
    trial(5, 0.0, 0.0, figures={}, why="train() raised ValueError"),
]


def test_the_best_that_holds_everything_goes_on() -> None:
    found = choose(SPEC, TRIALS, nothing)
    assert found.chosen is TRIALS[1]
    assert [t.number for t in found.front] == [1]
    assert found.passed_over == {
        "0": "trial 1 is as good or better in every objective",
        "2": "trial 1 is as good or better in every objective",
        "3": "misses serving.latency_p95",
        "4": "behind after 120 of the rows",
        "5": "train() raised ValueError",
    }


def test_of_a_front_the_best_in_the_objective_named_first() -> None:
    found = choose(TWO, TRIALS, nothing)
    assert [t.number for t in found.front] == [1, 2, 0]
    assert found.chosen is TRIALS[1]
    assert found.passed_over["2"] == "on the front, but quality.roc_auc is 0.79 against 0.8"


def test_the_simplest_of_those_within_one_standard_error() -> None:
    close = choose(SIMPLEST, TRIALS, with_error(0.02))
    assert close.chosen is TRIALS[2]
    assert "no further ahead than chance" in close.passed_over["1"]
    assert "20" in close.passed_over["1"]
    assert close.passed_over["0"] == "quality.roc_auc is 0.1 behind trial 1, more than one standard error (0.02)"
    assert choose(SIMPLEST, TRIALS, with_error(0.2)).chosen is TRIALS[0]
    assert choose(SIMPLEST, TRIALS, with_error(0.001)).chosen is TRIALS[1]
    assert choose(SIMPLEST, TRIALS, lambda *_: None).chosen is TRIALS[1], "what cannot be compared is not level"


def test_without_one_that_holds_everything_none_goes_on() -> None:
    found = choose(SPEC, TRIALS[3:], nothing)
    assert found.chosen is None
    assert set(found.passed_over) == {"3", "4", "5"}


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.booleans()), max_size=12),
    st.sampled_from([SPEC, TWO, SIMPLEST]),
)
def test_whatever_is_chosen_holds_everything_and_each_other_one_is_told_why(rows, spec: SearchSpec) -> None:
    trials = [trial(i, a / 10, s, broken={} if ok else {"x": 1.0}) for i, (a, s, ok) in enumerate(rows)]
    found = choose(spec, trials, with_error(0.15))
    feasible = [t for t in trials if t.feasible]
    assert (found.chosen is None) == (not feasible)
    assert len(found.passed_over) == len(trials) - (found.chosen is not None)
    if found.chosen is not None:
        assert found.chosen.feasible
        assert str(found.chosen.number) not in found.passed_over
        best = max(t.figures[AUC] for t in feasible)
        assert found.chosen.figures[AUC] >= best - (0.15 + 1e-9) * (spec.choose == "simplest")
