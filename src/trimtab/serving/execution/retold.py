"""Answers as bytes, for another process that is asked for the same."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from trimtab.serving.execution.questions import Answers
from trimtab.serving.routing.naming import ReleaseName, Words

_ARRAY = 1
_Packed = tuple[list[bytes] | None, list[bytes], list[Words], list[int], list[dict[str, Any]] | None, Any]


def pack(answers: Answers) -> bytes:
    """What `unpack` makes them of again."""
    values = answers.values
    texts = answers.scores if values is None else None
    places: dict[Words, int] = {}
    releases = [places.setdefault(one.words, len(places)) for one in answers.releases]
    told = texts, answers.labels, [*places], releases, answers.named, values
    return msgspec.msgpack.encode(told, enc_hook=_encoded)


def unpack(data: bytes) -> Answers:
    """The answers. Raises msgspec.DecodeError."""
    texts, labels, words, releases, named, values = msgspec.msgpack.decode(data, type=_Packed, ext_hook=_decoded)
    names = [ReleaseName(one) for one in words]
    return Answers(texts, labels, [names[place] for place in releases], named, values)


def _encoded(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        whole = (array.dtype.str, list(array.shape), array.tobytes(), isinstance(value, np.generic))
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode(whole))
    raise TypeError(f"an output of type {type(value).__name__}")


def _decoded(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise ValueError(f"extension {code}")
    dtype, shape, content, single = msgspec.msgpack.decode(data, type=tuple[str, list[int], bytes, bool])
    array = np.frombuffer(content, dtype).reshape(shape)
    return array[()] if single else array
