"""What was scored, as answers are put together from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trimtab.inference.postprocess_code import Named
from trimtab.serving.execution.pieces import Part
from trimtab.serving.execution.questions import Answers, score_texts


def answers_of(parts: Sequence[Part], rows: int) -> Answers:
    """The answers to `rows` rows, from the parts that hold them all."""
    if len(parts) == 1 and parts[0].places is None:
        part = parts[0]
        return Answers(None, _labels(part), [part.release] * rows, part.named, _shown(part))
    scores, labels = [b""] * rows, [b""] * rows
    releases = [parts[0].release] * rows
    named: Named | None = None
    for part in parts:
        if part.named is not None:
            named = named or [{} for _ in range(rows)]
            for place, row in zip(part.places or range(rows), part.named, strict=True):
                named[place] = row
        texts = score_texts(_shown(part))
        for place, score, label in zip(part.places or range(rows), texts, _labels(part), strict=True):
            scores[place], labels[place], releases[place] = score, label, part.release
    return Answers(scores, labels, releases, named)


def _shown(part: Part) -> NDArray[np.float32]:
    """The scores that are answered: all, or the best of each row."""
    if part.release.shown == part.release.outputs:
        return part.scores
    best: NDArray[np.float32] = part.scores.max(axis=1)
    return best


def _labels(part: Part) -> list[bytes]:
    names = part.release.labels
    if not names:
        return [b""] * len(part.scores)
    return [names[decision] for decision in part.release.decisions(part.scores).tolist()]
