"""`[[experiments]]` and `[model.search]`: what is understood, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.declaration.load import load, parse
from trimtab.declaration.tables.experiments import parse_expectation
from trimtab.errors import DeclarationError
from trimtab.experiments.spec import Change
from trimtab.records.requirement import Value

BAKERY = Path(__file__).parent.parent / "systems" / "bakery" / "trimtab.toml"
GOOD = """
[[experiments]]
name = "sun"
hypothesis = "The sun sells bread"
baseline = { leave_out = ["weather"] }
change = { add = ["weather"], params = { trees = 30 }, window = "20 d" }
expect = "quality.roc_auc >= baseline + 0.02"
folds = 3
seeds = 1
cluster = "shop"
level = "10%"
"""


def test_an_experiment_is_understood() -> None:
    system = parse(BAKERY.read_text() + GOOD, BAKERY)
    (found,) = system.experiments
    assert (found.name, found.folds, found.seeds, found.cluster, found.level) == ("sun", 3, 1, "shop", 0.1)
    assert found.baseline == Change(leave_out=("weather",))
    assert found.change == Change(add=("weather",), params={"trees": 30}, window=20 * 86400.0)
    assert (found.expect.metric, found.expect.comparison, found.expect.margin) == ("quality.roc_auc", ">=", 0.02)
    assert system.digest == load(BAKERY).digest, "an experiment changes nothing about what must hold"


@pytest.mark.parametrize(
    ("text", "margin", "comparison"),
    [
        ("quality.log_loss <= baseline - 0.01", -0.01, "<="),
        ("quality.log_loss<=baseline-0.01", -0.01, "<="),
        ("value.per_1000 >= baseline + 20 EUR", 20.0, ">="),
        ("quality.accuracy >= baseline + 2%", 0.02, ">="),
        ("quality.accuracy >= baseline", 0.0, ">="),
    ],
)
def test_expectations(text: str, margin: float, comparison: str) -> None:
    found = parse_expectation(text, "binary_classification", Value(currency="EUR", true_positive=1.0))
    assert (found.margin, found.comparison) == (pytest.approx(margin), comparison)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("quality.roc_auk >= baseline", 'did you mean "quality.roc_auc"'),
        ("quality.rmse >= baseline", "is not measured for binary_classification"),
        ("data.freshness <= baseline", "is not measured for binary_classification"),
        ("quality.roc_auc > 0.5", "cannot read"),
        ("value.per_1000 >= baseline + 20 USD", "EUR"),
        ("quality.roc_auc >= baseline + 2 ms", "ms"),
    ],
)
def test_expectations_that_cannot_be_resolved(text: str, says: str) -> None:
    with pytest.raises(DeclarationError, match=says) as raised:
        parse_expectation(text, "binary_classification", Value(currency="EUR", true_positive=1.0))
    assert raised.value.hint


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("trees = 30", "treees = 30", 'did you mean "trees"'),
        ('leave_out = ["weather"]', 'leave_out = ["wether"]', 'did you mean "weather"'),
        ('add = ["weather"], params = { trees = 30 }, window = "20 d"', "", "changes nothing"),
        ('name = "sun"', "", "name is missing"),
        ("folds = 3", "folds = 0", "a whole number from 1"),
        ('level = "10%"', "level = 0.9", "above 0 and at most 0.5"),
        ('add = ["weather"],', 'add = ["weather"], code = "modle.py",', 'did you mean "model.py"'),
        ("seeds = 1", "seedz = 1", 'did you mean "seeds"'),
        ('add = ["weather"]', 'add = ["weather"], inputs = ["sun"]', "nothing can be added or left out"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(DeclarationError) as raised:
        parse(BAKERY.read_text() + GOOD.replace(old, new), BAKERY)
    assert says in str(raised.value)
    assert raised.value.line > len(BAKERY.read_text().splitlines())


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(DeclarationError, match='"sun" is declared twice'):
        parse(BAKERY.read_text() + GOOD + GOOD, BAKERY)


SEARCH = """
[model.search]
space = { trees = [10, 60] }
objective = ["quality.roc_auc", "resources.model_size"]
trials = 7
"""


def test_a_search_is_understood() -> None:
    system = parse(BAKERY.read_text() + SEARCH, BAKERY)
    found = system.model.search
    assert found is not None
    (trees,) = found.space
    assert (trees.name, trees.low, trees.high, trees.integer, trees.log) == ("trees", 10.0, 60.0, True, False)
    assert (found.trials, found.sampler, found.objectives) == (7, "tpe", ("quality.roc_auc", "resources.model_size"))
    assert system.digest == load(BAKERY).digest


def test_what_a_search_measures_where_and_by_what_rule_it_chooses_is_understood() -> None:
    said = """
[model.search]
space = { trees = [10, 60] }
among = { code = ["model.py"], window = ["12 d", "all"], seed = [0, 1] }
objective = "serving.latency_p95"
prune = "hyperband"
shares = [0.3, 0.1]
connections = 8
choose = "simplest"
cheapest = "resources.memory"
"""
    found = parse(BAKERY.read_text() + said, BAKERY).model.search
    assert found is not None
    assert {d.name: d.choices for d in found.space if d.choices} == {
        "model.code": ("model.py",),
        "model.window": (12 * 86400.0, 0.0),
        "model.seed": (0, 1),
    }
    assert (found.prune, found.shares, found.connections) == ("hyperband", (0.1, 0.3), 8)
    assert (found.choose, found.cheapest, found.objectives) == (
        "simplest",
        "resources.memory",
        ("serving.latency_p95",),
    )
    plain = parse(BAKERY.read_text() + SEARCH.replace("trials = 7", 'prune = "none"'), BAKERY).model.search
    assert plain is not None
    assert plain.prune == "none"
    with pytest.raises(DeclarationError, match="nothing to give a trial up after"):
        parse(BAKERY.read_text() + said.replace("shares = [0.3, 0.1]", ""), BAKERY)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("trees = [10, 60]", "treees = [10, 60]", 'did you mean "trees"'),
        ("trees = [10, 60]", "trees = [60, 10]", "says no range and no choices"),
        ("trees = [10, 60]", 'trees = [0, 10, "log"]', "says no range and no choices"),
        ("trees = [10, 60]", "trees = { choices = [] }", "says no range and no choices"),
        ("{ trees = [10, 60] }", "{}", "names no hyper-parameter"),
        ("quality.roc_auc", "quality.roc", "is not measured of a trial"),
        ("quality.roc_auc", "serving.error_rate", "is not measured of a trial"),
        ("trials = 7", 'sampler = "cmaes"', "one objective and numbers only"),
        ("trials = 7", 'sampler = "grid"', "a grid needs choices"),
        ("trials = 7", "trails = 7", 'did you mean "trials"'),
        ("trials = 7", 'prune = "halving"', "there are several"),
        ("trials = 7", "shares = [0.1, 1.5]", "parts of the training rows, above 0 and below 1"),
        ("trials = 7", "shares = []", "parts of the training rows, above 0 and below 1"),
        ("trials = 7", "connections = 0", "a whole number from 1 to 256"),
        ("trials = 7", 'choose = "prettiest"', 'value "prettiest"'),
        ("trials = 7", 'cheapest = "resources.model_size"', 'write choose = "simplest"'),
        ("trials = 7", 'choose = "simplest"\ncheapest = "serving.latency"', "is not measured of a trial"),
        ("trials = 7", 'among = { trees = ["a"] }', "is no setting that candidates may differ in"),
        ("trials = 7", 'among = { code = ["nowhere.py"] }', "nowhere.py"),
        ("trials = 7", 'among = { window = ["soon"] }', "soon"),
        ("trials = 7", "among = { seed = [-1] }", "names no choices that fit"),
        ("trials = 7", 'sampler = "cmaes"\namong = { seed = [1, 2] }', "one objective and numbers only"),
    ],
)
def test_what_is_wrong_with_a_search_is_named(old: str, new: str, says: str) -> None:
    assert old in SEARCH
    with pytest.raises(DeclarationError) as raised:
        parse(BAKERY.read_text() + SEARCH.replace(old, new), BAKERY)
    assert says in str(raised.value)
