"""Two requirements on one metric may not contradict, nor repeat, each other."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.declaration.requirements.conflicts import conflicts
from trimtab.declaration.requirements.grammar import COMPARISONS, Context, parse_requirement

BINARY = Context(task="binary_classification", currency="USD")
HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}


def require(metric, entry, line=0):
    return parse_requirement(metric, entry, BINARY, line=line)


limits = st.tuples(st.sampled_from(COMPARISONS), st.sampled_from([0.2, 0.4, 0.6, 0.8]))


@given(limits, limits)
def test_limits_contradict_when_no_figure_meets_both(one, other):
    first, second = (require("quality.recall", f"{sign} {limit}") for sign, limit in (one, other))
    grid = [step / 100 for step in range(101)]
    both = any(HOLDS[one[0]](figure, one[1]) and HOLDS[other[0]](figure, other[1]) for figure in grid)
    told = [reason for _, reason in conflicts([first, second])]
    assert any("contradicts" in reason for reason in told) == (not both)


@pytest.mark.parametrize(
    ("metric", "one", "other", "word"),
    [
        ("quality.recall", ">= 0.6", {"limit": "<= 0.5", "by": "carrier"}, "contradicts"),
        ("quality.recall", {"limit": ">= 0.6", "by": "carrier"}, {"limit": "<= 0.5", "by": "dest"}, "contradicts"),
        ("quality.recall", ">= 0.6", ">= 0.7", "keep the stricter"),
        ("quality.recall", ">= 0.6", "> 0.6", "keep the stricter"),
        ("quality.recall", ">= 0.6", {"limit": ">= 0.5", "by": "carrier"}, None),
        ("quality.recall", ">= 0.6", {"limit": ">= 0.5", "window": "30 d"}, None),
        ("quality.recall", ">= 0.6", "<= 0.9", None),
        # The ROC AUC of all rows may lie outside of what every slice has.
        ("quality.roc_auc", ">= 0.6", {"limit": "<= 0.5", "by": "carrier"}, None),
        ("data.completeness", {"limit": ">= 0.9", "columns": ["a"]}, {"limit": "<= 0.5", "columns": ["b"]}, None),
    ],
)
def test_pairs(metric, one, other, word):
    pair = [require(metric, one, line=3), require(metric, other, line=4)]
    told = conflicts(pair)
    if word is None:
        assert told == []
        return
    ((which, reason),) = told
    assert which is pair[1]
    assert word in reason
    assert "line 3" in reason


def test_different_metrics_never_conflict():
    assert conflicts([require("quality.recall", ">= 0.9"), require("quality.precision", "<= 0.1")]) == []
