"""What a trained model is, and which releases a server answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import UNSET, UnsetType

from trimtab.records.base import Record
from trimtab.records.metric import Task
from trimtab.records.tensors import Tensors

ColumnKind = Literal["number", "category", "boolean", "time"]
Stage = Literal["candidate", "shadow", "canary", "live", "retired", "rejected", "rolled_back"]


class Column(Record, kw_only=True):
    """One named input column that a caller sends: `category` takes strings, `time` an ISO 8601 moment."""

    name: str
    kind: ColumnKind


class Feature(Record, kw_only=True):
    """One float of the model's input row. A `category` is its code: index in `vocabulary`, -1 when unknown or null."""

    name: str
    kind: Literal["number", "category"]
    vocabulary: tuple[str, ...] = ()


class Signature(Record, kw_only=True):
    """How rows become the model's float32 matrix and what its outputs mean.

    `inputs` are the columns a caller sends; `features` the columns of the matrix, in order, after the user's
    optional `features(rows)`. `classes` is empty for regression; for binary tasks the score is P(classes[1]).
    `threshold` is the decision threshold on that score.

    A model beyond tables has `tensors`, and no `inputs` or `features`. With one of the usual tasks its score is the
    output `onnx_output`; the task `tensors` has no score: its outputs are answered under their names.
    """

    task: Task | Literal["tensors"]
    inputs: tuple[Column, ...]
    features: tuple[Feature, ...]
    classes: tuple[str, ...] = ()
    threshold: float = 0.5
    onnx_input: str = "input"
    onnx_output: str = "scores"
    # Left out of the JSON form when not set, so that what was written before it existed keeps its digest.
    tensors: Tensors | UnsetType = UNSET


class ModelIdentity(Record, kw_only=True):
    """Model = code + hyper-parameters + data: three digests and the hash of the three."""

    id: str
    code: str
    params: str
    data: str


class ModelBundle(Record, kw_only=True):
    """Where a model version's parts lie in the blob store (digests). `features_code` is the user's code, a zip of its
    modules, present only when it defines `features(rows)`, and `postprocess_code` when it defines
    `postprocess(outputs)`; `entry` is then the module that holds them. `explainer` is what its answers are explained
    by, absent where they cannot be."""

    onnx: str
    signature: Signature
    features_code: str | None = None
    entry: str = ""
    postprocess_code: str | UnsetType = UNSET
    explainer: str | UnsetType = UNSET


class Route(Record, kw_only=True):
    """One release that the server runs: `weight` is the share of the traffic it answers (0 for shadow)."""

    release: str
    model: str
    bundle: ModelBundle
    stage: Literal["live", "canary", "shadow"]
    weight: float = 0.0


class Routes(Record, kw_only=True):
    """All that the server answers with. `generation` grows by one with every change. `canary_by` names the input column
    whose values share out the traffic (rows of one value meet the same release), empty where prediction ids do.
    `offset` is what the newest truth adds to the log odds of every answer, whichever release gives it: it is no part of
    a model."""

    generation: int
    system: str
    routes: tuple[Route, ...]
    written: datetime
    canary_by: str = ""
    offset: float = 0.0
