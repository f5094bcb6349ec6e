"""The plain way to ask: `POST /predict` with rows as JSON objects."""

from __future__ import annotations

from typing import Any

import orjson

from trimtab.records.server import ServerConfig
from trimtab.serving.execution.questions import Answers, Question, brief, read_json, refuse_many
from trimtab.serving.http.bodies.files import hint_of_file, is_file, read_file, read_rows, refuse_form
from trimtab.serving.http.request import Request
from trimtab.serving.open_inference.outputs import named_json
from trimtab.serving.refusals import RefusalError

_KEYS = frozenset(("rows", "ids", "time", "sticky_key", "explain"))
_HINT = "send a list of rows, `[{...}]`, one row, or `rows` with `ids`, `time`, `sticky_key` or `explain` beside them"
_MOST_NAMED = 20


def read_request(question: Question, request: Request, config: ServerConfig) -> None:
    """Fills a question from `{"rows": [{...}], "ids": [...], "time": "..."}`, a list of rows or one row. `time` is one
    moment or one a row. A body that is an image or a sound by its content type is a row by itself. Raises RefusalError
    naming the row, the column and what was expected."""
    if is_file(request):
        read_file(question, request)
        return
    try:
        asked: Any = read_json(request.body)
    except RefusalError as error:
        refuse_form(request, question.target.tensors)
        error.hint = error.hint or hint_of_file(request, question.target.tensors)
        raise
    if isinstance(asked, list):
        asked = {"rows": asked}
    elif isinstance(asked, dict) and "rows" not in asked and not asked.keys().isdisjoint(_columns(question)):
        asked = {"rows": [asked]}
    if not isinstance(asked, dict):
        raise RefusalError(422, f"expected an object with `rows`, or a list of rows, got {brief(asked)}", hint=_HINT)
    if not asked.keys() <= _KEYS:
        unknown = next(key for key in asked if key not in _KEYS)
        named = ", ".join(_columns(question)[:_MOST_NAMED])
        raise RefusalError(422, f"unknown key {unknown!r}", hint=f"{_HINT}; a row has {named}" if named else _HINT)
    rows = asked.get("rows")
    if not isinstance(rows, list):
        raise RefusalError(422, f"`rows`: expected a list of objects, got {brief(rows)}", hint=_HINT)
    refuse_many(len(rows), config.max_rows)
    core = question.target.tensors
    if core is None:
        question.ask(rows)
    else:
        question.ask_tensors(read_rows(rows, core), core, config.max_rows)
    question.identify(asked.get("ids"), "ids")
    question.date(asked.get("time"), "time", config.max_future)
    question.stick(asked.get("sticky_key"), "sticky_key")
    question.ask_why(asked.get("explain"), "explain")


def _columns(question: Question) -> list[str]:
    """What a row may have: the model's columns, and those that others are looked up by."""
    core = question.target.tensors
    if core is not None:
        return [one.name for one in core.spec.inputs]
    found = [column.name for column in question.target.signature.inputs]
    return found if question.lookups is None else [*found, *sorted(question.lookups.entities().difference(found))]


def render(question: Question, answers: Answers, offset: int) -> bytes:
    """`{"predictions": [{"id", "score", "label", "release", "model"}, ...]}`; no label for regression, and a list of
    scores for several classes. A model that has further outputs answers them in `outputs`, by name. Where it was asked
    why, each has its `explanation`, null for the rows that `unexplained` lists."""
    parts = []
    why = _explanations(question) if question.explain else {}
    for place in range(question.count):
        release = answers.releases[offset + place]
        score, label = answers.scores[offset + place], answers.labels[offset + place]
        parts.append(
            b'{"id":%b,%b%b%b%b%b}' % (
                orjson.dumps(question.ids[place]),
                _score(score, release.shown),
                b'"label":%b,' % label if release.decided else b"",
                b'"outputs":%b,' % named_json(answers.named[offset + place]) if answers.named is not None else b"",
                release.told,
                b',"explanation":%b' % why.get(place, b"null") if question.explain else b"",
            )
        )  # fmt: skip
    if question.explain:
        left = [place for place in range(question.count) if place not in why]
        return b'{"predictions":[%b],"unexplained":%b}' % (b",".join(parts), orjson.dumps(left))
    return b'{"predictions":[%b]}' % b",".join(parts)


def _score(text: bytes, shown: int) -> bytes:
    return b'"score":%b,' % text if shown == 1 else b'"score":[%b],' % text if shown else b""


def _explanations(question: Question) -> dict[int, bytes]:
    """`{"method", "unit", "base_value", "contributions"}` by row; for several classes the last two have one a class."""
    found = {}
    for one in question.explained:
        told = one.explanation
        base: Any = told.base.tolist()
        base = dict(zip(told.outputs, base, strict=True)) if told.outputs else base[0]
        for place, row in zip(one.places, told.contributions.tolist(), strict=False):
            named = [dict(zip(told.features, cells, strict=True)) for cells in row]
            contributions = dict(zip(told.outputs, named, strict=True)) if told.outputs else named[0]
            found[place] = orjson.dumps(
                {"method": told.method, "unit": told.unit, "base_value": base, "contributions": contributions}
            )
    return found
