"""The page of a search: what stands where on the pictures, and what is said of trials that do not go on."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.console.trials.search_charts import place, places
from trimtab.console.trials.search_page import SearchReport, search_page
from trimtab.records.studies import SearchFinished, TrialFinished
from trimtab.training.search.importance import importance
from trimtab.training.spec import Dimension, SearchSpec

RATE = Dimension(name="rate", low=0.001, high=1.0, log=True)
DEPTH = Dimension(name="depth", low=2, high=10, integer=True)
KIND = Dimension(name="kind", choices=("a", "b", "<c>"))
OBJECTIVES = ("quality.roc_auc", "resources.model_size")


@given(st.floats(0.001, 1.0), st.floats(0.001, 1.0))
def test_a_value_stands_by_its_logarithm(one: float, other: float) -> None:
    first, second = (place(RATE, {"rate": value}) for value in (one, other))
    assert 0 <= first <= 1
    assert (first <= second) == (one <= other) or abs(first - second) < 1e-12
    assert place(RATE, {"rate": 0.001}) == 0
    assert place(RATE, {"rate": 1.0}) == 1


def test_choices_stand_apart_and_ends_are_named() -> None:
    assert [place(KIND, {"kind": choice}) for choice in KIND.choices] == [0.0, 0.5, 1.0]
    assert [label for _, label in places(DEPTH)] == ["2", "6", "10"]
    assert [share for share, _ in places(RATE)] == pytest.approx([0, 0.5, 1])


def trials(count: int = 20) -> tuple[TrialFinished, ...]:
    dice = np.random.default_rng(3)
    found = []
    for number in range(count):
        rate, depth = float(10 ** dice.uniform(-3, 0)), int(dice.integers(2, 11))
        quality = 0.8 - 0.05 * (np.log10(rate) + 1.5) ** 2
        figures = {"quality.roc_auc": float(quality), "resources.model_size": 1000.0 * depth}
        found.append(
            TrialFinished(
                search="5ea4c4",
                number=number,
                params={"rate": rate, "depth": depth, "kind": str(dice.choice(["a", "b", "<c>"]))},
                model=f"m{number}" if number % 7 else "",
                figures=figures if number % 7 else {},
                broken={"resources.model_size": 0.25} if number % 5 == 0 else {},
                given_up=number == 11,
                why="" if number % 7 else "the training was ended: out of <memory>",
            )
        )
    return tuple(found)


def page(objectives: tuple[str, ...] = OBJECTIVES) -> str:
    known = trials()
    fact = SearchFinished(
        search="5ea4c4", declared="d", objectives=objectives, trials=len(known), feasible=9, front=(3, 6), chosen=3,
        params=known[3].params, figures=known[3].figures, stopped="20 trials were run",
    )  # fmt: skip
    spec = SearchSpec(space=(RATE, DEPTH, KIND), objectives=objectives)
    return search_page(
        SearchReport(system="flights", spec=spec, at=datetime(2013, 6, 1, tzinfo=UTC), fact=fact, trials=known)
    )


@pytest.mark.parametrize("objectives", [OBJECTIVES, OBJECTIVES[:1]])
def test_every_trial_is_on_the_page_with_what_became_of_it(objectives: tuple[str, ...]) -> None:
    text = page(objectives)
    assert text.count('<td class="d"><i class="dot trial-') == 20
    assert text.count("dot trial-chosen") == 1
    assert "resources.model_size by 25%" in text
    assert "out of &lt;memory&gt;" in text
    assert "<c>" not in text
    drawn = re.findall(r'class="trial (\w[\w-]*)"', text.split("</section>")[2])
    assert {"chosen", "front", "broken"} <= set(drawn)


def test_what_it_depends_on_is_found() -> None:
    measured = [(t.params, t.figures["quality.roc_auc"]) for t in trials(60) if t.figures]
    shares = importance((RATE, DEPTH, KIND), measured)
    assert next(iter(shares)) == "rate"
    assert sum(shares.values()) == pytest.approx(1)
    assert importance((RATE, DEPTH), measured[:5]) == {}
    assert importance((RATE,), measured) == {}
