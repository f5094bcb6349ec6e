"""`[labels]` is read whole, and what is wrong in it is said with its line and its mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.declaration.load import parse
from trimtab.declaration.problems import DeclarationErrors
from trimtab.labels.spec import LabelsSpec

REST = """
[system]
name = "late-flights"
problem = "Which flights will be late"
task = "{task}"

[value]
currency = "EUR"

[[data]]
name = "flights"
source = "flights.csv"
key = "flight"
time = "departure"
label = "late"

[[data]]
name = "photos"
source = "photos.csv"
key = "photo"
time = "taken"

[[features]]
view = "photos"
entity = "flight"
time = "taken"
source = "photos"

[model]
code = "model.py"
"""
GOOD = 'kind = "class"\nclasses = ["yes", "no"]\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text("def train(train, valid, params):\n    return None\n")
    return tmp_path / "trimtab.toml"


def read(place: Path, labels: str, *, task: str = "binary_classification", required: str = "") -> LabelsSpec:
    text = f"[labels]\n{labels}\n[requirements]\n{required}\n" + REST.format(task=task)
    found = parse(text, place).labels
    assert found is not None
    return found


def test_what_is_left_out_has_its_default(place: Path) -> None:
    found = read(place, GOOD)
    assert (found.data, found.column, found.annotators, found.policy) == ("flights", "late", 2, "majority")
    assert (found.measure, found.tool, found.media) == ("krippendorff_alpha", "files", "table")
    boxes = read(place, 'kind = "box"\nclasses = ["bird"]\ndata = "photos"\ncolumn = "birds"\n')
    assert (boxes.data, boxes.column, boxes.measure) == ("photos", "birds", "box_f1")
    number = read(
        place, 'kind = "regression"\nrange = "0 .. 10"\nbudget = "20 EUR"\ncost_per_label = 0.5', task="regression"
    )
    assert (number.low, number.high, number.budget) == (0.0, 10.0, 20.0)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("", "[labels]: kind is missing"),
        ('kind = "clas"', 'unknown value "clas"; did you mean "class"?'),
        ('kind = "class"', "[labels]: classes is missing"),
        ('kind = "class"\nclasses = ["one"]', "one class leaves nothing to tell apart"),
        ('kind = "class"\nclasses = ["a", "b", "c"]', "binary_classification has two classes, not 3"),
        ('kind = "box"\nclasses = ["bird"]', "a label of kind box is nothing that binary_classification learns"),
        ('kind = "transcript"\nclasses = ["x"]\ndata = "photos"\ncolumn = "c"', "kind transcript have no classes"),
        (GOOD + 'data = "flight"', 'there is no [[data]] named "flight"; did you mean "flights"?'),
        (GOOD + 'data = "photos"', '[[data]] "photos" has no label, so the column to write to is missing'),
        (GOOD + 'column = "flight"', '"flight" is the key or the time of "flights"'),
        (GOOD + 'range = "0 .. 1"', "has no meaning for labels of kind class"),
        (GOOD + 'policy = "trusted"', "nobody is trusted"),
        (GOOD + 'trusted = ["ann"]', "has no meaning under the policy majority"),
        (GOOD + 'measure = "box_f1"', 'unknown value "box_f1"'),
        (GOOD + 'tool = "label-studio"', "[labels]: url is missing"),
        (GOOD + 'tool = "label-studio"\nurl = "http://far.example"\nproject = "p"', "sent without encryption"),
        (GOOD + 'tool = "label-studio"\nurl = "ftp://x"\nproject = "p"', "an address that begins with http:// or https://"),
        (GOOD + 'project = "p"', "has no meaning for the tool files"),
        (GOOD + 'budget = "20 EUR"', "what a label costs is missing"),
        (GOOD + 'budget = "20 USD"\ncost_per_label = 1', "is in USD, but [value] counts in EUR"),
        (GOOD + "cost_per_label = -1", "expected a number, zero or more"),
        (GOOD + 'media = "image"', "as image, one column is shown"),
        (GOOD + "mix = { uncertainty = 0 }", "weighs nothing"),
        (GOOD + "mix = { doubt = 1 }", 'mix doubt: unknown signal'),
        (GOOD + "annotators = 0", "expected a whole number from 1 to 100"),
        (GOOD + "anotators = 3", 'unknown key; did you mean "annotators"?'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(place: Path, labels: str, told: str) -> None:
    with pytest.raises(DeclarationErrors) as caught:
        read(place, labels)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "required", "told"),
    [
        (GOOD + "annotators = 1", '"labels.agreement" = ">= 0.8"', "one annotator an item leaves nothing to compare"),
        (GOOD, '"labels.agreement" = ">= 80"', "never"),
        (
            'kind = "regression"',
            '"labels.error_rate" = "<= 5%"',
            "is estimated for labels of kind class, not regression",
        ),
        (GOOD, '"labels.agrement" = ">= 0.8"', 'did you mean "labels.agreement"?'),
    ],
)
def test_what_cannot_be_required_is_said(place: Path, labels: str, required: str, told: str) -> None:
    task = "regression" if "regression" in labels else "binary_classification"
    with pytest.raises(DeclarationErrors) as caught:
        read(place, labels, task=task, required=required)
    assert told in str(caught.value)


def test_the_name_under_which_labels_are_kept_is_taken(place: Path) -> None:
    rest = REST.format(task="binary_classification").replace('name = "photos"', 'name = "flights_labels"')
    rest = rest.replace('source = "photos"\n', 'source = "flights_labels"\n')
    with pytest.raises(DeclarationErrors, match="has the name under which the labels of"):
        parse(f"[labels]\n{GOOD}\n{rest}", place)


def test_the_digest_minds_what_is_declared_and_not_where(place: Path) -> None:
    def digest(labels: str) -> str:
        return parse(f"[labels]\n{labels}\n" + REST.format(task="binary_classification"), place).digest

    assert digest(GOOD) == digest("\n\n" + GOOD)
    assert digest(GOOD) != digest(GOOD + "annotators = 3")
