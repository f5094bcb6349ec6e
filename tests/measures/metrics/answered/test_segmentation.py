"""Masks against scikit-learn's scores of all their pixels together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import f1_score, jaccard_score

from trimtab.errors import PermanentError
from trimtab.measures.metrics.answered.families import estimate_of_answers, statistic_of_answers
from trimtab.measures.metrics.answered.segmentation import IGNORED, judge_masks, stretched

CLASSES = ("background", "scratch", "crack")


def masks(seed: int, count: int) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Truths with some pixels of no class, and answers that are right in three pixels of four."""
    draw = np.random.default_rng(seed)
    truths, answers = [], []
    for _ in range(count):
        shape = tuple(draw.integers(1, 9, 2))
        truth = draw.integers(0, 3, shape).astype(np.uint8)
        answers.append(np.where(draw.random(shape) < 0.75, truth, draw.integers(0, 3, shape)).astype(np.uint8))
        truths.append(np.where(draw.random(shape) < 0.1, IGNORED, truth).astype(np.uint8))
    return truths, answers


@given(seed=st.integers(0, 2**31), count=st.integers(1, 8))
def test_figures_are_scikit_learns_of_all_pixels(seed: int, count: int) -> None:
    truths, answers = masks(seed, count)
    judged = judge_masks(truths, answers, CLASSES)
    true, said = (np.concatenate([one.ravel() for one in those]) for those in (truths, answers))
    true, said = true[true != IGNORED], said[true != IGNORED]
    if not true.size:
        assert estimate_of_answers("quality.iou", judged).figure is None
        return
    present = sorted(set(true) | set(said))
    for metric, score in (("quality.iou", jaccard_score), ("quality.dice", f1_score)):
        wanted = score(true, said, labels=present, average=None)
        assert estimate_of_answers(metric, judged).figure == pytest.approx(wanted.mean())
        for place, number in enumerate(present):
            figure = estimate_of_answers(metric, judged, part=CLASSES[number]).figure
            assert figure == pytest.approx(wanted[place])
    assert estimate_of_answers("quality.pixel_accuracy", judged).figure == pytest.approx((true == said).mean())


@pytest.mark.parametrize("metric", ["quality.iou", "quality.dice", "quality.pixel_accuracy"])
def test_influences_say_what_leaving_a_picture_out_does(metric: str) -> None:
    truths, answers = masks(1, 120)
    judged = judge_masks(truths, answers, CLASSES)
    statistic = statistic_of_answers(metric, judged, None)
    left = [
        statistic.figure - statistic_of_answers(metric, judged, None, np.arange(120) != row).figure
        for row in range(120)
    ]
    assert np.square(statistic.influence).sum() == pytest.approx(np.square(left).sum(), rel=0.05)


def test_a_smaller_answer_is_stretched_to_its_truth() -> None:
    small = np.array([[0, 1], [2, 0]], dtype=np.uint8)
    assert stretched(small, (4, 4)).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 0, 0], [2, 2, 0, 0]]
    large = np.kron(small, np.ones((5, 5), np.uint8))
    assert stretched(large, (2, 2)).tolist() == small.tolist()
    assert estimate_of_answers("quality.iou", judge_masks([large], [small], CLASSES)).figure == 1.0


@pytest.mark.parametrize("wrong", [np.zeros((2, 2)), np.zeros(4, int), np.full((2, 2), 3), np.full((2, 2), -1)])
def test_what_is_no_mask_is_refused(wrong: NDArray[np.int64]) -> None:
    with pytest.raises(PermanentError, match="expected class numbers"):
        judge_masks([np.zeros((2, 2), np.uint8)], [wrong], CLASSES)
