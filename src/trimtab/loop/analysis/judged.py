"""The rows that a model was judged on, found again, with what it answered to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.kinds import SourceKinds
from trimtab.data.store.home import Home
from trimtab.declaration.system import System
from trimtab.errors import PermanentError
from trimtab.inference.encode import encode_frame
from trimtab.inference.features_code import apply_features
from trimtab.inference.model import Model, load_model
from trimtab.loop.past.again import rows_then
from trimtab.measures.metrics.declared import estimate
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.journal import Entry
from trimtab.records.ledger import Ledger
from trimtab.records.metric import is_answered
from trimtab.records.tensors import Tensors
from trimtab.training.evaluate import days_of
from trimtab.training.job import TrainingJob
from trimtab.training.rows import encode_labels
from trimtab.training.split import moments


@dataclass(frozen=True)
class Judged:
    """The rows that a model was trained on (`train`), and its validation rows in order of time.

    Of the latter: `x` [n, features] as its signature codes them, the truth `y` [n], and the `scores` of the model that
    was measured on them, which is the one before it was fitted again with them. `day` [n] says which rows may move
    together. `same` tells whether these are the rows of its training's figures.
    """

    job: TrainingJob
    train: pl.DataFrame
    rows: pl.DataFrame
    model: Model
    x: NDArray[np.float32]
    y: NDArray[Any]
    scores: NDArray[np.float64]
    day: NDArray[np.int64]
    same: bool


def judged_rows(
    system: System, ledger: Ledger, blobs: Blobs, *, data: Home, entry: Entry[ModelTrained], kinds: SourceKinds
) -> Judged:
    """Find the rows again. Raises PermanentError where they, or parts of the model, are not kept any more."""
    fact = entry.fact
    if isinstance(fact.bundle.signature.tensors, Tensors):
        raise PermanentError("a model of images or sounds has no features that could be shuffled or compared")
    kept = blobs.get_ref(f"job-{fact.identity.id}")
    if kept is None:
        raise PermanentError(f"the settings of model {fact.identity.id} are not kept here")
    job = msgspec.json.decode(blobs.get(kept), type=TrainingJob)
    if is_answered(job.task):
        raise PermanentError(f"models of columns are looked into row by row, and {job.task} has none")
    parts = rows_then(system, ledger, data=data, entry=entry, kinds=kinds, task=job.task)
    valid = parts.valid
    bundle = fact.evaluated or fact.bundle
    signature = bundle.signature
    x = encode_frame(apply_features(blobs, bundle, valid), signature)
    y = encode_labels(valid.get_column(job.label), signature.classes, job.task)
    model = load_model(blobs, bundle)
    scores = model.scores(x).astype(np.float64)
    day = days_of(moments(valid, job.time, job.predict_before))
    return Judged(
        job=job,
        train=parts.train,
        rows=valid,
        model=model,
        x=x,
        y=y,
        scores=scores,
        day=day,
        same=_same(fact, job, y, scores),
    )


def _same(fact: ModelTrained, job: TrainingJob, y: NDArray[Any], scores: NDArray[np.float64]) -> bool:
    """Whether the figures of the training come out again."""
    for metric, before in fact.metrics.items():
        if before.figure is None or before.rows != len(y):
            continue
        threshold = fact.bundle.signature.threshold
        now = estimate(metric, y=y, score=scores, threshold=threshold, value=job.value, task=job.task)
        return now.figure is not None and abs(now.figure - before.figure) <= 1e-6 * max(1.0, abs(before.figure))
    return False
