"""What the worker does with an order: features, fit, export, parity, evaluation. Runs in the worker's own process."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.errors import PermanentError, TrimtabError
from trimtab.inference.explain.explainer import Explainer
from trimtab.inference.explain.kept import decode_explainer, encode_explainer
from trimtab.inference.features_code import FeaturesFunction, derive
from trimtab.inference.session import Model
from trimtab.inference.signature import column_kind, fit_signature
from trimtab.records.durable import write_atomically
from trimtab.records.model import Column, Signature
from trimtab.training.evaluate import Evaluation, check_measurable, days_of, labelled_metrics, threshold_of
from trimtab.training.export.explainer import explainer_of
from trimtab.training.export.export import LARGEST_DIFFERENCE, difference, export, native_scores
from trimtab.training.job import DAYS, MATRIX, Fitted, WorkDone, WorkOrder, WorkRefused
from trimtab.training.rows import Rows, classes_of, encode_labels, rows_of
from trimtab.training.snapshot import dotted
from trimtab.training.split import moments
from trimtab.training.stored_code import StoredCode

PARITY_ROWS = 5_000


def read_order(folder: Path) -> WorkOrder:
    """The order in a job's folder."""
    return msgspec.json.decode((folder / "job.json").read_bytes(), type=WorkOrder)


def carry_out(order: WorkOrder, folder: Path) -> None:
    """Do the work and leave `result.json`; refusals and the user's errors are results too."""
    try:
        result: WorkDone | WorkRefused = _Work(order, folder).run()
    except TrimtabError as error:
        traceback.print_exc()
        result = WorkRefused(reason=error.message, hint=error.hint)
    except MemoryError:
        traceback.print_exc()
        result = WorkRefused(reason="it ran out of memory: an allocation went beyond what the limit allows")
    write_atomically(folder / "result.json", msgspec.json.encode(result))


@dataclass
class _Part:
    """Labelled rows on their way to a matrix."""

    raw: pl.DataFrame
    time: pl.Series
    features: pl.DataFrame


@dataclass
class _Work:
    order: WorkOrder
    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> WorkDone:
        job = self.order.job
        with self._timed("read"):
            raw_train = pl.read_ipc(self.folder / "train.arrow")
            raw_valid = pl.read_ipc(self.folder / "valid.arrow")
            columns = self._columns(raw_train)
            check_measurable(job.task, job.requirements, job.baseline, raw_valid.columns)
        with self._timed("import"):
            random.seed(job.seed)
            np.random.seed(job.seed % 2**32)  # what the user's libraries draw from
            user = self._import()
        with self._timed("features"):
            function = user.features if self.order.has_features else None
            train = self._part(raw_train, function, columns)
            valid = self._part(raw_valid, function, columns)
            classes = classes_of([raw_train[job.label], raw_valid[job.label]], job.task)
            y_train = encode_labels(raw_train[job.label], classes, job.task)
            y_valid = encode_labels(raw_valid[job.label], classes, job.task)
        with self._timed("encode"):
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
        evaluated, scores = self._fit(
            user.train, rows_train, rows_valid, signature, name="model", code=code, explained=not job.refit
        )
        hook = ""
        if self.order.has_postprocess:
            with self._timed("postprocess"), _users("postprocess(outputs)"):
                hook = stored.postprocess(user.postprocess, {signature.onnx_output: scores})
        with self._timed("evaluate"):
            evaluation = Evaluation(
                task=job.task,
                y=y_valid,
                day=days_of(valid.time),
                value=job.value,
                requirements=job.requirements,
                bootstrap=job.bootstrap,
                seed=job.seed,
            )
            metrics = evaluation.metrics(scores)
            slices = evaluation.slices(scores, raw_valid)
            baseline = evaluation.baseline(job.baseline, y_train, len(classes))
        shipped = evaluated
        if job.refit:
            shipped = self._refit(
                user.train,
                train,
                valid,
                y=np.concatenate([y_train, y_valid]),
                columns=columns,
                classes=classes,
                code=code,
            )
        measured = {f"seconds.{name}": value for name, value in self.seconds.items()}
        measured["serving.throughput"] = self._throughput(shipped)
        if shipped.explainer:
            measured["serving.explain_time"] = self._explain_time(shipped)
        measured["resources.model_size"] = float((self.folder / shipped.onnx).stat().st_size)
        measured["resources.train_memory"] = float(_peak_memory())
        return WorkDone(
            shipped=shipped,
            evaluated=evaluated,
            rows=raw_train.height,
            train_from=train.time[0],
            train_to=train.time[-1],
            valid_from=valid.time[0],
            valid_to=valid.time[-1],
            metrics=labelled_metrics(metrics),
            baseline=labelled_metrics(baseline),
            slices=labelled_metrics(slices),
            measured=measured,
            postprocess=hook,
        )

    def _columns(self, frame: pl.DataFrame) -> list[Column]:
        job = self.order.job
        own = {*job.key, job.time, job.label}
        # What begins with `_` is Trimtab's own: a dataset has no such column.
        names = job.inputs or tuple(c for c in frame.columns if c not in own and not c.startswith("_"))
        for name in names:
            if name not in frame.columns:
                raise PermanentError(f"input column {name!r} is missing", hint=f"found {', '.join(frame.columns)}")
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

    def _import(self) -> Any:
        code = self.folder / "code"
        entry = code / self.order.entry
        os.chdir(code)
        sys.path[:0] = list(dict.fromkeys([str(entry.parent), str(code)]))
        spec = importlib.util.spec_from_file_location(entry.stem, entry)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[entry.stem] = module
        with _users(f"{self.order.entry} cannot be imported: it"):
            spec.loader.exec_module(module)
        wanted = ["train"] + ["features"] * self.order.has_features + ["postprocess"] * self.order.has_postprocess
        for name in wanted:
            if not callable(getattr(module, name, None)):
                raise PermanentError(f"{self.order.entry} has no function {name}")
        return module

    def _part(self, raw: pl.DataFrame, function: FeaturesFunction | None, columns: list[Column]) -> _Part:
        job = self.order.job
        return _Part(raw, moments(raw, job.time, job.predict_before), derive(function, raw, columns))

    def _signature(self, part: _Part, columns: list[Column], classes: tuple[str, ...]) -> Signature:
        job = self.order.job
        inputs = part.raw.select(column.name for column in columns)
        return fit_signature(
            inputs, part.features, job.task, classes=classes, threshold=threshold_of(job.task, job.value)
        )

    def _fit(
        self,
        train: Callable[..., Any],
        rows: Rows,
        valid: Rows,
        signature: Signature,
        *,
        name: str,
        code: str,
        explained: bool,
    ) -> tuple[Fitted, NDArray[np.float32]]:
        """Fit, export and check; the scores are those of the exported model on the validation rows."""
        x_valid = valid.x.copy()  # the user's code may write into what it is given
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(PARITY_ROWS, len(rows))).astype(int))
        x_train = rows.x[chosen].copy()
        with self._timed("fit"), _users("train()"):
            if self.order.torch:
                from trimtab.training.torch_fit import prepare  # here: only for code that uses PyTorch

                prepare(self.order.job.seed, self.order.threads)
            model = train(rows, valid, dict(self.order.job.params))
        with self._timed("export"):
            content = export(model, signature)
            (self.folder / f"{name}.onnx").write_bytes(content)
            exported = Model.load(content, signature, threads=self.order.threads)
        with self._timed("parity"):
            scores = exported.scores(x_valid)
            largest = 0.0
            for which, x, ours in (("validation", x_valid, scores), ("training", x_train, exported.scores(x_train))):
                with _users("predicting with the fitted model"):
                    native = native_scores(model, x, signature)
                if not np.isfinite(ours).all():
                    bad = int((~np.isfinite(ours)).reshape(len(ours), -1).any(axis=1).sum())
                    raise PermanentError(f"the model answers {bad} of {len(ours)} {which} rows with NaN or infinity")
                largest = max(largest, difference(ours, native))
            if largest > LARGEST_DIFFERENCE:
                raise PermanentError(
                    f"the exported model differs from the fitted one by {largest:.3g}, over {LARGEST_DIFFERENCE:g}",
                    hint="ONNX computes in float32: feed trees with the features as they are, without scaling before",
                )
        explainer = ""
        if explained:
            with self._timed("explain"):
                explainer = self._explainer(model, exported, x_train, x_valid, name=f"{name}.explainer")
        fitted = Fitted(
            onnx=f"{name}.onnx",
            code=code,
            signature=signature,
            parity=largest,
            parity_rows=len(x_valid) + len(x_train),
            explainer=explainer,
        )
        return fitted, scores

    def _explainer(
        self, model: Any, exported: Model, train: NDArray[np.float32], valid: NDArray[np.float32], *, name: str
    ) -> str:
        """Keep what explains the model; where that cannot be had the model is none the worse, and the log says why."""
        try:
            kept = explainer_of(model, exported, train, valid)
        except Exception:  # whatever a library's fitted arrays hold that nobody foresaw
            traceback.print_exc()
            return ""
        (self.folder / name).write_bytes(encode_explainer(kept))
        return name

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
        return self._fit(function, rows, again, signature, name="refitted", code=code, explained=True)[0]

    def _keep_matrix(self, rows: Rows) -> None:
        """Keep the shipped model's rows for its profile, before the user's code may write into them."""
        if self.order.keep_matrix:
            np.save(self.folder / MATRIX, rows.x)
            np.save(self.folder / DAYS, days_of(rows.time))

    def _throughput(self, fitted: Fitted) -> float:
        """Rows a second, one row a call, of one thread."""
        model = Model.load((self.folder / fitted.onnx).read_bytes(), fitted.signature, threads=1)
        row = np.zeros((1, len(fitted.signature.features)), dtype=np.float32)
        for _ in range(20):
            model.scores(row)
        count, started = 0, time.perf_counter()
        while (spent := time.perf_counter() - started) < 0.05:
            for _ in range(20):
                model.scores(row)
            count += 20
        return count / spent

    def _explain_time(self, fitted: Fitted) -> float:
        """Seconds that one thread takes to explain one row."""
        model = Model.load((self.folder / fitted.onnx).read_bytes(), fitted.signature, threads=1)
        kept = decode_explainer((self.folder / fitted.explainer).read_bytes())
        return Explainer(kept, model).seconds_a_row()

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - started


@contextmanager
def _users(what: str) -> Iterator[None]:
    """What the user's code raises becomes a refusal that names the place; the traceback goes to the log."""
    try:
        yield
    except (MemoryError, TrimtabError):
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: the user's code does not decide when the worker ends
        own = str(Path.cwd())
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(own)]
        where = f" ({Path(frames[-1].filename).relative_to(own)}:{frames[-1].lineno})" if frames else ""
        said = " ".join(str(error).split())
        message = f"{what} raised {type(error).__name__}: {said}"[:500]
        raise PermanentError(message + where) from error


def _peak_memory() -> int:
    """Peak resident bytes of this process. Not `ru_maxrss`, which starts at the parent's size."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
