"""Why a model answers to one row of the dataset as it does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from trimtab.data.privacy.sealing import sealed_columns
from trimtab.declaration.system import System
from trimtab.errors import PermanentError
from trimtab.inference.encode import encode_frame
from trimtab.inference.explain.explainer import Explainer
from trimtab.inference.explain.kept import decode_explainer
from trimtab.inference.features_code import apply_features
from trimtab.inference.model import load_model
from trimtab.records.base import Record
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained

WITHHELD = "(personal)"


class Part(Record, kw_only=True):
    """A feature's value in the row, and what it contributed to each output."""

    feature: str
    value: Any
    contributions: tuple[float, ...]


class RowExplained(Record, kw_only=True):
    """A model's answer to one row and what made it. `scores` has one figure for each of `classes` (one alone for a
    binary task and for a number); contributions are in `unit` and start from `base`, the largest first; `outputs` name
    the classes they are of. `seen`: the model had this row's truth when it was fitted."""

    key: dict[str, Any]
    at: datetime
    truth: Any
    answer: str
    scores: tuple[float, ...]
    method: str
    unit: str
    base: tuple[float, ...]
    outputs: tuple[str, ...]
    parts: tuple[Part, ...]
    seen: bool


def find_row(rows: pl.DataFrame, system: System, words: str) -> pl.DataFrame:
    """The row [1] with the key that `words` spells; parts of a key of several columns are parted by commas. Raises
    PermanentError where there is none."""
    key = system.labelled.key
    parts = [words] if len(key) == 1 else [part.strip() for part in words.split(",")]
    if len(parts) != len(key):
        raise PermanentError(f"a row's key has {len(key)} parts: {', '.join(key)}", hint="part them by commas")
    found = rows
    for name, part in zip(key, parts, strict=True):
        found = found.filter(pl.col(name).cast(pl.String) == part)
    if not found.height:
        raise PermanentError(
            f"no row whose truth is known has the key {words!r}", hint="`trimtab data show` shows some, with their keys"
        )
    return found.tail(1)


def explain_row(system: System, blobs: Blobs, fact: ModelTrained, row: pl.DataFrame, at: datetime) -> RowExplained:
    """Why the model of `fact` answers to `row` [1], which is of the moment `at`, as it does. Values of personal columns
    are withheld. Raises PermanentError where nothing that explains the model is kept."""
    bundle = fact.bundle
    if not isinstance(bundle.explainer, str):
        raise PermanentError(
            f"model {fact.identity.id} cannot be explained: nothing that explains it was kept at its training",
            hint="models of tensors are not explained; a model of an older version is once it is trained again",
        )
    features = apply_features(blobs, bundle, row)
    model = load_model(blobs, bundle)
    matrix = encode_frame(features, bundle.signature)
    told = Explainer(decode_explainer(blobs.get(bundle.explainer)), model).explain_all(matrix)
    scores = model.scores(matrix).reshape(1, -1)[0].tolist()
    personal = {name for spec in system.data for name in sealed_columns(spec)}
    open_ = {column.name for column in bundle.signature.inputs} - personal
    derived = bool(personal & {column.name for column in bundle.signature.inputs})  # features may tell what it was
    sizes = abs(told.contributions[0]).max(axis=0)
    parts = [
        Part(
            feature=name,
            value=WITHHELD if name in personal or (derived and name not in open_) else features.get_column(name)[0],
            contributions=tuple(told.contributions[0, :, position].tolist()),
        )
        for position, name in sorted(enumerate(told.features), key=lambda pair: -sizes[pair[0]])
    ]
    spec = system.labelled
    hidden = personal & {*spec.key, str(spec.label)}
    return RowExplained(
        key={name: WITHHELD if name in hidden else row.get_column(name)[0] for name in spec.key},
        at=at,
        truth=WITHHELD if spec.label in hidden else row.get_column(str(spec.label))[0],
        answer=_answer(fact, scores),
        scores=tuple(scores),
        method=told.method,
        unit=told.unit,
        base=tuple(told.base.tolist()),
        outputs=told.outputs,
        parts=tuple(parts),
        seen=fact.train_from <= at <= (fact.valid_to if fact.evaluated is not None else fact.train_to),
    )


def _answer(fact: ModelTrained, scores: list[float]) -> str:
    signature = fact.bundle.signature
    if not signature.classes:
        return f"{scores[0]:.6g}"
    if len(scores) == 1:
        return signature.classes[int(scores[0] >= signature.threshold)]
    return signature.classes[max(range(len(scores)), key=scores.__getitem__)]
