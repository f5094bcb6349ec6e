"""What the worker does with an order, in its own process: it reads, derives features, has them fitted, evaluates."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.errors import PermanentError, TrimtabError
from trimtab.inference.features_code import FeaturesFunction, derive
from trimtab.inference.signature import column_kind, fit_signature
from trimtab.measures.metrics.threshold import choose_threshold
from trimtab.records.durable import write_atomically
from trimtab.records.model import Column, Signature
from trimtab.records.requirement import ThresholdChosen
from trimtab.records.tensors import MediaModel
from trimtab.training.code.snapshot import dotted
from trimtab.training.code.stored_code import StoredCode
from trimtab.training.evaluate import Evaluation, check_measurable, days_of, threshold_of
from trimtab.training.fitting import Fitting
from trimtab.training.job import DAYS, MATRIX, Fitted, WorkDone, WorkOrder, WorkRefused
from trimtab.training.outcome import Judged, outcome
from trimtab.training.phases import Phases
from trimtab.training.rows import Rows, classes_of, encode_labels, rows_of
from trimtab.training.split import moments
from trimtab.training.tracking.log import record_with
from trimtab.training.tracking.recorder import Recorder
from trimtab.training.user_code import import_entry, users


def read_order(folder: Path) -> WorkOrder:
    """The order in a job's folder."""
    return msgspec.json.decode((folder / "job.json").read_bytes(), type=WorkOrder)


def carry_out(order: WorkOrder, folder: Path) -> None:
    """Do the work and leave `result.json`; refusals and the user's errors are results too."""
    recorder = Recorder(Path(order.tracked or folder / "tracked"))
    record_with(recorder)
    try:
        if isinstance(order.job.media, MediaModel):
            from trimtab.training.media.work import MediaWork  # here: most workers decode nothing

            result: WorkDone | WorkRefused = MediaWork(order, folder, recorder).run()
        else:
            result = _Work(order, folder, recorder).run()
    except TrimtabError as error:
        traceback.print_exc()
        result = WorkRefused(reason=error.message, hint=error.hint)
    except MemoryError:
        traceback.print_exc()
        result = WorkRefused(reason="it ran out of memory: an allocation went beyond what the limit allows")
    record_with(None)
    recorder.close()
    write_atomically(folder / "result.json", msgspec.json.encode(result))


@dataclass
class _Part:
    """Labelled rows on their way to a matrix."""

    raw: pl.DataFrame
    time: pl.Series
    features: pl.DataFrame


class _Work:
    def __init__(self, order: WorkOrder, folder: Path, recorder: Recorder) -> None:
        self.order = order
        self.folder = folder
        self.phases = Phases()
        self.fitting = Fitting(order, folder, self.phases, recorder)

    def run(self) -> WorkDone:
        job = self.order.job
        with self.phases.timed("read"):
            raw_train = pl.read_ipc(self.folder / "train.arrow")
            raw_valid = pl.read_ipc(self.folder / "valid.arrow")
            columns = self._columns(raw_train)
            check_measurable(job.task, job.requirements, job.baseline, raw_valid.columns)
        with self.phases.timed("import"):
            random.seed(job.seed)
            np.random.seed(job.seed % 2**32)  # what the user's libraries draw from
            user = import_entry(self.order, self.folder / "code")
        with self.phases.timed("features"):
            function = user.features if self.order.has_features else None
            train = self._part(raw_train, function, columns)
            valid = self._part(raw_valid, function, columns)
            classes = classes_of([raw_train[job.label], raw_valid[job.label]], job.task)
            y_train = encode_labels(raw_train[job.label], classes, job.task)
            y_valid = encode_labels(raw_valid[job.label], classes, job.task)
        with self.phases.timed("encode"):
            signature = self._signature(train, columns, classes)
            self._check_personal(signature)
            rows_train = rows_of(
                train.features, y_train, train.time, signature, seen=False, checkpoints=self.order.checkpoints
            )
            rows_valid = rows_of(valid.features, y_valid, valid.time, signature, seen=False)
            stored = StoredCode(self.folder, dotted(self.order.entry))
            code = stored.features(valid.raw, valid.features, signature, columns) if function is not None else ""
            if not job.refit:
                self._keep_matrix(rows_train)
        evaluated, scores = self.fitting.fit(
            user.train, rows_train, rows_valid, signature, name="model", code=code, explained=not job.refit
        )
        hook = ""
        if self.order.has_postprocess:
            with self.phases.timed("postprocess"), users("postprocess(outputs)"):
                hook = stored.postprocess(user.postprocess, {signature.onnx_output: scores})
        chosen = self._threshold(evaluated, signature, scores, y_valid, valid.time)
        evaluated = _answering_from(evaluated, chosen)
        with self.phases.timed("evaluate"):
            evaluation = Evaluation(
                task=job.task,
                y=y_valid,
                day=days_of(valid.time),
                value=job.value,
                requirements=job.requirements,
                bootstrap=job.bootstrap,
                seed=job.seed,
                threshold=evaluated.signature.threshold,
            )
            metrics = evaluation.metrics(scores)
            slices = evaluation.slices(scores, raw_valid)
            baseline = evaluation.baseline(job.baseline, y_train, len(classes))
        shipped = evaluated
        if job.refit:
            y = np.concatenate([y_train, y_valid])
            shipped = self._refit(user.train, train, valid, y=y, columns=columns, classes=classes, code=code)
            shipped = _answering_from(shipped, chosen)
        measured = {"serving.throughput": self.fitting.throughput(shipped)}
        if shipped.explainer:
            measured["serving.explain_time"] = self.fitting.explain_time(shipped)
        return outcome(
            self.folder,
            self.phases,
            shipped=shipped,
            evaluated=evaluated,
            times=(train.time, valid.time),
            judged=Judged(metrics, baseline, slices),
            measured=measured,
            postprocess=hook,
            threshold=chosen,
        )

    def _columns(self, frame: pl.DataFrame) -> list[Column]:
        job = self.order.job
        own = {*job.key, job.time, job.label}
        # What begins with `_` is Trimtab's own: a dataset has no such column.
        names = job.inputs or tuple(c for c in frame.columns if c not in own and not c.startswith("_"))
        for name in names:
            if name not in frame.columns:
                raise PermanentError(
                    f"input column {name!r} is missing",
                    hint=f"found {', '.join(n for n in frame.columns if n[0] != '_')}",
                )
            if name == job.label:
                raise PermanentError(f"the label {name!r} cannot be an input of the model")
        return [Column(name=name, kind=column_kind(name, frame.schema[name])) for name in names]

    def _check_personal(self, signature: Signature) -> None:
        """The words of a category stand in the model and in the ledger, for good: none of them may be a person's."""
        for feature in signature.features:
            if feature.kind == "category" and feature.name in self.order.job.personal:
                raise PermanentError(
                    f"the personal column {feature.name!r} would become a category, whose words the model keeps",
                    hint="derive something in features() that tells no person, or leave it out of `inputs`",
                )

    def _part(self, raw: pl.DataFrame, function: FeaturesFunction | None, columns: list[Column]) -> _Part:
        job = self.order.job
        return _Part(raw, moments(raw, job.time, job.predict_before), derive(function, raw, columns))

    def _signature(self, part: _Part, columns: list[Column], classes: tuple[str, ...]) -> Signature:
        job = self.order.job
        inputs = part.raw.select(column.name for column in columns)
        return fit_signature(
            inputs, part.features, job.task, classes=classes, threshold=threshold_of(job.task, job.value, job.threshold)
        )

    def _threshold(
        self, fitted: Fitted, declared: Signature, scores: NDArray[Any], y: NDArray[Any], time: pl.Series
    ) -> ThresholdChosen | None:
        """The threshold that earned the most, where that is declared and the model brings none along."""
        job = self.order.job
        own = fitted.signature.threshold != declared.threshold
        if job.threshold != "value" or job.task != "binary_classification" or job.value is None or own:
            return None
        with self.phases.timed("evaluate"):
            return choose_threshold(
                y.astype(np.float64),
                scores.astype(np.float64),
                job.value,
                days_of(time),
                break_even=threshold_of(job.task, job.value),
            )

    def _refit(
        self,
        function: Callable[..., Any],
        train: _Part,
        valid: _Part,
        *,
        y: NDArray[Any],
        columns: list[Column],
        classes: tuple[str, ...],
        code: str,
    ) -> Fitted:
        whole = _Part(
            pl.concat([train.raw, valid.raw]),
            pl.concat([train.time, valid.time]),
            pl.concat([train.features, valid.features]),
        )
        signature = self._signature(whole, columns, classes)
        rows = rows_of(whole.features, y, whole.time, signature, seen=False, checkpoints=self.order.checkpoints)
        self._keep_matrix(rows)
        again = rows_of(valid.features, y[len(train.time) :], valid.time, signature, seen=True)
        return self.fitting.fit(function, rows, again, signature, name="refitted", code=code, explained=True)[0]

    def _keep_matrix(self, rows: Rows) -> None:
        """Keep the shipped model's rows for its profile, before the user's code may write into them."""
        if self.order.keep_matrix:
            np.save(self.folder / MATRIX, rows.x)
            np.save(self.folder / DAYS, days_of(rows.time))


def _answering_from(fitted: Fitted, chosen: ThresholdChosen | None) -> Fitted:
    if chosen is None:
        return fitted
    signature = msgspec.structs.replace(fitted.signature, threshold=chosen.threshold)
    return msgspec.structs.replace(fitted, signature=signature)
