"""What samplers are told and ask for; excess over limits; grids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.training.search.sampling import Sampler, excess, grid
from trimtab.training.spec import Dimension, SearchSpec

X = Dimension(name="x", low=0.01, high=1.0, log=True)
N = Dimension(name="n", low=1, high=9, integer=True)
KIND = Dimension(name="kind", choices=("a", "b"))


def spec(*space: Dimension, sampler: str = "tpe", objectives: int = 1) -> SearchSpec:
    return SearchSpec(space=space, objectives=tuple("abc"[:objectives]), sampler=sampler)


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_what_is_asked_lies_in_the_space_and_is_the_same_for_the_same_seed(sampler: str) -> None:
    def asked(before: int) -> list[dict]:
        found, made = [], Sampler(spec(X, N, sampler=sampler), seed=3, before=before)
        for number in range(12):
            ticket, params = made.ask(number)
            assert 0.01 <= params["x"] <= 1.0
            assert params["n"] in range(1, 10)
            made.tell(ticket, [params["x"]], {})
            found.append(params)
        return found

    assert asked(0) == asked(0)
    assert asked(0) != asked(5), "a search that goes on does not ask for the same ones again"


def test_tpe_goes_where_figures_are_high_and_requirements_hold() -> None:
    made = Sampler(spec(X, KIND), seed=1, before=0)
    late = []
    for number in range(60):
        ticket, params = made.ask(number)
        made.tell(ticket, [params["x"]], {"slow": 1.0 if params["kind"] == "b" else 0.0})
        if number >= 40:
            late.append(params)
    assert sum(p["kind"] == "a" for p in late) >= 15
    assert sorted(p["x"] for p in late)[len(late) // 2] > 0.5


def test_what_was_tried_before_is_learned_from() -> None:
    made = Sampler(spec(X), seed=1, before=30)
    for i in range(30):
        x = 0.01 * 100 ** (i / 29)
        made.restore({"x": x}, [-abs(x - 0.3)], {})
    made.restore({"x": 0.5}, None, {"trained": 1.0})
    asked = sorted(made.ask(30 + i)[1]["x"] for i in range(15))
    assert 0.15 < asked[7] < 0.6


def test_a_trial_without_a_model_and_several_objectives_can_be_told() -> None:
    made = Sampler(spec(X, KIND, objectives=2), seed=1, before=0)
    ticket, _ = made.ask(0)
    made.tell(ticket, None, {"trained": 1.0})
    ticket, _ = made.ask(1)
    made.tell(ticket, [1.0, -2.0], {})
    assert made.most is None


def test_a_grid_has_every_combination_once() -> None:
    space = (KIND, Dimension(name="n", choices=(1, 2, 3)))
    every = grid(space)
    assert len(every) == 6
    assert every[0] == {"kind": "a", "n": 1}
    assert len({tuple(each.items()) for each in every}) == 6
    made = Sampler(spec(*space, sampler="grid"), seed=0, before=0)
    assert made.most == 6
    assert made.ask(5)[1] == {"kind": "b", "n": 3}


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_excess_is_zero_exactly_where_a_limit_holds(figure: float, limit: float) -> None:
    assert (excess(figure, ">=", limit) == 0.0) == (figure >= limit)
    assert (excess(figure, "<=", limit) == 0.0) == (figure <= limit)
    assert excess(None, ">=", limit) == 1.0
