"""What was scored, as the texts that answers are put together from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson

from trimtab.inference.postprocess_code import Named
from trimtab.serving.execution.pieces import Part
from trimtab.serving.execution.questions import Answers


def answers_of(parts: Sequence[Part], rows: int) -> Answers:
    """The answers to `rows` rows, from the parts that hold them all."""
    if len(parts) == 1 and parts[0].places is None:
        part = parts[0]
        scores, labels = _texts(part)
        return Answers(scores, labels, [part.release] * len(scores), part.named)
    scores, labels = [b""] * rows, [b""] * rows
    releases = [parts[0].release] * rows
    named: Named | None = None
    for part in parts:
        if part.named is not None:
            named = named or [{} for _ in range(rows)]
            for place, row in zip(part.places or range(rows), part.named, strict=True):
                named[place] = row
        for place, score, label in zip(part.places or range(rows), *_texts(part), strict=True):
            scores[place], labels[place], releases[place] = score, label, part.release
    return Answers(scores, labels, releases, named)


def _texts(part: Part) -> tuple[list[bytes], list[bytes]]:
    release = part.release
    if release.outputs == 0:
        return [b""] * len(part.scores), [b""] * len(part.scores)
    shown = part.scores.max(axis=1) if release.shown < release.outputs else part.scores
    text = orjson.dumps(np.ascontiguousarray(shown), option=orjson.OPT_SERIALIZE_NUMPY)
    scores = text[1:-1].split(b",") if release.shown == 1 else text[2:-2].split(b"],[")
    if not release.labels:
        return scores, [b""] * len(scores)
    names = release.labels
    return scores, [names[decision] for decision in release.decisions(part.scores).tolist()]
