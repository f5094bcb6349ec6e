"""What a request's header lines and its address say about how it wants to be answered: by when, by the same release as
whom, and with or without the reasons."""

from __future__ import annotations

from difflib import get_close_matches
from urllib.parse import parse_qsl

from trimtab.serving.execution.questions import Question
from trimtab.serving.http.request import Request
from trimtab.serving.refusals import RefusalError

_TIMEOUT, _ENVOY, _STICKY = b"x-request-timeout-ms", b"x-envoy-expected-rq-timeout-ms", b"x-sticky-key"
_FLAGS = {"true": True, "1": True, "": True, "false": False, "0": False}
_NAMES = frozenset((_TIMEOUT, _ENVOY, _STICKY))
_OF_THE_BODY = frozenset(("rows", "ids", "id", "time", "sticky_key", "timeout"))
_SIZES = frozenset(map(len, _NAMES))


def read_terms(question: Question, request: Request) -> None:
    """Takes `x-request-timeout-ms` (milliseconds; also as Envoy sends it) and `x-sticky-key` from the header. Raises
    RefusalError (400 or 422) for a value that cannot be. `?explain=true` asks for explanations; what nobody here knows
    is left aside, unless it is nearly that, or belongs elsewhere."""
    head = request.head
    if head is not None:
        if head.silent is None:
            head.silent = _is_silent(request)
        if head.silent:
            return
    if b"?" in request.url:
        _read_query(question, request.url.partition(b"?")[2])
    read_header(question, request)


def read_header(question: Question, request: Request) -> None:
    """Takes what the header lines alone say. Raises RefusalError as above."""
    for name, value in request.fields:
        if len(name) not in _SIZES:
            continue
        lower = name.lower()
        if lower == _STICKY:
            question.stick(value.decode("utf-8", "replace"), "header x-sticky-key")
        elif lower in (_TIMEOUT, _ENVOY):
            text = value.decode("latin-1").strip()
            milliseconds = float(text) if text.replace(".", "", 1).isdecimal() else text
            question.limit(milliseconds, 1e3, f"header {lower.decode()}")


def _is_silent(request: Request) -> bool:
    """Whether neither header nor address says anything of this."""
    return b"?" not in request.url and all(name.lower() not in _NAMES for name, _ in request.fields)


def _read_query(question: Question, query: bytes) -> None:
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name == "explain":
            question.ask_why(_FLAGS.get(value.lower(), value), "`explain` in the address")
        elif name in _OF_THE_BODY:
            raise RefusalError(422, f"`{name}` in the address is not read", hint="it goes into the body")
        elif get_close_matches(name.lower(), ("explain",), cutoff=0.7):
            raise RefusalError(422, f"unknown option {name[:40]!r} in the address", hint="did you mean `explain`?")
