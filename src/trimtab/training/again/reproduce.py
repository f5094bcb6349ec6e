"""Rebuild a past model from its kept code and the same rows, and say whether it came out the same, and why not."""

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
from trimtab.inference.model import Model
from trimtab.records.base import Record
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.model import ModelIdentity
from trimtab.records.tensors import Tensors
from trimtab.training.again.otherwise import (
    Span,
    code_changes,
    determinism_hint,
    environment_changes,
    environment_then,
    row_changes,
)
from trimtab.training.build import Built, Failure
from trimtab.training.code.snapshot import write_files
from trimtab.training.export.export import difference
from trimtab.training.identity import CodeIdentity, code_digest
from trimtab.training.job import TrainingJob
from trimtab.training.split import moments
from trimtab.training.trainer import Trainer, identity_of

TOLERANCE = 1e-6


class Reproduced(Record, kw_only=True):
    """What rebuilding came to: `identical` (the same bytes), `equal` (scores within the tolerance) or `different`.

    `difference` is the largest between the scores on the validation rows (None when there is no model to compare);
    `why` names what is not as it was: code, libraries, hyper-parameters, data, machine; or that the training does not
    give the same twice. `metrics` are those whose figure changed, with both figures. `steady` says whether two
    trainings one after the other gave the same bytes now; None where that was not tried, as there was no need to.
    """

    outcome: Literal["identical", "equal", "different"]
    difference: float | None
    why: tuple[str, ...]
    metrics: dict[str, tuple[float | None, float | None]]
    steady: bool | None = None


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

    Where another model comes of the same code, hyper-parameters, data and libraries, it is trained once more: two
    trainings that differ now are told from a machine that is another one. Nothing is kept. Raises PermanentError when a
    part of the model is missing from the blob store.
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
        built = trainer.build(job, code, train, valid)
        again = identity_of(job, code, train, valid)
        why = _changes(fact, job, code, again=again, train=train, valid=valid)
        if isinstance(built, Failure):
            why.append(f"training: {built.reason}")
            return Reproduced(outcome="different", difference=None, why=tuple(why), metrics={})
        found = _compared(blobs, fact, built, valid, tolerance=tolerance, why=why)
        if found.outcome == "identical" or why:
            return found
        second = trainer.build(job, code, train, valid)
        steady = isinstance(second, Built) and second.onnx == built.onnx
        reasons = _reasons(trainer, blobs, fact, code, found, steady=steady)
        return msgspec.structs.replace(found, steady=steady, why=reasons)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _changes(
    fact: ModelTrained,
    job: TrainingJob,
    code: CodeIdentity,
    *,
    again: ModelIdentity,
    train: pl.DataFrame,
    valid: pl.DataFrame,
) -> list[str]:
    """What the identity says is not as it was."""
    why = code_changes(fact, code)
    if again.params != fact.identity.params:
        why.append("hyper-parameters: the settings that are kept do not give the digest that was recorded")
    if again.data != fact.identity.data:
        why.append("data: these are not the rows that the model was trained on")
        why += row_changes(fact, _span(job, train), _span(job, valid))
    return why


def _compared(
    blobs: Blobs, fact: ModelTrained, built: Built, valid: pl.DataFrame, *, tolerance: float, why: list[str]
) -> Reproduced:
    """The two models side by side, on the validation rows."""
    metrics = {
        name: (before.figure, built.done.metrics[name].figure if name in built.done.metrics else None)
        for name, before in fact.metrics.items()
        if name not in built.done.metrics or before.figure != built.done.metrics[name].figure
    }
    signature, old = fact.bundle.signature, blobs.get(fact.bundle.onnx)
    if old == built.onnx and built.done.shipped.signature == signature:
        return Reproduced(outcome="identical", difference=0.0, why=tuple(why), metrics=metrics)
    if isinstance(signature.tensors, Tensors):  # it answers with boxes, masks or words: their figures are compared
        return Reproduced(outcome="different", difference=None, why=tuple(why), metrics=metrics)
    # The threshold may be learnt too; what the score is must be the same for a comparison to mean anything.
    if msgspec.structs.replace(built.done.shipped.signature, threshold=signature.threshold) != signature:
        why.append("data: the features or their categories are not the same")
        return Reproduced(outcome="different", difference=None, why=tuple(why), metrics=metrics)
    largest = _apart(blobs, fact, (old, built.onnx), valid)
    outcome: Literal["equal", "different"] = "equal" if largest <= tolerance else "different"
    return Reproduced(outcome=outcome, difference=largest, why=tuple(why), metrics=metrics)


def _apart(blobs: Blobs, fact: ModelTrained, graphs: tuple[bytes, bytes], valid: pl.DataFrame) -> float:
    """The largest difference between two graphs of one signature, on the validation rows."""
    signature = fact.bundle.signature
    if isinstance(signature.tensors, Tensors):
        from trimtab.inference.media_rows import decode  # here: most models have no files to decode
        from trimtab.inference.tensors.model import TensorModel
        from trimtab.training.media.parity import between

        old, new = (TensorModel(content, signature) for content in graphs)
        return between(old, new, decode(valid, signature.tensors.inputs, ()).rows())
    matrix = encode_frame(apply_features(blobs, fact.bundle, valid), signature)
    scores = [Model.load(content, signature).scores(matrix) for content in graphs]
    return difference(scores[1], scores[0].astype(np.float64))


def _reasons(
    trainer: Trainer, blobs: Blobs, fact: ModelTrained, code: CodeIdentity, found: Reproduced, *, steady: bool
) -> tuple[str, ...]:
    """Why the same code, hyper-parameters and data did not give the same bytes."""
    if not steady:
        return (
            "training: it does not give the same twice: two trainings one after the other differ here as well",
            f"training: {determinism_hint(code.libraries)}",
        )
    machine = environment_changes(environment_then(blobs, fact.identity.id), trainer.environment(), code)
    if machine:
        return tuple(machine)
    if found.outcome == "equal":
        return ("training: it gives the same twice here; what differs is rounding",)
    return (
        "training: it gives the same twice here, on the machine and with the libraries of then, but not that model: "
        "something outside of the code's folder has changed, such as a file, the environment or what a service answers",
    )


def _span(job: TrainingJob, rows: pl.DataFrame) -> Span:
    when = moments(rows, job.time, job.predict_before)
    return rows.height, when[0], when[-1]
