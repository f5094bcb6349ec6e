"""The plain way to ask: `POST /predict` with rows as JSON objects."""

from __future__ import annotations

from typing import Any

import orjson

from trimtab.records.server import ServerConfig
from trimtab.serving.execution.questions import Answers, Question, brief, read_json, refuse_many
from trimtab.serving.http.request import Request
from trimtab.serving.refusals import RefusalError

_KEYS = frozenset(("rows", "ids", "time", "sticky_key"))


def read_request(question: Question, request: Request, config: ServerConfig, now: float) -> None:
    """Fills a question from `{"rows": [{...}], "ids": [...], "time": "..."}` or a list of rows. `time` is one moment
    or one a row. Raises RefusalError naming the row, the column and what was expected."""
    asked: Any = read_json(request.body)
    if isinstance(asked, list):
        asked = {"rows": asked}
    if not isinstance(asked, dict):
        raise RefusalError(422, f"expected an object with `rows`, or a list of rows, got {brief(asked)}")
    if not asked.keys() <= _KEYS:
        unknown = next(key for key in asked if key not in _KEYS)
        hint = "a request has `rows`, and may have `ids`, `time` and `sticky_key`"
        raise RefusalError(422, f"unknown key {unknown!r}", hint=hint)
    rows = asked.get("rows")
    if not isinstance(rows, list):
        raise RefusalError(422, f"`rows`: expected a list of objects, got {brief(rows)}")
    refuse_many(len(rows), config.max_rows)
    question.ask(rows)
    question.identify(asked.get("ids"), "ids")
    question.date(asked.get("time"), "time", now, config.max_future)
    question.stick(asked.get("sticky_key"), "sticky_key")


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
