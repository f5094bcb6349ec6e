"""The JSON part of a request with tensors in bytes, known again: a caller with one kind of image sends the same one
with every image.

Reading it costs as much as a tenth of a small network's answer. One that is the same, byte for byte, with as many bytes
behind it, means the same tensors; so they are found without it. Only what was read and found right before is ever
known, and only what asks for nothing but outputs.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple, cast
from weakref import ref

import numpy as np

from trimtab.inference.tensors.datatypes import DTYPES
from trimtab.inference.tensors.sent import SentRow, sent_rows
from trimtab.serving.execution.questions import Question
from trimtab.serving.http.bodies.binary import HEADER, BinaryAnswer
from trimtab.serving.http.caller import HttpCaller
from trimtab.serving.http.request import Request
from trimtab.serving.routing.tensor_core import TensorCore

_ALONE = frozenset(("inputs", "outputs"))
_LOOKED_INTO = frozenset(("BYTES", "BOOL"))  # not every value of these is right


class _Place(NamedTuple):
    name: str
    dtype: np.dtype[Any]
    elements: int
    offset: int
    shape: tuple[int, ...]


class KnownTensors:
    """For bodies of `size` bytes that begin with `told`, asked of a release with that `core`."""

    __slots__ = ("_core", "_form", "_outputs", "_places", "_rows", "_size", "_told", "_wanted", "_weight")

    def __init__(
        self, told: bytes, size: int, core: TensorCore, places: list[_Place], question: Question, *, form: str = ""
    ) -> None:
        self._told = told
        self._size = size
        self._core = ref(core)  # which may be replaced, and must not stay in memory for a connection's sake
        self._places = places
        self._rows = question.count
        self._weight = question.weight
        self._form = form
        self._outputs = question.outputs
        answer = question.caller
        self._wanted = answer.wanted if isinstance(answer, BinaryAnswer) else None

    def fill(self, question: Question, body: bytes) -> bool:
        """Fills a question from a body that is known but for the bytes of its tensors; false for any other."""
        core = question.target.tensors
        if len(body) != self._size or core is None or core is not self._core() or not body.startswith(self._told):
            return False
        given = {
            name: np.frombuffer(body, dtype, elements, offset).reshape(shape)
            for name, dtype, elements, offset, shape in self._places
        }
        question.count, question.weight = self._rows, self._weight
        question.rows = [SentRow(given, self._form)] if self._rows == 1 else sent_rows(given, self._rows)
        question.outputs = self._outputs
        if self._wanted is not None:
            answer = BinaryAnswer(cast("HttpCaller", question.caller), self._wanted)
            question.caller, question.render = answer, answer.render
        return True


def known_tensors(question: Question, request: Request, asked: dict[str, Any]) -> KnownTensors | None:
    """What to know such a request by, once `question` was filled from it; None where it is not only tensors in
    bytes."""
    core, told = question.target.tensors, request.field(HEADER)
    if core is None or not told or told == b"0" or not asked.keys() <= _ALONE:
        return None
    offset, places = int(told), []
    for tensor in asked["inputs"]:
        raw, datatype = tensor.get("raw"), tensor["datatype"]
        if not isinstance(raw, memoryview) or datatype in _LOOKED_INTO or datatype not in DTYPES:
            return None
        shape = tuple(tensor["shape"])
        places.append(_Place(tensor["name"], DTYPES[datatype], prod(shape), offset, shape))
        offset += len(raw)
    form = question.rows[0].payload().form if question.rows and question.count == 1 else ""
    return KnownTensors(request.body[: int(told)], len(request.body), core, places, question, form=form)
