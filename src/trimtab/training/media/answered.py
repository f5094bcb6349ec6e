"""The figures of a model whose answers are no scores, on labelled rows: overall, by slice, and of the baseline beside
it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import polars as pl
from msgspec import UNSET
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.media_rows import Decoded, answers
from trimtab.inference.tensors.model import TensorModel
from trimtab.measures.metrics.answered.detection import Boxes, judge_boxes
from trimtab.measures.metrics.answered.families import (
    WORTH,
    Judged,
    answered_metrics,
    estimate_of_answers,
    parts_of,
)
from trimtab.measures.metrics.answered.recognition import judge_probes
from trimtab.measures.metrics.answered.segmentation import IGNORED, judge_masks
from trimtab.measures.metrics.answered.transcription import judge_transcripts
from trimtab.records.metric import PART, Task
from trimtab.records.model import Signature
from trimtab.records.requirement import Estimate, Requirement, Value
from trimtab.records.tensors import Recognition, Tensors

BASELINES: dict[Task, tuple[str, ...]] = {
    "detection": ("majority", "prior"),
    "segmentation": ("majority",),
    "recognition": ("majority",),
    "transcription": ("majority",),
}


def judging(signature: Signature, task: Task) -> Signature:
    """The signature by which a model is judged: of recognition every similarity is asked for."""
    tensors = signature.tensors
    if task != "recognition" or not isinstance(tensors, Tensors) or not isinstance(tensors.recognition, Recognition):
        return signature
    outputs = tuple(
        msgspec.structs.replace(one, answered=one.name == tensors.recognition.similarities) for one in tensors.outputs
    )
    plain = msgspec.structs.replace(tensors, outputs=outputs, recognition=UNSET)
    return msgspec.structs.replace(signature, tensors=plain)


def judge_model(
    model: TensorModel, signature: Signature, task: Task, decoded: Decoded, truths: Sequence[Any]
) -> Judged:
    """What a model answers about rows, compared with what is true. `model` is of `judging(signature, task)`."""
    return judge_answers(answers(model, decoded.rows()), signature, task, decoded, truths)


def judge_answers(
    found: Sequence[dict[str, Any]], signature: Signature, task: Task, decoded: Decoded, truths: Sequence[Any]
) -> Judged:
    """Answers by name, compared with what is true. Raises PermanentError for answers that are not what the task
    needs."""
    tensors = signature.tensors
    assert isinstance(tensors, Tensors)
    if task == "recognition":
        assert isinstance(tensors.recognition, Recognition)
        name = tensors.recognition.similarities
        similar = np.array([np.asarray(one[name], np.float64) for one in found])
        if similar.shape[1:] != (len(signature.classes),):
            raise PermanentError(
                f"output {name!r} is {list(similar.shape[1:])} a row, and {len(signature.classes)} are enrolled",
                hint="one similarity for each of the classes, in their order",
            )
        return judge_probes(truths, similar, signature.classes, tensors.recognition.threshold)
    if task == "transcription":
        return judge_transcripts(truths, [str(_named(one, "text", str)) for one in found])
    if task == "segmentation":
        return judge_masks(truths, [np.asarray(_named(one, "mask")) for one in found], signature.classes)
    sizes = [(place.width, place.height) if place is not None else (1, 1) for place in decoded.places]
    return judge_boxes(
        [_in_pixels(truth, size) for truth, size in zip(truths, sizes, strict=True)], [_boxes(one) for one in found]
    )


@dataclass(frozen=True)
class AnsweredEvaluation:
    """Measures judged answers to labelled rows. `day` [n] groups rows that may move together."""

    task: Task
    day: NDArray[np.int64]
    value: Value | None
    requirements: Sequence[Requirement]
    bootstrap: int
    seed: int

    def metrics(self, judged: Judged) -> dict[str, Estimate]:
        """Every metric of the task; those that a requirement names with bootstrap intervals, the rest analytic. Raises
        PermanentError when a required metric has no figure."""
        required = {one.metric for one in self.requirements}
        found = {}
        for name in answered_metrics(self.task):
            if name == WORTH and self.value is None:
                continue
            made = self._estimate(name, judged, bootstrap=self.bootstrap if name in required else 0)
            if name in required and (made.figure is None or not np.isfinite(made.figure)):
                raise PermanentError(f"{name} is not a number on {made.rows} validation rows: {made.reason}")
            found[name] = made
        return found

    def slices(self, judged: Judged, rows: pl.DataFrame) -> dict[str, Estimate]:
        """`metric|column=value` for every requirement with `by`; by `class`, of each class of boxes or pixels."""
        known = answered_metrics(self.task)
        found: dict[str, Estimate] = {}
        for requirement in self.requirements:
            if requirement.by is None or requirement.metric not in known:
                continue
            head = f"{requirement.metric}|{requirement.by}="
            if requirement.by == PART and parts_of(judged):
                for part in parts_of(judged):
                    found[head + part] = self._estimate(requirement.metric, judged, part=part, bootstrap=self.bootstrap)
                continue
            values = rows.get_column(requirement.by).cast(pl.String).fill_null("null").to_numpy()
            for value in sorted(set(values.tolist())):
                kept = values == value
                few = int(kept.sum()) < requirement.min_rows
                found[head + value] = self._estimate(
                    requirement.metric, judged, kept=kept, bootstrap=0 if few else self.bootstrap
                )
        return found

    def _estimate(
        self,
        metric: str,
        judged: Judged,
        *,
        kept: NDArray[np.bool_] | None = None,
        part: str | None = None,
        bootstrap: int,
    ) -> Estimate:
        return estimate_of_answers(
            metric,
            judged,
            value=self.value,
            blocks=self.day,
            kept=kept,
            part=part,
            bootstrap=bootstrap,
            seed=self.seed,
        )


def baseline_answers(
    kind: str, task: Task, train: Sequence[Any], signature: Signature, decoded: Decoded
) -> list[dict[str, Any]]:
    """What would be answered without a look at the row: the most frequent text or class; for recognition whoever is
    most frequent, a stranger where strangers are; no box, or (`prior`) the median box of the most frequent class."""
    rows = len(decoded.places)
    if task == "transcription":
        return [{"text": _most_frequent(train)}] * rows
    if task == "recognition":
        assert isinstance(signature.tensors, Tensors)
        assert isinstance(signature.tensors.recognition, Recognition)
        spec = signature.tensors.recognition
        usual = _most_frequent([name if name in signature.classes else spec.stranger for name in train])
        told = np.where(np.array(signature.classes) == usual, spec.threshold, spec.threshold - 1.0)
        return [{spec.similarities: told}] * rows
    if task == "segmentation":
        pixels = np.zeros(256, dtype=np.int64)
        for mask in train:
            pixels += np.bincount(mask.ravel(), minlength=256)
        usual_class = int(pixels[:IGNORED].argmax())
        return [{"mask": np.full((1, 1), usual_class)}] * rows
    corners = np.concatenate([np.zeros((0, 4)), *(boxes.corners for boxes in train)])
    if kind == "majority" or not len(corners):
        return [{"boxes": np.zeros((0, 4)), "scores": np.zeros(0), "labels": []}] * rows
    label = _most_frequent([name for boxes in train for name in boxes.labels])
    median = np.median(corners, axis=0)
    sides = [np.array([place.width, place.height] * 2) if place is not None else 1.0 for place in decoded.places]
    return [{"boxes": (median * side)[None], "scores": np.ones(1), "labels": [label]} for side in sides]


def _most_frequent(texts: Sequence[str]) -> str:
    """The one that comes most often, by alphabet where several do."""
    return min(Counter(texts).items(), key=lambda one: (-one[1], one[0]))[0]


def _named(answer: dict[str, Any], name: str, kind: type | None = None) -> Any:
    if name not in answer or (kind is not None and not isinstance(answer[name], kind)):
        listed = ", ".join(answer) or "nothing"
        wanted = f"{name!r}{f' ({kind.__name__})' if kind else ''}"
        raise PermanentError(
            f"the model answers {listed}; its task needs {wanted}",
            hint=f"an output of the graph is called {name}, or postprocess(outputs) returns it",
        )
    return answer[name]


def _boxes(answer: dict[str, Any]) -> Boxes:
    corners = np.asarray(_named(answer, "boxes"), dtype=np.float64).reshape(-1, 4)
    scores = np.asarray(_named(answer, "scores"), dtype=np.float64).reshape(-1)
    labels = [str(one) for one in _named(answer, "labels")]
    if not len(corners) == len(scores) == len(labels):
        raise PermanentError(
            f"there are {len(corners)} boxes, {len(scores)} scores and {len(labels)} labels of one row"
        )
    return Boxes(corners, labels, scores)


def _in_pixels(truth: Boxes, size: tuple[int, int]) -> Boxes:
    return Boxes(truth.corners * np.array([*size, *size], dtype=np.float64), truth.labels)
