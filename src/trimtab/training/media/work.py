"""What the worker does where rows are images or sounds: decode, fit, keep the graph, check it, judge its answers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trimtab.errors import PermanentError
from trimtab.inference.postprocess_code import load_postprocess
from trimtab.inference.tensors.model import TensorModel
from trimtab.inference.tensors.rows import TensorRows
from trimtab.measures.metrics.answered.families import answered_metrics
from trimtab.records.metric import PART
from trimtab.records.tensors import MediaModel
from trimtab.training.code.snapshot import dotted
from trimtab.training.code.stored_code import StoredCode
from trimtab.training.evaluate import days_of
from trimtab.training.export.export import LARGEST_DIFFERENCE
from trimtab.training.export.media_graph import media_signature, returned_graph
from trimtab.training.job import DAYS, MATRIX, Fitted, WorkDone, WorkOrder
from trimtab.training.media.answered import (
    BASELINES,
    AnsweredEvaluation,
    baseline_answers,
    judge_answers,
    judge_model,
    judging,
)
from trimtab.training.media.parity import alone, beside
from trimtab.training.media.rows import MediaRows, media_rows, together
from trimtab.training.media.truths import read_truths
from trimtab.training.outcome import Judged, outcome
from trimtab.training.phases import Phases
from trimtab.training.split import moments
from trimtab.training.tracking.recorder import Recorder
from trimtab.training.user_code import import_entry, users

_CHECKED = 32


class MediaWork:
    """One order, in folder `folder`."""

    def __init__(self, order: WorkOrder, folder: Path, recorder: Recorder) -> None:
        self.recorder = recorder
        self.order = order
        self.folder = folder
        self.phases = Phases()
        assert isinstance(order.job.media, MediaModel)
        self.media: MediaModel = order.job.media

    def run(self) -> WorkDone:
        """Do the work. Raises PermanentError where there is no model."""
        job = self.order.job
        with self.phases.timed("read"):
            raw = [pl.read_ipc(self.folder / f"{name}.arrow") for name in ("train", "valid")]
            self._check(raw[1].columns)
        with self.phases.timed("import"):
            random.seed(job.seed)
            np.random.seed(job.seed % 2**32)  # what the user's libraries draw from
            user = import_entry(self.order, self.folder / "code")
        with self.phases.timed("decode"):
            train, valid = (self._rows(frame) for frame in raw)
        evaluated, model = self._fit(user.train, train, valid, name="model")
        hook = self._postprocess(user, model, valid) if self.order.has_postprocess else ""
        with self.phases.timed("evaluate"):
            signature = evaluated.signature
            judged_by = self._loaded(evaluated, hook, judging(signature, job.task))
            evaluation = AnsweredEvaluation(
                task=job.task,
                day=days_of(valid.time),
                value=job.value,
                requirements=job.requirements,
                bootstrap=job.bootstrap,
                seed=job.seed,
            )
            judged = judge_model(judged_by, signature, job.task, valid.decoded, valid.truths)
            metrics, slices = evaluation.metrics(judged), evaluation.slices(judged, raw[1])
            plain = baseline_answers(job.baseline, job.task, train.truths, signature, valid.decoded)
            without = judge_answers(plain, signature, job.task, valid.decoded, valid.truths)
            unasked = AnsweredEvaluation(job.task, evaluation.day, job.value, (), 0, job.seed)
            baseline = unasked.metrics(without)
        shipped = evaluated
        if job.refit:
            whole = together(train, valid)
            shipped = self._fit(user.train, whole, _seen(valid), name="refitted")[0]
        self._keep_days(together(train, valid) if job.refit else train)
        return outcome(
            self.folder,
            self.phases,
            shipped=shipped,
            evaluated=evaluated,
            times=(train.time, valid.time),
            judged=Judged(metrics, baseline, slices),
            measured={"serving.throughput": self._throughput(shipped, hook)},
            postprocess=hook,
        )

    def _check(self, columns: Sequence[str]) -> None:
        job = self.order.job
        if job.baseline not in BASELINES[job.task]:
            raise PermanentError(f"no baseline {job.baseline!r}", hint=f"use {' or '.join(BASELINES[job.task])}")
        if self.order.has_features:
            raise PermanentError(
                "features(rows) is for columns, and these rows are files", hint="derive what you need in train()"
            )
        for one in job.requirements:
            own = one.by == PART and job.task in ("detection", "segmentation")
            if one.by is not None and one.metric in answered_metrics(job.task) and one.by not in columns and not own:
                raise PermanentError(
                    f"column {one.by!r} of requirement {one.metric} is missing", hint=f"found {', '.join(columns)}"
                )

    def _rows(self, frame: pl.DataFrame) -> MediaRows:
        job = self.order.job
        return media_rows(
            frame,
            read_truths(frame[job.label], job.task, self.media.classes),
            self.media,
            time=moments(frame, job.time, job.predict_before),
            own=(*job.key, job.time, job.label),
            key=job.key,
            checkpoints=self.order.checkpoints,
        )

    def _fit(
        self, function: Callable[..., Any], rows: MediaRows, valid: MediaRows, *, name: str
    ) -> tuple[Fitted, TensorModel]:
        """Fit, keep the graph and check it."""
        with self.phases.timed("fit"), users("train()"):
            self.recorder.turn_to("evaluated" if name == "model" else "shipped")
            if self.order.torch:
                from trimtab.training.torch_fit import prepare  # here: only for code that uses PyTorch

                prepare(self.order.job.seed, self.order.threads)
            returned = function(rows, valid, dict(self.order.job.params))
        with self.phases.timed("export"):
            found, content = returned_graph(returned)
            (self.folder / f"{name}.onnx").write_bytes(content)
            signature = media_signature(found, content, self.order.job.task, self.media)
            model = TensorModel(content, signature, threads=self.order.threads)
        with self.phases.timed("parity"):
            checked = [*_some(valid.decoded.rows()), *_some(rows.decoded.rows())]
            parity = max(map(alone(model, checked), range(len(checked))))
            if found.native is not None:
                parity = max(parity, beside(model, found, checked))
            if not parity <= LARGEST_DIFFERENCE:
                raise PermanentError(
                    f"the graph gives a row other figures by {parity:.3g} than the model it was made of, or than the "
                    f"same row among others; at most {LARGEST_DIFFERENCE:g}",
                    hint="export it as it predicts: without dropout, and without figures of the batch",
                )
        fitted = Fitted(onnx=f"{name}.onnx", code="", signature=signature, parity=parity, parity_rows=len(checked))
        return fitted, model

    def _postprocess(self, user: Any, model: TensorModel, valid: MediaRows) -> str:
        """The stored code whose `postprocess` gives what the user's own does for some validation rows."""
        with self.phases.timed("postprocess"), users("postprocess(outputs)"):
            alike: dict[Any, list[TensorRows]] = {}
            for one in valid.decoded.rows():
                alike.setdefault(one.shapes, []).append(one)
            most = max(alike.values(), key=len)[:_CHECKED]
            arrays = tuple(np.concatenate(those) for those in zip(*(one.arrays for one in most), strict=True))
            outputs = model.outputs(arrays, [one.places[0] for one in most])
            return StoredCode(self.folder, dotted(self.order.entry)).postprocess(user.postprocess, outputs)

    def _loaded(self, fitted: Fitted, hook: str, signature: Any) -> TensorModel:
        """The model as it will be served, read by `signature`; recognition is judged by its similarities."""
        function = None
        if hook and self.order.job.task != "recognition":
            function = load_postprocess((self.folder / hook).read_bytes(), dotted(self.order.entry))
        return TensorModel((self.folder / fitted.onnx).read_bytes(), signature, function, threads=self.order.threads)

    def _keep_days(self, rows: MediaRows) -> None:
        """The shipped model's rows for its profile: they have no columns, only days."""
        if self.order.keep_matrix:
            np.save(self.folder / MATRIX, np.zeros((len(rows), 0), dtype=np.float32))
            np.save(self.folder / DAYS, days_of(rows.time))

    def _throughput(self, fitted: Fitted, hook: str) -> float:
        """Rows a second, one row a call, of one thread."""
        model = self._loaded(fitted, hook, fitted.signature)
        row = [model.zeros()]
        model.run(row)
        count, started = 0, time.perf_counter()
        while (spent := time.perf_counter() - started) < 0.05:
            model.run(row)
            count += 1
        return count / spent


def _seen(rows: MediaRows) -> MediaRows:
    return MediaRows(rows.decoded, rows.truths, rows.media, rows.frame, rows.time, seen=True)


def _some(rows: list[TensorRows]) -> list[TensorRows]:
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(_CHECKED, len(rows))).astype(int))
    return [rows[place] for place in chosen]
