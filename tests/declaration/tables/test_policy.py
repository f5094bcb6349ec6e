"""Triggers, release steps and the policies that a backtest compares."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.declaration.system import Policy, ReleaseStep, Trigger
from trimtab.declaration.tables.policy import TRIGGERS, parse_policy_argument, parse_step, parse_trigger
from trimtab.errors import DeclarationError

POLICY = 'cooldown = "14 d"'
MODEL = 'window = "all"'
DECLARED = Policy(
    retrain_on=(Trigger(cause="data_drift", text="data_drift"),),
    release=(ReleaseStep(stage="shadow", rows=5), ReleaseStep(stage="live")),
    cooldown=86400.0,
)


@pytest.mark.parametrize(
    ("text", "cause", "amount", "relative"),
    [
        ("data_drift", "data_drift", None, False),
        ("code_changed", "code_changed", None, False),
        ("schedule:30 d", "schedule", 30 * 86400.0, False),
        ("schedule: 12h", "schedule", 12 * 3600.0, False),
        ("new_rows:50000", "new_rows", 50_000.0, False),
        ("new_rows:50_000", "new_rows", 50_000.0, False),
        ("new_rows:50%", "new_rows", 0.5, True),
        ("new_rows:150%", "new_rows", 1.5, True),
    ],
)
def test_triggers(text, cause, amount, relative):
    found = parse_trigger(text)
    assert (found.cause, found.amount, found.relative) == (cause, amount, relative)
    assert parse_trigger(found.text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("datadrift", ['did you mean "data_drift"', "schedule:30 d"]),
        ("no_model", ["is not a cause"]),
        ("data_drift:0.2", ["takes no amount"]),
        ("requirement_broken:", ['nothing measures ""']),
        ("requirement_broken:quality.auc", ['did you mean "requirement_broken:quality.roc_auc"']),
        ("requirement_broken:data.freshness", ["is not measured live"]),
        ("schedule", ["has no amount", "schedule:30 d"]),
        ("schedule:30", ["has no unit"]),
        ("schedule:0 d", ["no time between"]),
        ("schedule:-1 d", ["negative"]),
        ("schedule:30 days", ['did you mean "30 d"']),
        ("new_rows:", ["has no amount"]),
        ("new_rows:0", ["neither a number of rows nor a growth"]),
        ("new_rows:-5", ["neither"]),
        ("new_rows:0%", ["neither"]),
        ("new_rows:1.5", ["neither"]),
        ("", ["is not a cause"]),
    ],
)
def test_wrong_triggers(text, words):
    with pytest.raises(DeclarationError) as caught:
        parse_trigger(text)
    for word in words:
        assert word in str(caught.value)


def test_one_requirement_may_be_a_cause():
    found = parse_trigger("requirement_broken: quality.roc_auc")
    assert (found.cause, found.metric, found.text) == (
        "requirement_broken",
        "quality.roc_auc",
        "requirement_broken:quality.roc_auc",
    )
    assert parse_trigger("requirement_broken").metric is None


def test_every_cause_but_a_missing_model_can_be_declared():
    assert set(TRIGGERS) == {
        "data_drift", "concept_drift", "requirement_broken", "schedule", "new_rows", "code_changed",
        "schema_changed",
    }  # fmt: skip


def test_steps():
    assert parse_step("shadow:500") == ReleaseStep(stage="shadow", rows=500)
    assert parse_step("canary:10%:1_000") == ReleaseStep(stage="canary", rows=1000, weight=0.1)
    assert parse_step("canary : 0.1 : 1000") == ReleaseStep(stage="canary", rows=1000, weight=0.1)
    assert parse_step("live") == ReleaseStep(stage="live")


@pytest.mark.parametrize(
    "text",
    [
        "shadw:500", "shadow", "shadow:0", "shadow:x", "canary:10%", "canary:0%:5", "canary:100%:5", "canary:150%:5",
        "canary:0.001%:5", "live:5", "", "canary:10 s:5",
    ],
)  # fmt: skip
def test_wrong_steps(text):
    with pytest.raises(DeclarationError):
        parse_step(text)


def test_policy_arguments():
    assert parse_policy_argument("declared", DECLARED) is DECLARED
    never = parse_policy_argument("never", DECLARED)
    assert never.retrain_on == ()
    assert (never.release, never.gate) == (DECLARED.release, True)
    every = parse_policy_argument("every:30d", DECLARED)
    assert [(t.cause, t.amount) for t in every.retrain_on] == [("schedule", 30 * 86400.0)]
    assert (every.cooldown, every.gate, every.release) == (0.0, False, (ReleaseStep(stage="live"),))


def test_a_fixed_schedule_keeps_of_the_declared_policy_what_is_asked_for():
    shifting = msgspec.structs.replace(DECLARED, recalibrate=86400.0)
    assert parse_policy_argument("declared", shifting) is shifting
    assert parse_policy_argument("never", shifting).recalibrate is None
    assert parse_policy_argument("every:30d", shifting).recalibrate is None
    gated = parse_policy_argument("every:30d+gate", shifting)
    assert (gated.gate, gated.release, gated.cooldown, gated.recalibrate) == (True, DECLARED.release, 0.0, None)
    both = parse_policy_argument("every:30d + gate + recalibrate", shifting)
    assert (both.gate, both.recalibrate) == (True, 86400.0)
    assert parse_policy_argument("never+recalibrate", shifting).recalibrate == 86400.0


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nevr", 'did you mean "never"'),
        ("every", "not a policy"),
        ("every:30", "no unit"),
        ("every:0d", "no time"),
        ("every:30d+gat", 'did you mean "gate"'),
        ("never+recalibrate", "declares no recalibrate"),
        ("declared+gat", "nothing of [policy]"),
        ("+gate", "not a policy"),
    ],
)
def test_wrong_policy_arguments(text, word):
    with pytest.raises(DeclarationError) as caught:
        parse_policy_argument(text, DECLARED)
    assert word in str(caught.value)


@given(st.text(max_size=20))
def test_any_text_is_understood_or_refused(text):
    for parse in (parse_trigger, parse_step, lambda t: parse_policy_argument(t, DECLARED)):
        try:
            parse(text)
        except DeclarationError:
            continue


def test_a_canary_may_be_shared_out_by_a_column(loading):
    assert loading((POLICY, POLICY + '\ncanary_by = "carrier"')).policy.canary_by == "carrier"
    inputs = MODEL + '\ninputs = ["carrier", "distance"]'
    assert loading((MODEL, inputs), (POLICY, POLICY + '\ncanary_by = "carrier"')).policy.canary_by == "carrier"
    assert loading().policy.canary_by == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (((POLICY, POLICY + "\ncanary_by = 5"),), ["expected a text"]),
        (((POLICY, POLICY + '\ncanary_by = "flight_id"'),), ["is not sent with a prediction"]),
        (
            ((MODEL, MODEL + '\ninputs = ["carrier"]'), (POLICY, POLICY + '\ncanary_by = "carier"')),
            ['has no input "carier"', 'did you mean "carrier"'],
        ),
        (
            (('"canary:10%:500", ', ""), (POLICY, POLICY + '\ncanary_by = "carrier"')),
            ["no step is a canary"],
        ),
    ],
)
def test_a_column_that_no_canary_can_be_shared_out_by_is_refused(loading, changes, words):
    with pytest.raises(DeclarationError) as error:
        loading(*changes)
    for word in words:
        assert word in error.value.in_one_line()


def test_answers_are_shifted_where_a_half_life_is_declared(loading):
    assert loading((POLICY, POLICY + '\nrecalibrate = "36 h"')).policy.recalibrate == 1.5 * 86400
    assert loading().policy.recalibrate is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (((POLICY, POLICY + '\nrecalibrate = "6 h"'),), "shorter than a day"),
        (((POLICY, POLICY + "\nrecalibrate = true"),), "recalibrate"),
        (
            ((POLICY, POLICY + '\nrecalibrate = "1 d"'), ('"binary_classification"', '"multiclass_classification"')),
            "answers of multiclass_classification are not shifted",
        ),
    ],
)
def test_answers_that_cannot_be_shifted_are_told(loading, changes, word):
    with pytest.raises(DeclarationError) as error:
        loading(*changes)
    assert word in str(error.value)
