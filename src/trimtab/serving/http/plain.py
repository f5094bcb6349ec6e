"""The plain way to ask: `POST /predict` with rows as JSON objects."""

from __future__ import annotations

from typing import Any

import orjson

from trimtab.serving.execution.questions import Answers, Question, brief, refuse_many
from trimtab.serving.refusals import RefusalError

_KEYS = frozenset(("rows", "ids", "time"))


def read_request(question: Question, request: Any, most: int, now: float, ahead: float) -> None:
    """Fills a question from `{"rows": [{...}], "ids": [...], "time": "..."}` or a list of rows. `time` is one moment
    or one a row. Raises RefusalError naming the row, the column and what was expected."""
    if isinstance(request, list):
        request = {"rows": request}
    if not isinstance(request, dict):
        raise RefusalError(422, f"expected an object with `rows`, or a list of rows, got {brief(request)}")
    if not request.keys() <= _KEYS:
        unknown = next(key for key in request if key not in _KEYS)
        raise RefusalError(422, f"unknown key {unknown!r}", hint="a request has `rows`, and may have `ids` and `time`")
    rows = request.get("rows")
    if not isinstance(rows, list):
        raise RefusalError(422, f"`rows`: expected a list of objects, got {brief(rows)}")
    refuse_many(len(rows), most)
    question.ask(rows)
    question.identify(request.get("ids"), "ids")
    question.date(request.get("time"), "time", now, ahead)


def render(question: Question, answers: Answers, offset: int) -> bytes:
    """`{"predictions": [{"id", "score", "label", "release", "model"}, ...]}`; no label for regression, and a list of
    scores for several classes."""
    parts = []
    for place in range(question.count):
        release = answers.releases[offset + place]
        score, label = answers.scores[offset + place], answers.labels[offset + place]
        parts.append(
            b'{"id":%b,"score":%b,%b%b}' % (
                orjson.dumps(question.ids[place]),
                score if release.outputs == 1 else b"[%b]" % score,
                b'"label":%b,' % label if release.labels else b"",
                release.told,
            )
        )  # fmt: skip
    return b'{"predictions":[%b]}' % b",".join(parts)
