"""Boxes against pycocotools' own summary, whichever pictures are weighed, and against leaving pictures out."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.measures.metrics.answered.detection import Boxes, judge_boxes
from trimtab.measures.metrics.answered.families import estimate_of_answers, statistic_of_answers
from trimtab.measures.metrics.statistic import Undefined
from trimtab.records.requirement import Value

METRICS = ("quality.mean_average_precision", "quality.average_precision_50", "quality.average_recall")


def pictures(seed: int, count: int) -> tuple[list[Boxes], list[Boxes]]:
    """Truths and answers of random pictures: some boxes found roughly, some missed, some answered for nothing."""
    draw = np.random.default_rng(seed)
    truths, answers = [], []
    for _ in range(count):
        n = int(draw.integers(0, 5))
        low = draw.uniform(0, 80, (n, 2))
        corners = np.concatenate([low, low + draw.uniform(5, 40, (n, 2))], axis=1)
        labels = draw.choice(["crack", "scratch"], n).tolist()
        truths.append(Boxes(corners, labels))
        found = draw.random(n) < 0.7
        moved = corners[found] + draw.normal(0, 2, (int(found.sum()), 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        extra = int(draw.integers(0, 3))
        start = draw.uniform(0, 80, (extra, 2))
        wrong = np.concatenate([start, start + draw.uniform(5, 40, (extra, 2))], axis=1)
        names = [label for label, kept in zip(labels, found, strict=True) if kept]
        names += draw.choice(["crack", "scratch"], extra).tolist()
        scores = draw.permutation(10_000)[: len(names)] / 10_000
        answers.append(Boxes(np.concatenate([moved, wrong]), names, scores))
    return truths, answers


def summary(truths: Sequence[Boxes], answers: Sequence[Boxes]) -> dict[str, float]:
    """What pycocotools says by itself, from start to end."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = {"crack": 1, "scratch": 2}
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": i} for i in names.values()],
            "annotations": [],
        }
        found = []
        for row, boxes in enumerate(truths):
            for (x0, y0, x1, y1), label in zip(boxes.corners.tolist(), boxes.labels, strict=True):
                box = [x0, y0, x1 - x0, y1 - y0]
                number = len(known.dataset["annotations"]) + 1
                one = {"id": number, "image_id": row, "category_id": names[label], "bbox": box, "iscrowd": 0}
                known.dataset["annotations"].append(one | {"area": box[2] * box[3]})
        for row, boxes in enumerate(answers):
            assert boxes.scores is not None
            for (x0, y0, x1, y1), label, score in zip(boxes.corners.tolist(), boxes.labels, boxes.scores, strict=True):
                box = [x0, y0, x1 - x0, y1 - y0]
                found.append({"image_id": row, "category_id": names[label], "bbox": box, "score": float(score)})
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {METRICS[0]: evaluation.stats[0], METRICS[1]: evaluation.stats[1], METRICS[2]: evaluation.stats[8]}


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 12))
def test_the_figures_are_those_that_pycocotools_sums_up(seed: int, count: int) -> None:
    truths, answers = pictures(seed, count)
    judged = judge_boxes(truths, answers)
    if not any(len(one.labels) for one in truths):
        for metric in METRICS:
            assert estimate_of_answers(metric, judged).reason == "no picture has a box"
        return
    if not any(len(one.labels) for one in answers):
        return  # pycocotools cannot load no answers
    wanted = summary(truths, answers)
    for metric in METRICS:
        assert estimate_of_answers(metric, judged).figure == pytest.approx(wanted[metric], abs=1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_weighing_pictures_is_asking_the_library_again_about_those_drawn(seed: int) -> None:
    """A bootstrap weighs pictures; pycocotools would have to see those drawn twice two times."""
    truths, answers = pictures(seed, 12)
    judged = judge_boxes(truths, answers)
    draws = np.random.default_rng(seed).multinomial(12, np.full(12, 1 / 12), size=3).astype(float)
    for weights in draws:
        places = np.repeat(np.arange(12), weights.astype(int))
        drawn = [truths[i] for i in places], [answers[i] for i in places]
        if not any(len(one.labels) for one in drawn[0]) or not any(len(one.labels) for one in drawn[1]):
            continue
        wanted = summary(*drawn)
        for metric in METRICS:
            statistic = statistic_of_answers(metric, judged, None)
            if statistic.weighted is not None:
                found = float(statistic.weighted(weights[None])[0])
            else:
                assert statistic.combine is not None
                assert statistic.columns is not None
                found = float(statistic.combine(weights @ statistic.columns))
            # A box drawn twice comes twice with one score: between the two, pycocotools sees only one of them.
            assert found == pytest.approx(wanted[metric], abs=0.02)


def test_influences_say_what_leaving_a_picture_out_does() -> None:
    """The analytic standard error agrees with the jackknife's."""
    truths, answers = pictures(3, 150)
    judged = judge_boxes(truths, answers)
    for metric in (*METRICS, "quality.precision", "quality.recall", "quality.f1"):
        statistic = statistic_of_answers(metric, judged, None)
        without = []
        for row in range(150):
            kept = np.arange(150) != row
            without.append(statistic_of_answers(metric, judged, None, kept).figure)
        left = statistic.figure - np.array(without)
        error = np.sqrt(np.square(statistic.influence).sum())
        jackknife = np.sqrt(149 / 150 * np.square(left - left.mean()).sum())
        assert error == pytest.approx(jackknife, rel=0.2), metric
        assert np.corrcoef(statistic.influence, left)[0, 1] > 0.9, metric


def test_classes_are_told_apart_and_a_box_has_a_worth() -> None:
    square = np.array([[10.0, 10.0, 30.0, 30.0]])
    truths = [Boxes(square, ["crack"]), Boxes(square, ["scratch"]), Boxes(np.zeros((0, 4)), [])]
    answers = [
        Boxes(square, ["crack"], np.array([0.9])),
        Boxes(square + 50, ["scratch"], np.array([0.8])),
        Boxes(square, ["crack"], np.array([0.7])),
    ]
    judged = judge_boxes(truths, answers)
    figures = {part: estimate_of_answers(METRICS[1], judged, part=part).figure for part in ("crack", "scratch")}
    assert figures == {"crack": 1.0, "scratch": 0.0}
    assert estimate_of_answers("quality.precision", judged).figure == pytest.approx(1 / 3)
    assert estimate_of_answers("quality.recall", judged).figure == 0.5
    worth = judged.worth(Value(correct=10.0, missed=-4.0, wrong=-1.0, per_prediction=-0.5))
    assert worth.tolist() == [9.5, -5.5, -1.5]
    assert estimate_of_answers("value.per_1000", judged, value=Value(correct=3.0)).figure == 1000.0


def test_without_a_box_there_is_no_figure_and_a_reason() -> None:
    nothing = [Boxes(np.zeros((0, 4)), [])] * 3
    judged = judge_boxes(nothing, nothing)
    with pytest.raises(Undefined, match="no picture has a box"):
        statistic_of_answers(METRICS[0], judged, None)
    assert estimate_of_answers("quality.precision", judged).reason == "no box was answered"
