"""What a label may say, of every kind."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.labels.port import NotALabel
from trimtab.labels.spec import LabelsSpec
from trimtab.labels.values import alike, read_value, same

CLASS = LabelsSpec(kind="class", data="d", column="c", classes=("late", "true"))
MULTI = LabelsSpec(kind="multi_label", data="d", column="c", classes=("a", "b", "c"))
BOX = LabelsSpec(kind="box", data="d", column="c", classes=("scratch", "crack"), measure="box_f1")
TEXT = LabelsSpec(kind="transcript", data="d", column="c", measure="word_agreement")
NUMBER = LabelsSpec(kind="regression", data="d", column="c", low=0.0, high=10.0, tolerance=0.5)
SCRATCH = {"label": "scratch", "box": [0.1, 0.1, 0.5, 0.5]}


@pytest.mark.parametrize(
    ("spec", "given", "wanted"),
    [
        (CLASS, "late", "late"),
        (CLASS, True, "true"),
        (MULTI, ["c", "a"], ["a", "c"]),
        (MULTI, [], []),
        (BOX, [SCRATCH], [SCRATCH]),
        (BOX, [{"label": "crack", "box": [-1e-9, 0, 1, 1]}], [{"label": "crack", "box": [0.0, 0.0, 1.0, 1.0]}]),
        (TEXT, " Hello. ", "Hello."),
        (NUMBER, 3, 3.0),
    ],
)
def test_a_label_has_one_form(spec: LabelsSpec, given: Any, wanted: Any) -> None:
    assert read_value(given, spec) == wanted


@pytest.mark.parametrize(
    ("spec", "given", "why"),
    [
        (CLASS, "latte", "there is no class 'latte'; the classes are late, true"),
        (CLASS, ["late"], "expected one class"),
        (CLASS, None, "expected one class"),
        (MULTI, "a", "expected a list of classes"),
        (MULTI, ["a", "x"], "there is no class 'x'"),
        (BOX, [{"label": "scratch"}], "expected a box with its label"),
        (BOX, [{"label": "dent", "box": [0, 0, 1, 1]}], "there is no class 'dent'"),
        (BOX, [{"label": "scratch", "box": [0, 0, 1]}], "expected the four corners"),
        (BOX, [{"label": "scratch", "box": [0, 0, 1, float("nan")]}], "expected the four corners"),
        (BOX, [{"label": "scratch", "box": [0, 0, 1.2, 1]}], "outside of its picture"),
        (BOX, [{"label": "scratch", "box": [0.5, 0, 0.5, 1]}], "is empty"),
        (TEXT, 7, "expected a text"),
        (NUMBER, True, "expected a number"),
        (NUMBER, float("inf"), "expected a number"),
        (NUMBER, 11, "11 lies outside of 0 .. 10"),
    ],
)
def test_what_is_no_label_says_why(spec: LabelsSpec, given: Any, why: str) -> None:
    with pytest.raises(NotALabel, match=why):
        read_value(given, spec)


def test_labels_that_say_the_same() -> None:
    assert same(3.0, 3.5, NUMBER)
    assert not same(3.0, 3.6, NUMBER)
    assert same("Hello, you!", "hello you", TEXT)
    near = {"label": "scratch", "box": [0.1, 0.1, 0.5, 0.52]}
    assert same([SCRATCH], [near], BOX)
    assert not same([SCRATCH], [], BOX)
    assert alike(["a", "b"], ["b", "c"], MULTI) == pytest.approx(1 / 3)
    assert alike(2.0, 7.0, NUMBER) == 0.5
