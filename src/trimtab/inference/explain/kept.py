"""What is kept of a model so that its answers can be explained later: one blob beside its ONNX graph.

ONNX has the splits and the leaves of a tree, but not how many training rows went each way, and a server that only
predicts needs no reader of ONNX graphs. So the trees are kept once more, as plain arrays with their covers.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.records.base import Record

_FORM = 1
Link = Literal["identity", "logistic", "softmax", "exponential"]


class KeptTrees(Record, kw_only=True):
    """The trees of an ensemble, one after the other, every array as little-endian bytes with an entry for each node.

    `sizes` [trees] counts nodes (i4). A node goes `left` (i4, a position in its own tree) where `feature` (i4) is not
    above `threshold` (f4), else `right` (i4); a leaf has itself as `left`. `nan_left` (u1) is where a missing value
    goes. `cover` (f8) is how many training rows came through, as the library weighs them. `values` (f8) is
    [nodes, width]. The nodes at `set_nodes` (i4) ask for membership instead: left go the members between two
    `set_ends` (i4) in `set_values` (f8), everything else goes right, a missing value as `nan_left` says. A tree of one
    value counts towards target `position % targets`, one of `targets` values towards all.
    """

    sizes: bytes
    feature: bytes
    threshold: bytes
    left: bytes
    right: bytes
    nan_left: bytes
    cover: bytes
    values: bytes
    width: int
    targets: int
    set_nodes: bytes = b""
    set_ends: bytes = b""
    set_values: bytes = b""


class KeptExplainer(Record, kw_only=True):
    """What explains one model. `unit` is what contributions are counted in; `baseline` (f4) is the row that stands for
    a feature left out: medians of numbers, the commonest category.

    With `trees`, output k of the explanation is `shift[k]` plus the targets' sums times `mix[k]`; through `link` it is
    the model's score. `outputs` are positions in the signature's classes, empty where there is one answer a row.
    `importance` is the mean absolute contribution of each feature on `importance_rows` held-out rows.
    """

    form: int = _FORM
    unit: str
    baseline: bytes
    outputs: tuple[int, ...] = ()
    link: Link
    trees: KeptTrees | None = None
    mix: tuple[tuple[float, ...], ...] = ()
    shift: tuple[float, ...] = ()
    importance: tuple[float, ...] = ()
    importance_rows: int = 0


def encode_explainer(kept: KeptExplainer) -> bytes:
    """The blob; the same explainer gives the same bytes."""
    return msgspec.msgpack.encode(kept)


def decode_explainer(blob: bytes) -> KeptExplainer:
    """What a blob holds. Raises PermanentError when it is none, or of a form that this version does not know."""
    try:
        kept = msgspec.msgpack.decode(blob, type=KeptExplainer)
    except msgspec.MsgspecError as error:
        raise PermanentError(f"what explains the model cannot be read: {error}") from error
    if kept.form != _FORM:
        raise PermanentError(f"what explains the model is of form {kept.form}; this version reads form {_FORM}")
    return kept


def array_of(data: bytes, kind: str) -> NDArray[Any]:
    """Bytes as an array of `kind` (a dtype without its byte order)."""
    return np.frombuffer(data, np.dtype(kind).newbyteorder("<"))


def bytes_of(values: NDArray[Any], kind: str) -> bytes:
    """An array as bytes of `kind`."""
    return np.ascontiguousarray(values, np.dtype(kind).newbyteorder("<")).tobytes()
