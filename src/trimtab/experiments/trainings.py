"""Reading what trainings left: the record of one, its curves, its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from trimtab.errors import PermanentError
from trimtab.experiments.port import Curve
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.tracking import Artifact, Fit, Training, ref_of

if TYPE_CHECKING:
    import polars as pl


def find_training(blobs: Blobs, identity: str) -> Training | None:
    """What the training of an identity left; None where there was none, or it was before this was kept."""
    digest = blobs.get_ref(ref_of(identity))
    return None if digest is None else msgspec.json.decode(blobs.get(digest), type=Training)


def training_of(blobs: Blobs, identity: str) -> Training:
    """The same, or PermanentError."""
    found = find_training(blobs, identity)
    if found is None:
        raise PermanentError(
            f"nothing is kept of how {identity} was trained",
            hint="it was trained by an earlier Trimtab, or brought as a model file",
        )
    return found


def curves_of(blobs: Blobs, training: Training, fits: Sequence[Fit] | None = None) -> tuple[Curve, ...]:
    """Every metric by step (of these fits), by fit and name."""
    if not training.points:
        return ()
    import polars as pl  # here: whoever only asks for records need not wait for it

    return curves_in(pl.read_ipc(blobs.get(training.points)), fits)


def curves_in(points: pl.DataFrame, fits: Sequence[Fit] | None = None) -> tuple[Curve, ...]:
    """The curves of points: fit, name, step, value, at."""
    found = []
    for (fit, name), part in points.group_by("fit", "name", maintain_order=True):
        if fits is None or fit in fits:
            steps, values, at = (part[column].to_numpy() for column in ("step", "value", "at"))
            found.append(Curve(msgspec.convert(fit, Fit), str(name), steps, values.astype(np.float64), at))
    return tuple(found)


class KeptContents:
    """The contents of one training, from the blobs; `model` is its model's fact, None where it came to none."""

    def __init__(self, blobs: Blobs, training: Training, model: ModelTrained | None) -> None:
        self._blobs = blobs
        self._training = training
        self._model = model

    def curves(self) -> Sequence[Curve]:
        return curves_of(self._blobs, self._training)

    def artifact(self, artifact: Artifact) -> Path:
        return self._blobs.checked(artifact.digest)

    def patch(self) -> str:
        patch = self._training.source.patch
        return self._blobs.get(patch).decode() if patch else ""

    def model(self) -> bytes | None:
        return None if self._model is None else self._blobs.get(self._model.bundle.onnx)
