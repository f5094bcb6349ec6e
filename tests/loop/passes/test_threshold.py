"""The decision threshold that earned the most, from the declaration to what a release answers with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.loop.conftest import Make

from trimtab.declaration.load import parse
from trimtab.declaration.problems import DeclarationErrors
from trimtab.loop.source_code import SourceCode
from trimtab.measures.metrics.worth import decision_threshold
from trimtab.records.facts import ModelTrained
from trimtab.records.requirement import ThresholdChosen

NOW = datetime(2024, 2, 18, 6, tzinfo=UTC)
WRONG = (
    "model.py",
    "train.x, np.asarray(train.y)",
    "train.x, np.asarray(train.y), sample_weight=np.where(train.y > 0, 1.0, 12.0)",
)


def trained(make: Make, rule: str | float, edits: list[tuple[str, str, str]]) -> ModelTrained:
    written = f'"{rule}"' if isinstance(rule, str) else rule
    declared = ("trimtab.toml", 'holdout = "5 d"', f'holdout = "12 d"\nthreshold = {written}')
    run = make(edits=[declared, *edits])
    result, _ = run.actor._trained("model.py", "a test", "one", NOW)
    return next(draft.fact for draft in result.facts if isinstance(draft.fact, ModelTrained))


def test_a_model_that_promises_too_little_answers_from_where_it_pays(make: Make) -> None:
    fact = trained(make, "value", [WRONG])
    chosen = fact.threshold
    assert isinstance(chosen, ThresholdChosen)
    assert chosen.low is not None
    assert chosen.low > 0
    assert chosen.threshold < chosen.break_even / 2
    assert fact.bundle.signature.threshold == chosen.threshold, "the model that ships answers from it"
    assert fact.evaluated is not None
    assert fact.evaluated.signature.threshold == chosen.threshold, "and so does the one that was judged"


def test_a_number_is_taken_as_it_is(make: Make) -> None:
    fact = trained(make, 0.35, [])
    assert fact.bundle.signature.threshold == 0.35
    assert not isinstance(fact.threshold, ThresholdChosen)


def test_the_rule_is_part_of_what_a_model_is_and_the_number_is_not(make: Make) -> None:
    run = make()
    value = run.system.value
    assert value is not None
    same = [run.system.model, msgspec.structs.replace(run.system.model, threshold="break_even")]
    rule = msgspec.structs.replace(run.system.model, threshold="value")
    number = msgspec.structs.replace(run.system.model, threshold=decision_threshold(value))
    digests = [
        SourceCode(msgspec.structs.replace(run.system, model=model)).digests()[1] for model in (*same, rule, number)
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('threshold = "best"', "break_even, value, or a number from 0 to 1"),
        ("threshold = 1.5", "break_even, value, or a number from 0 to 1"),
        ("threshold = true", "break_even, value, or a number from 0 to 1"),
    ],
)
def test_what_is_no_rule_is_refused(make: Make, line: str, says: str) -> None:
    run = make()
    text = Path(run.system.path).read_text()
    with pytest.raises(DeclarationErrors, match=says):
        parse(text.replace('holdout = "5 d"', f'holdout = "5 d"\n{line}'), Path(run.system.path))
    worthless = text.replace("true_positive = 6.0\nfalse_positive = -4.0\n", "").replace(
        '"value.per_1000"      = { limit = ">= 0 EUR", window = "10 d" }\n', ""
    )
    with pytest.raises(DeclarationErrors, match="nothing says what an answer is worth"):
        parse(worthless.replace('holdout = "5 d"', 'holdout = "5 d"\nthreshold = "value"'), Path(run.system.path))
