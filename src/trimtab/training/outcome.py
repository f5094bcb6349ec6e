"""What a worker came to, once its model is fitted and judged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from trimtab.records.requirement import Estimate, ThresholdChosen
from trimtab.training.evaluate import labelled_metrics
from trimtab.training.job import Fitted, WorkDone
from trimtab.training.phases import Phases


class Judged(NamedTuple):
    """What the evaluated model was found to be on the validation rows: its figures, those of the baseline, and its
    figures by slice."""

    metrics: Mapping[str, Estimate]
    baseline: Mapping[str, Estimate]
    slices: Mapping[str, Estimate]


def outcome(
    folder: Path,
    phases: Phases,
    *,
    shipped: Fitted,
    evaluated: Fitted,
    times: tuple[pl.Series, pl.Series],
    judged: Judged,
    measured: Mapping[str, float],
    postprocess: str,
    threshold: ThresholdChosen | None = None,
) -> WorkDone:
    """`times` are the moments of the training and of the validation rows, in their order. `measured` is told beside
    what is measured of every training: the seconds of its phases, the bytes of the model, the process's peak of
    memory."""
    train, valid = times
    of_all = {f"seconds.{name}": value for name, value in phases.seconds.items()}
    of_all["resources.model_size"] = float((folder / shipped.onnx).stat().st_size)
    of_all["resources.train_memory"] = float(_peak_memory())
    return WorkDone(
        shipped=shipped,
        evaluated=evaluated,
        rows=len(train),
        train_from=train[0],
        train_to=train[-1],
        valid_from=valid[0],
        valid_to=valid[-1],
        metrics=labelled_metrics(judged.metrics),
        baseline=labelled_metrics(judged.baseline),
        slices=labelled_metrics(judged.slices),
        measured=of_all | dict(measured),
        postprocess=postprocess,
        threshold=threshold,
    )


def _peak_memory() -> int:
    """Peak resident bytes of this process. Not `ru_maxrss`, which starts at the parent's size."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
