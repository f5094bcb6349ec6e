"""Outputs as tensors: which a model has, and those it answers by name beside score and label."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from trimtab.inference.tensors.datatypes import datatype_of
from trimtab.serving.execution.questions import Answers, Question
from trimtab.serving.open_inference.values import without_shared_memory
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.naming import ReleaseName

SCORE, LABEL, PREDICTION_ID = "score", "label", "prediction_id"
NOT_OFFERED = frozenset(("classification", "shared_memory_region"))
"""Parameters of tensors that belong to extensions of the protocol which are not offered."""


class Output(NamedTuple):
    """One output: `values` are an array of `shape`, or texts or bytes where `datatype` is BYTES."""

    name: str
    datatype: str
    shape: list[int]
    values: Any


def refused_extension(where: str, name: str) -> RefusalError:
    """What whoever asks for one of `NOT_OFFERED` is told."""
    if name == "classification":
        return RefusalError(422, f"{where}: {name} is not offered")
    return without_shared_memory(where)


def output_object(output: Output) -> dict[str, Any]:
    """An output as it stands in JSON, its values one after the other."""
    flat = output.values if output.datatype == "BYTES" else output.values.ravel()
    return {"name": output.name, "datatype": output.datatype, "shape": output.shape, "data": flat}


def output_names(release: ReleaseName) -> tuple[str, ...]:
    """The outputs of a release, in order."""
    usual = (SCORE,) if release.outputs else ()
    return (*usual, *((LABEL,) if release.decided else ()), PREDICTION_ID, *release.named)


def named_outputs(question: Question, answers: Answers, offset: int) -> list[Output]:
    """The further outputs of a question's rows that are wanted."""
    if answers.named is None:
        return []
    rows = answers.named[offset : offset + question.count]
    wanted: Collection[str] | None = question.outputs
    names = dict.fromkeys(name for row in rows for name in row if wanted is None or name in wanted)
    return [as_output(name, [row.get(name) for row in rows]) for name in names]


def named_metadata(name: str, example: Any) -> dict[str, Any]:
    """What metadata tells of an output of which one row is known; its sizes may differ by row."""
    found = as_output(name, [example])
    return {"name": name, "datatype": found.datatype, "shape": [-1] * len(found.shape)}


def as_output(name: str, values: Sequence[Any]) -> Output:
    """One value a row as a tensor. Arrays of one type are stacked, after the shorter are filled up with zeros along
    their first axis; so are lists of texts, with empty ones. Whatever else is told as JSON, a text a row."""
    count = len(values)
    if all(isinstance(one, str) for one in values):
        return Output(name, "BYTES", [count], list(values))
    if all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in values):
        longest = max(map(len, values))
        filled = [text for one in values for text in (*one, *[""] * (longest - len(one)))]
        return Output(name, "BYTES", [count, longest], filled)
    if (nested := _nested_texts(values)) is not None:
        return Output(name, "BYTES", list(nested.shape), nested.ravel().tolist())
    stacked = _stacked(values)
    if stacked is None:
        return Output(name, "BYTES", [count], [_json(one).decode() for one in values])
    return Output(name, datatype_of(stacked.dtype), list(stacked.shape), stacked)


def _nested_texts(values: Sequence[Any]) -> Any:
    """Lists of lists of texts, all alike, as one array; None for whatever else they are."""
    if not all(isinstance(one, list) and one and isinstance(one[0], list) for one in values):
        return None
    try:
        found = np.array(values, object)
    except ValueError:  # they differ
        return None
    return found if all(isinstance(text, str) for text in found.flat) else None


def _stacked(values: Sequence[Any]) -> Any:
    """The values as one array, None where they do not make one."""
    if not all(isinstance(one, np.ndarray | np.generic | int | float) for one in values):
        return None
    arrays = [np.asarray(one) for one in values]
    if arrays[0].dtype == np.float16:  # which JSON and gRPC's typed contents do not know
        arrays = [array.astype(np.float32) for array in arrays]
    if len({array.dtype for array in arrays}) > 1 or arrays[0].dtype.kind not in "biuf":
        return None
    if len({array.shape[1:] for array in arrays}) > 1 or len({array.ndim for array in arrays}) > 1:
        return None
    if len({array.shape for array in arrays}) == 1:
        return np.stack(arrays)
    longest = max(len(array) for array in arrays)
    filled = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), arrays[0].dtype)
    for place, array in enumerate(arrays):
        filled[place, : len(array)] = array
    return filled


def named_json(row: Mapping[str, Any]) -> bytes:
    """The further outputs of one row as a JSON object."""
    return _json(row)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
