"""Answers as bytes, for another process that is asked for the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from trimtab.serving.execution.questions import Answers
from trimtab.serving.routing.releases import Release

_ARRAY = 1
_Packed = tuple[list[bytes] | None, list[bytes], list[str], list[dict[str, Any]] | None, Any]


def pack(answers: Answers) -> bytes:
    """What `unpack` makes them of again; their releases by name."""
    values = answers.values
    texts = answers.scores if values is None else None
    releases = [one.release for one in answers.releases]
    return msgspec.msgpack.encode((texts, answers.labels, releases, answers.named, values), enc_hook=_encoded)


def unpack(data: bytes, names: Mapping[str, Release]) -> Answers | None:
    """The answers; None where one is of a release that has no name here. Raises msgspec.DecodeError."""
    texts, labels, releases, named, values = msgspec.msgpack.decode(data, type=_Packed, ext_hook=_decoded)
    if not all(name in names for name in releases):
        return None
    return Answers(texts, labels, [names[name] for name in releases], named, values)


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
