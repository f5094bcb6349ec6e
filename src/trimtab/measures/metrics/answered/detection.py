"""Boxes against boxes: average precision and recall as COCO defines them. pycocotools matches once; what it matched is
kept by picture, so that pictures can be weighed again and again without asking it.

Lin et al. 2014, "Microsoft COCO: common objects in context", and https://cocodataset.org/#detection-eval.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats, Ints
from trimtab.measures.metrics.answered.sums import mean_of_ratios, proportion, ratio
from trimtab.measures.metrics.statistic import Statistic, Undefined
from trimtab.records.requirement import Value

OVERLAPS = np.linspace(0.5, 0.95, 10)
"""Intersection over union from which a box is taken to be found."""
MOST = 100
"""Boxes a picture that count, the best ones."""
_RECALLS = np.linspace(0.0, 1.0, 101)
_CELLS = 4_000_000
_NOTHING = "no picture has a box"


class Boxes(NamedTuple):
    """The boxes of one picture: corners x1, y1, x2, y2 in pixels [m, 4], the name of each one's class, and the score of
    each [m] where they are answers."""

    corners: Floats
    labels: Sequence[str]
    scores: Floats | None = None


@dataclass(frozen=True)
class OfClass:
    """What was answered of one class, best score first: which picture each box is in [d], whether it is right at each
    of OVERLAPS [10, d]; and how many boxes of the class each picture has [n]."""

    picture: Ints
    right: NDArray[np.bool_]
    there: Floats


@dataclass(frozen=True)
class Detected:
    """The boxes of n pictures, matched, by class."""

    rows: int
    by_class: dict[str, OfClass]

    def statistic(self, metric: str, kept: Any, part: str | None = None) -> Statistic:
        """The metric over the pictures that are `kept` (a mask or slice), of one class where `part` names it."""
        chosen = {name: one for name, one in self.by_class.items() if part is None or name == part}
        places = np.arange(self.rows)[kept]
        return _METRICS[metric]([_within(one, places, self.rows) for one in chosen.values()], places.size)

    def parts(self) -> tuple[str, ...]:
        """The classes, each of which may be measured alone."""
        return tuple(self.by_class)

    def worth(self, value: Value) -> Floats:
        """What the answers to each picture are worth: `correct` for a box that is found (at an overlap of one half),
        `missed` for one that is not, `wrong` for a box where there is none."""
        right, said, there = (self._sum(kind) for kind in range(3))
        found = value.correct * right + value.missed * (there - right) + value.wrong * (said - right)
        return np.asarray(found + value.per_prediction)

    def _sum(self, kind: int) -> Floats:
        total = np.zeros(self.rows)
        for one in self.by_class.values():
            total += _counts(one, self.rows)[kind]
        return total


def judge_boxes(truths: Sequence[Boxes], answers: Sequence[Boxes]) -> Detected:
    """Match the boxes of pictures. Raises PermanentError where pycocotools is not installed."""
    try:
        from pycocotools.coco import COCO  # here: only systems that detect need it
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise PermanentError(
            "boxes are matched by pycocotools, which is not installed", hint="pip install 'trimtab[detection]'"
        ) from error
    classes = sorted({name for boxes in (*truths, *answers) for name in boxes.labels})
    if not classes:
        return Detected(len(truths), {})
    number = {name: place + 1 for place, name in enumerate(classes)}
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of its progress
        known, found = COCO(), COCO()
        for coco, those in ((known, truths), (found, answers)):
            coco.dataset = {
                "images": [{"id": row} for row in range(len(truths))],
                "categories": [{"id": one} for one in number.values()],
                "annotations": _annotations(those, number),
            }
            coco.createIndex()
        evaluation = COCOeval(known, found, "bbox")
        evaluation.params.iouThrs = OVERLAPS
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MOST]
        evaluation.evaluate()
    return Detected(len(truths), _by_class(evaluation.evalImgs, classes, len(truths)))


def _annotations(pictures: Sequence[Boxes], number: dict[str, int]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for row, boxes in enumerate(pictures):
        for place, (corners, name) in enumerate(zip(boxes.corners.tolist(), boxes.labels, strict=True)):
            x, y, right, low = corners
            wide, high = right - x, low - y
            one = {"image_id": row, "category_id": number[name], "bbox": [x, y, wide, high], "area": wide * high}
            one |= {"id": len(made) + 1, "iscrowd": 0}  # pycocotools takes the id 0 for none
            if boxes.scores is not None:
                one["score"] = float(boxes.scores[place])
            made.append(one)
    return made


def _by_class(evaluated: Sequence[dict[str, Any] | None], classes: Sequence[str], rows: int) -> dict[str, OfClass]:
    """pycocotools' matches, which come class by class and in each picture by picture."""
    found = {}
    for place, name in enumerate(classes):
        pictures = [(row, one) for row, one in enumerate(evaluated[place * rows : (place + 1) * rows]) if one]
        there = np.zeros(rows)
        for row, one in pictures:
            there[row] = len(one["gtIds"])
        scores = np.concatenate([np.zeros(0), *(np.asarray(one["dtScores"], dtype=float) for _, one in pictures)])
        right = np.concatenate(
            [np.zeros((10, 0), bool), *(np.asarray(one["dtMatches"]).reshape(10, -1) > 0 for _, one in pictures)],
            axis=1,
        )
        picture = np.repeat([row for row, _ in pictures], [len(one["dtScores"]) for _, one in pictures])
        order = np.argsort(-scores, kind="mergesort")  # as COCO sorts: equal scores stay in order of pictures
        found[name] = OfClass(picture[order].astype(np.intp), right[:, order], there)
    return found


def _within(one: OfClass, places: Ints, rows: int) -> OfClass:
    """The same for some of the pictures, which are numbered anew."""
    new = np.full(rows, -1)
    new[places] = np.arange(places.size)
    kept = new[one.picture] >= 0
    return OfClass(new[one.picture[kept]], one.right[:, kept], one.there[places])


def _counts(one: OfClass, rows: int) -> tuple[Floats, Floats, Floats]:
    """Right boxes at an overlap of one half, answered ones and true ones of each picture [n]."""
    right = np.bincount(one.picture, weights=one.right[0].astype(np.float64), minlength=rows).astype(np.float64)
    return right, np.bincount(one.picture, minlength=rows).astype(np.float64), one.there


def _average_precision(those: Sequence[OfClass], rows: int, *, overlaps: int) -> Statistic:
    """The mean over classes that there are, and over the first `overlaps` of OVERLAPS."""
    there = [one for one in those if one.there.sum() > 0]
    if not there:
        raise Undefined(_NOTHING)
    curves = [(one, overlap) for one in there for overlap in range(overlaps)]
    influence = np.mean([_influence(one, overlap, rows) for one, overlap in curves], axis=0)
    weighted = partial(_weighted, curves)
    figure = float(weighted(np.ones((1, rows)))[0])
    return Statistic(figure, influence, weighted=weighted, floor=0.0, ceiling=1.0)


def _weighted(curves: Sequence[tuple[OfClass, int]], weights: Floats) -> Floats:
    """The mean of the curves' areas for weightings of the pictures: `weights` [R, n] gives [R]. A class that a resample
    lost counts nothing there."""
    total, kept = np.zeros(len(weights)), np.zeros(len(weights))
    step = max(1, _CELLS // max(1, *(one.picture.size for one, _ in curves)))
    for first in range(0, len(weights), step):
        part = weights[first : first + step]
        for one, overlap in curves:
            count = part @ one.there
            areas = _areas(part[:, one.picture], one.right[overlap], count)
            total[first : first + step] += np.where(count > 0, areas, 0.0)
            kept[first : first + step] += count > 0
    return np.where(kept > 0, total / np.maximum(kept, 1), np.nan)


def _areas(weights: Floats, right: NDArray[np.bool_], count: Floats) -> Floats:
    """Precision, made to fall with recall, read at 101 recalls and averaged [R]: `weights` [R, d] of boxes in order."""
    areas = np.zeros(len(weights))
    if not right.size:
        return areas
    hits = np.cumsum(weights * right, axis=1)
    answered = np.cumsum(weights, axis=1)
    precision = np.divide(hits, answered, out=np.zeros_like(hits), where=answered > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    for row in np.flatnonzero(count > 0):
        places = np.searchsorted(hits[row] / count[row], _RECALLS, side="left")
        areas[row] = envelope[row, places[places < right.size]].sum() / _RECALLS.size
    return areas


def _influence(one: OfClass, overlap: int, rows: int) -> Floats:
    """The derivative of the area under the curve by each picture's weight [n]: its right boxes bring the precision at
    their place, its true boxes lengthen the recall axis, and every box of its own moves the precision at and below it.
    Where the envelope reads another place than the box's own, that place's precision is the one that moves."""
    right, m = one.right[overlap], float(one.there.sum())
    if not right.size:
        return np.zeros(rows)
    hits = np.cumsum(right)
    answered = np.arange(1, right.size + 1)
    precision = hits / answered
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    area = float(envelope[right].sum()) / m
    read = _places_of_maximum(precision)[right]
    times = np.bincount(read, minlength=right.size) / (m * answered)
    below = np.cumsum(times[::-1])[::-1]
    lowered = np.cumsum((times * precision)[::-1])[::-1]
    by_box = right * (envelope / m + below) - lowered
    return np.bincount(one.picture, weights=by_box, minlength=rows) - area * one.there / m


def _places_of_maximum(values: Floats) -> Ints:
    """For each place, where the greatest value at it or after it stands."""
    backwards = values[::-1]
    best = np.maximum.accumulate(backwards)
    places = np.maximum.accumulate(np.where(backwards >= best, np.arange(values.size), 0))
    return np.asarray(values.size - 1 - places[::-1], dtype=np.intp)


def _average_recall(those: Sequence[OfClass], rows: int) -> Statistic:
    """The share of true boxes that are found among the best MOST answers of each picture, averaged over classes and
    OVERLAPS."""
    tops, bottoms = [np.zeros((rows, 0))], [np.zeros((rows, 0))]
    for one in those:
        found = [np.bincount(one.picture, weights=right.astype(np.float64), minlength=rows) for right in one.right]
        tops.append(np.stack(found, axis=1))
        bottoms.append(np.repeat(one.there[:, None], len(found), axis=1))
    return mean_of_ratios(np.concatenate(tops, axis=1), np.concatenate(bottoms, axis=1), _NOTHING)


def _of_counts(those: Sequence[OfClass], rows: int, *, metric: str) -> Statistic:
    counts = [_counts(one, rows) for one in those]
    right, said, there = (sum((one[kind] for one in counts), np.zeros(rows)) for kind in range(3))
    if metric == "f1":
        return ratio(2 * right, said + there, "no picture has a box, in truth or answer", ceiling=1.0)
    if metric == "recall":
        return proportion(right, there, _NOTHING)
    return proportion(right, said, "no box was answered")


_METRICS: dict[str, Callable[[Sequence[OfClass], int], Statistic]] = {
    "quality.mean_average_precision": partial(_average_precision, overlaps=10),
    "quality.average_precision_50": partial(_average_precision, overlaps=1),
    "quality.average_recall": _average_recall,
    "quality.precision": partial(_of_counts, metric="precision"),
    "quality.recall": partial(_of_counts, metric="recall"),
    "quality.f1": partial(_of_counts, metric="f1"),
}
METRICS = tuple(_METRICS)
