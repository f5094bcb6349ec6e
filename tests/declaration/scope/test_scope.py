"""The scope: worth by the formulas, against brute force; training cost; data volume; warnings."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trimtab.declaration.requirements.grammar import Context, parse_requirement
from trimtab.declaration.scope.effort import release_days, training_effort, volume
from trimtab.declaration.scope.expectation import expected_value
from trimtab.declaration.scope.scope import DataFacts, scope
from trimtab.declaration.system import Policy
from trimtab.declaration.tables.policy import parse_step, parse_trigger
from trimtab.records.requirement import Value
from trimtab.training.spec import ModelSpec

FLIGHTS = Value(true_positive=8.0, false_positive=-3.0, per_prediction=-0.0002)
MODEL = ModelSpec(code="model.py")
DAY = 86_400.0
money = st.floats(-20, 20).map(lambda x: round(x, 2))
shares = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 1.0])


def require(*lines, task="binary_classification"):
    return [parse_requirement(name, entry, Context(task=task, currency="USD")) for name, entry in lines]


def test_worth_of_flights():
    found = expected_value(FLIGHTS, "binary_classification", [], positive_rate=0.24)
    assert found.threshold == pytest.approx(3 / 11)
    assert found.perfect == pytest.approx(1000 * (0.24 * 8 - 0.0002))
    assert (found.best_constant, found.constant_answer) == (pytest.approx(-0.2), "always no")
    assert found.at_limits is None
    both = require(("quality.recall", ">= 0.5"), ("quality.precision", ">= 0.6"))
    limited = expected_value(FLIGHTS, "binary_classification", both, positive_rate=0.24)
    # At recall 0.5 and precision 0.6: 120 late flights found, 80 false alarms.
    assert limited.at_limits == pytest.approx(120 * 8 - 80 * 3 - 0.2)
    assert limited.limited_by == ("quality.recall", "quality.precision")


def test_always_yes_may_be_the_best_constant():
    found = expected_value(FLIGHTS, "binary_classification", [], positive_rate=0.5)
    assert (found.best_constant, found.constant_answer) == (pytest.approx(1000 * (4 - 1.5 - 0.0002)), "always yes")


def test_nothing_is_said_without_the_rate():
    found = expected_value(FLIGHTS, "binary_classification", [])
    assert found.threshold == pytest.approx(3 / 11)
    assert (found.perfect, found.best_constant, found.at_limits) == (None, None, None)


limits = st.lists(
    st.tuples(
        st.sampled_from(["quality.recall", "quality.precision", "quality.accuracy", "quality.f1"]),
        st.sampled_from([">=", "<="]),
        st.sampled_from([0.2, 0.5, 0.7, 0.9]),
    ),
    min_size=1,
    max_size=3,
)


@given(money, money, money, money, st.sampled_from([0.1, 0.25, 0.5, 0.9]), limits)
def test_the_least_worth_is_that_of_the_worst_allowed_model(tp, fp, tn, fn, p, wanted):
    value = Value(true_positive=tp, false_positive=fp, true_negative=tn, false_negative=fn)
    needed = require(*((name, f"{sign} {limit}") for name, sign, limit in wanted))
    found = expected_value(value, "binary_classification", needed, positive_rate=p)
    grid = [
        (x, y)
        for x in (p * step / 60 for step in range(61))
        for y in ((1 - p) * step / 60 for step in range(61))
        if all(holds(*requirement, x, y, p) for requirement in wanted)
    ]
    worths = [1000 * (x * tp + (p - x) * fn + y * fp + (1 - p - y) * tn) for x, y in grid]
    if not found.feasible:
        assert not worths
        return
    assume(worths)
    assert found.at_limits <= min(worths) + 1e-6
    # The corner lies within one cell of the grid from an allowed point, unless what is allowed is thinner than that.
    step = 1000 * (abs(tp - fn) * p + abs(fp - tn) * (1 - p)) / 60
    if len(grid) > 400:
        assert found.at_limits >= min(worths) - 4 * step


def holds(name, sign, limit, x, y, p):
    """The constraint multiplied out, so that no figure is undefined."""
    margin = {
        "quality.recall": x - limit * p,
        "quality.precision": x - limit * (x + y),
        "quality.accuracy": x + 1 - p - y - limit,
        "quality.f1": 2 * x - limit * (p + x + y),
    }[name]
    return margin >= -1e-12 if sign == ">=" else margin <= 1e-12


def test_impossible_combinations_are_seen():
    needed = require(("quality.recall", ">= 0.9"), ("quality.precision", ">= 0.9"), ("quality.accuracy", "<= 0.5"))
    assert not expected_value(FLIGHTS, "binary_classification", needed, positive_rate=0.2).feasible


def test_worth_of_classes_and_numbers():
    classes = Value(correct=2.0, wrong=-1.0, per_prediction=-0.1)
    needed = require(("quality.accuracy", ">= 0.8"), task="multiclass_classification")
    found = expected_value(classes, "multiclass_classification", needed, majority_rate=0.4)
    assert found.perfect == pytest.approx(1900)
    assert found.best_constant == pytest.approx(1000 * (0.4 * 2 - 0.6 - 0.1))
    assert found.at_limits == pytest.approx(1000 * (0.8 * 2 - 0.2 - 0.1))
    numbers = Value(absolute_error=-0.5)
    needed = require(("quality.mae", "<= 3"), ("quality.rmse", "<= 4"), task="regression")
    found = expected_value(numbers, "regression", needed, constant_error=10.0)
    assert (found.perfect, found.best_constant, found.at_limits) == (0.0, -5000.0, -1500.0)


def effort(*lines, cooldown=0.0, **facts):
    policy = Policy(retrain_on=tuple(map(parse_trigger, lines)), cooldown=cooldown)
    return training_effort(policy, MODEL, [], Value(per_training_minute=-0.05), **facts)


def test_training_cost():
    monthly = effort("schedule:30 d", last_minutes=2.0)
    assert monthly.per_year_least == monthly.per_year_most == pytest.approx(365.25 / 30)
    assert monthly.cost_per_year_least == pytest.approx(365.25 / 30 * 2 * 0.05)
    assert monthly.cost_per_month_most == pytest.approx(365.25 / 30 * 2 * 0.05 / 12)
    assert (monthly.minutes, monthly.minutes_from) == (2.0, "the last training")


def test_the_cooldown_bounds_trainings():
    assert effort("schedule:1 d", cooldown=10 * DAY).per_year_most == pytest.approx(36.525)
    drift = effort("data_drift", cooldown=10 * DAY)
    assert (drift.per_year_least, drift.per_year_most) == (0.0, pytest.approx(36.525))
    assert effort("data_drift").per_year_most is None
    assert effort("data_drift").cost_per_year_most is None
    both = effort("schedule:73.05 d", "new_rows:1000", rows_per_day=10)
    assert (both.per_year_least, both.per_year_most) == (pytest.approx(5.0), pytest.approx(8.6525))


@given(st.integers(1000, 100_000), st.floats(10, 1000), st.sampled_from([10, 50, 100]))
def test_growth_is_compounded(rows, per_day, percent):
    found = effort(f"new_rows:{percent}%", rows=rows, rows_per_day=per_day).per_year_least
    size, trainings = float(rows), 0
    while size * (1 + percent / 100) <= rows + per_day * 365.25:
        size *= 1 + percent / 100
        trainings += 1
    assert math.floor(found + 1e-9) == trainings


def test_no_policy_trains_no_more():
    none = effort()
    assert (none.per_year_least, none.per_year_most) == (0.0, 0.0)
    assert effort("new_rows:50%").per_year_most is None  # the rate of rows is not known


def test_the_length_of_a_training_is_bounded_by_what_is_declared():
    assert (effort().minutes, effort().minutes_from) == (10.0, "[model] time_limit")
    needed = require(("resources.train_time", "<= 5 min"))
    found = training_effort(Policy(), MODEL, needed, None)
    assert (found.minutes, found.minutes_from) == (5.0, "the limit of resources.train_time")
    assert found.cost_per_year_least is None


def test_volume():
    found = volume(1000, 50_000, 20.0)
    assert (found.bytes_per_day, found.rows_per_month) == (1000.0, pytest.approx(20 * 30.4375))
    assert volume(None, None, None).bytes_per_month is None


def test_days_to_release():
    steps = tuple(map(parse_step, ("shadow:500", "canary:10%:1000", "live")))
    assert release_days(steps, 1000.0, DAY) == pytest.approx(0.5 + 1 + 10)
    assert release_days(steps, None, DAY) is None


def test_a_scope_without_facts(loading):
    found = scope(loading())
    assert found.name == "flight-delays"
    by_name = {item.requirement.metric: item for item in found.requirements}
    assert by_name["quality.roc_auc"].places == ("release", "shadow", "canary", "live")
    assert by_name["data.freshness"].places == ("data",)
    assert by_name["serving.throughput"].places == ("release",)
    assert by_name["serving.latency_p95"].condition == "<= 15 ms"
    assert found.value.threshold == pytest.approx(3 / 11)
    assert found.training.per_year_most == pytest.approx(365.25 / 14)
    assert found.warnings == ()
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_skipped_steps_are_no_places(loading):
    found = scope(loading(('"shadow:500", "canary:10%:500", "live"', '"live"')))
    by_name = {item.requirement.metric: item for item in found.requirements}
    assert by_name["quality.roc_auc"].places == ("release", "live")
    assert by_name["serving.latency_p95"].places == ("live",)
    assert any("serving.latency_p95 is first seen when a release is live" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("changes", "facts", "words"),
    [
        ((), {"positive_rate": 0.9}, "a model that says nothing holds value.per_1000 >= 20 USD: always yes"),
        ((), {"positive_rate": 0.001}, "not even a perfect model is worth 20 USD per 1,000"),
        (((">= 0.66", "<= 0.66"),), {}, "quality.roc_auc <= 0.66 limits the good side"),
        ((('"7 d"', '"8 h"'),), {}, "window of 8 h is no longer than the label delay of 16 h"),
        ((('"requirement_broken", "new_rows:50%"', ""), ('"concept_drift", ', "")), {}, "names no cause"),
        ((("canary:10%:500", "canary:0.1%:500"),), {"rows_per_day": 900.0}, "about 557 days"),
        ((('window = "all"', 'window = "20 d"'),), {}, "leaves 112 h of rows to train on"),
        ((("false_positive = -3.0", "false_positive = 3.0"),), {}, '"yes" is the best answer whatever the score'),
        ((), {"columns": ("carrier", "dst")}, 'no column "dest"; did you mean "dst"?'),
        ((('view = "weather"\nsource = "weather"', 'view = "weather"\nsource = "other"'),), {}, None),
    ],
)
def test_warnings(loading, changes, facts, words):
    if words is None:
        other = '[[data]]\nname = "other"\nsource = "rows.csv"\nkey = "k"\ntime = "t"\n\n[[features]]'
        system = loading(("[[features]]", other), *changes)
        words = '[[data]] "weather" has no label and feeds no feature view'
    else:
        system = loading(*changes)
    assert any(words in warning for warning in scope(system, DataFacts(**facts)).warnings)


def test_slices_too_thin_are_named(loading):
    facts = DataFacts(rows_per_day=1000.0, slices={"carrier": {"UA": 0.9, "OO": 0.001, "HA": 0.01, "YV": 0.05}})
    (warning,) = [warning for warning in scope(loading(), facts).warnings if "slices" in warning]
    # 14 days of 1,000 rows: OO has 14 of them, HA 140, YV 700; 300 are needed.
    assert "2 of 4 slices hardly reach 300 rows in 14 d: OO (14), HA (140)" in warning


def test_no_value_and_no_requirements_are_told(folder, text, loading):
    lines = [line for line in text.split("\n") if not line.startswith('"')]
    bare = "\n".join(lines).split("[value]")[0] + "[[data]]" + "\n".join(lines).split("[[data]]", 1)[1]
    (folder / "trimtab.toml").write_text(bare)
    from trimtab.declaration.load import load

    found = scope(load(folder))
    assert any("there is no [value]" in warning for warning in found.warnings)
    assert any("nothing is required" in warning for warning in found.warnings)
    assert found.value is None
