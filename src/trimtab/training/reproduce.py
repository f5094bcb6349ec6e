"""Rebuild a past model from its kept code and the same rows, and compare."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import polars as pl

from trimtab.errors import PermanentError
from trimtab.inference.encode import encode_frame
from trimtab.inference.features_code import apply_features
from trimtab.inference.session import Model
from trimtab.records.base import Record
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.training.build import Failure
from trimtab.training.export.export import difference
from trimtab.training.identity import CodeIdentity, code_digest
from trimtab.training.job import TrainingJob
from trimtab.training.snapshot import write_files
from trimtab.training.trainer import Trainer, identity_of

TOLERANCE = 1e-6


class Reproduced(Record, kw_only=True):
    """What rebuilding came to: `identical` (the same bytes), `equal` (scores within the tolerance) or `different`.

    `difference` is the largest between the scores on the validation rows (None when there is no model to compare);
    `why` names what is not as it was: code, libraries, hyper-parameters, data; `metrics` those whose figure changed,
    with both figures.
    """

    outcome: Literal["identical", "equal", "different"]
    difference: float | None
    why: tuple[str, ...]
    metrics: dict[str, tuple[float | None, float | None]]


def reproduce(
    trainer: Trainer,
    blobs: Blobs,
    fact: ModelTrained,
    train: pl.DataFrame,
    valid: pl.DataFrame,
    *,
    tolerance: float = TOLERANCE,
) -> Reproduced:
    """Train the model again in a new worker, from its kept code and settings and the rows given, and compare.

    Nothing is kept. Raises PermanentError when a part of the model is missing from the blob store.
    """
    kept = blobs.get_ref(f"job-{fact.identity.id}")
    if kept is None:
        raise PermanentError(f"the settings of model {fact.identity.id} are not kept here")
    job = msgspec.json.decode(blobs.get(kept), type=TrainingJob)
    folder = Path(tempfile.mkdtemp(prefix="trimtab-reproduce-"))
    try:
        write_files(folder, {path: blobs.get(digest) for path, digest in fact.code_files.items()})
        entry = folder / Path(job.code).resolve().relative_to(Path(job.root).resolve())
        code = code_digest(entry, folder)
        again = identity_of(job, code, train, valid)
        built = trainer.build(job, code, train, valid)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    why = [*_code_changes(fact, code)]
    if again.params != fact.identity.params:
        why.append("hyper-parameters: the settings that are kept do not give the digest that was recorded")
    if again.data != fact.identity.data:
        why.append("data: these are not the rows that the model was trained on")
    if isinstance(built, Failure):
        return Reproduced(outcome="different", difference=None, why=(*why, f"training: {built.reason}"), metrics={})
    metrics = {
        name: (before.figure, built.done.metrics[name].figure if name in built.done.metrics else None)
        for name, before in fact.metrics.items()
        if name not in built.done.metrics or before.figure != built.done.metrics[name].figure
    }
    old = blobs.get(fact.bundle.onnx)
    if old == built.onnx and built.done.shipped.signature == fact.bundle.signature:
        return Reproduced(outcome="identical", difference=0.0, why=tuple(why), metrics=metrics)
    if built.done.shipped.signature != fact.bundle.signature:
        why.append("data: the features or their categories are not the same")
        return Reproduced(outcome="different", difference=None, why=tuple(why), metrics=metrics)
    matrix = encode_frame(apply_features(blobs, fact.bundle, valid), fact.bundle.signature)
    scores = [Model.load(content, fact.bundle.signature).scores(matrix) for content in (old, built.onnx)]
    largest = difference(scores[1], scores[0].astype(np.float64))
    if largest <= tolerance:
        return Reproduced(outcome="equal", difference=largest, why=tuple(why), metrics=metrics)
    if not why:
        why.append(
            "training: the same code, hyper-parameters and data gave another model; fix its seeds and its threads"
        )
    return Reproduced(outcome="different", difference=largest, why=tuple(why), metrics=metrics)


def _code_changes(fact: ModelTrained, code: CodeIdentity) -> list[str]:
    changed = [
        f"libraries: {name} was {fact.libraries.get(name, 'not used')}, is {code.libraries.get(name, 'not used')}"
        for name in sorted(fact.libraries.keys() | code.libraries.keys())
        if fact.libraries.get(name) != code.libraries.get(name)
    ]
    if not changed and code.digest != fact.identity.code:
        changed.append("code: the version of Trimtab that trains is another one")
    return changed
