"""Boxes that agree: overlaps by hand, and what must hold of any boxes."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.measures.boxes import f1_of_boxes, intersection_over_union, matched, mean_overlap


def test_overlap_by_hand() -> None:
    a = np.array([[0.0, 0.0, 2.0, 2.0]])
    b = np.array([[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0], [1.0, 1.0, 1.0, 1.0]])
    assert intersection_over_union(a, b)[0] == pytest.approx([1 / 7, 1.0, 0.0, 0.0])


def test_a_missed_and_a_wrongly_named_box_count_against() -> None:
    a = np.array([[0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0]])
    assert f1_of_boxes(a, a, ["x", "y"], ["x", "y"]) == 1.0
    assert f1_of_boxes(a, a, ["x", "y"], ["x", "x"]) == 0.5
    assert f1_of_boxes(a, a[:1], ["x", "y"], ["x"]) == pytest.approx(2 / 3)
    assert mean_overlap(a, a[:1], ["x", "y"], ["x"]) == 0.5
    nothing = np.empty((0, 4))
    assert f1_of_boxes(nothing, nothing, [], []) == mean_overlap(nothing, nothing, [], []) == 1.0
    assert f1_of_boxes(a, nothing, ["x", "y"], []) == mean_overlap(a, nothing, ["x", "y"], []) == 0.0


corner = st.tuples(*[st.integers(0, 12)] * 2)
box = st.tuples(corner, corner).map(lambda c: (min(c[0][0], c[1][0]), min(c[0][1], c[1][1]), max(c[0][0], c[1][0]) + 1,
                                               max(c[0][1], c[1][1]) + 1))  # fmt: skip
boxes = st.lists(box, max_size=4).map(lambda found: np.array(found, dtype=float).reshape(-1, 4))


@given(boxes, boxes)
def test_agreement_is_the_same_either_way_and_within_0_and_1(a: np.ndarray, b: np.ndarray) -> None:
    ones, others = ["x"] * len(a), ["x"] * len(b)
    for figure in (f1_of_boxes, mean_overlap):
        assert 0.0 <= figure(a, b, ones, others) <= 1.0
    assert f1_of_boxes(a, a, ones, ones) == 1.0
    assert f1_of_boxes(a, b, ones, others) == f1_of_boxes(b, a, others, ones)


@given(boxes, boxes)
def test_where_own_boxes_do_not_overlap_no_matching_finds_more(a: np.ndarray, b: np.ndarray) -> None:
    for own in (a, b):
        overlap = intersection_over_union(own, own) - np.eye(len(own))
        if (overlap > 1e-12).any():
            return
    found = len(matched(a, b, ["x"] * len(a), ["x"] * len(b), 0.5 + 1e-9))
    few, many = (a, b) if len(a) <= len(b) else (b, a)
    hits = intersection_over_union(few, many) > 0.5
    most = max(sum(hits[i, j] for i, j in enumerate(p)) for p in permutations(range(len(many)), len(few)))
    assert found == most
