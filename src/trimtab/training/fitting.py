"""One fit of the user's `train`: the model, its ONNX graph, the proof that both answer alike, and what explains it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.explain.explainer import Explainer
from trimtab.inference.explain.kept import decode_explainer, encode_explainer
from trimtab.inference.model import Model
from trimtab.records.model import Signature
from trimtab.training.export.calibration import Calibrated
from trimtab.training.export.explainer import explainer_of
from trimtab.training.export.export import LARGEST_DIFFERENCE, difference, export, native_scores
from trimtab.training.job import Fitted, WorkOrder
from trimtab.training.phases import Phases
from trimtab.training.rows import Rows
from trimtab.training.tracking.recorder import Recorder
from trimtab.training.user_code import users

PARITY_ROWS = 5_000


class Fitting:
    """Fits, exports and checks for one order, leaving files in `folder`."""

    def __init__(self, order: WorkOrder, folder: Path, phases: Phases, recorder: Recorder) -> None:
        self._order = order
        self._folder = folder
        self._phases = phases
        self._recorder = recorder

    def fit(
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
        with self._phases.timed("fit"), users("train()"):
            if self._order.torch:
                from trimtab.training.torch_fit import prepare  # here: only for code that uses PyTorch

                prepare(self._order.job.seed, self._order.threads)
            self._recorder.turn_to("evaluated" if name == "model" else "shipped")
            model = train(rows, valid, dict(self._order.job.params))
        with self._phases.timed("export"):
            content = export(model, signature)
            (self._folder / f"{name}.onnx").write_bytes(content)
            signature = answering(model, signature)
            exported = Model.load(content, signature, threads=self._order.threads)
        with self._phases.timed("parity"):
            scores = exported.scores(x_valid)
            largest = max(
                _gap(model, signature, "validation", x_valid, scores),
                _gap(model, signature, "training", x_train, exported.scores(x_train)),
            )
        explainer = ""
        if explained:
            with self._phases.timed("explain"):
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

    def throughput(self, fitted: Fitted) -> float:
        """Rows a second, one row a call, of one thread."""
        model = Model.load((self._folder / fitted.onnx).read_bytes(), fitted.signature, threads=1)
        row = np.zeros((1, len(fitted.signature.features)), dtype=np.float32)
        for _ in range(20):
            model.scores(row)
        count, started = 0, time.perf_counter()
        while (spent := time.perf_counter() - started) < 0.05:
            for _ in range(20):
                model.scores(row)
            count += 20
        return count / spent

    def explain_time(self, fitted: Fitted) -> float:
        """Seconds that one thread takes to explain one row."""
        model = Model.load((self._folder / fitted.onnx).read_bytes(), fitted.signature, threads=1)
        kept = decode_explainer((self._folder / fitted.explainer).read_bytes())
        return Explainer(kept, model).seconds_a_row()

    def _explainer(
        self, model: Any, exported: Model, train: NDArray[np.float32], valid: NDArray[np.float32], *, name: str
    ) -> str:
        """Keep what explains the model; where that cannot be had the model is none the worse, and the log says why."""
        try:
            kept = explainer_of(model, exported, train, valid)
        except Exception:  # whatever a library's fitted arrays hold that nobody foresaw
            traceback.print_exc()
            return ""
        (self._folder / name).write_bytes(encode_explainer(kept))
        return name


def answering(model: Any, signature: Signature) -> Signature:
    """The signature, with the threshold that the model brings along where it does."""
    own = model.threshold if isinstance(model, Calibrated) else None
    return signature if own is None else structs.replace(signature, threshold=own)


def _gap(model: Any, signature: Signature, which: str, x: NDArray[np.float32], exported: NDArray[np.float32]) -> float:
    """The largest difference between the exported model's scores and the fitted one's. Raises PermanentError for one
    that is too large, and for scores that are no numbers."""
    with users("predicting with the fitted model"):
        native = native_scores(model, x, signature)
    if native is None:
        native = exported.astype(np.float64)
    if not np.isfinite(exported).all():
        bad = int((~np.isfinite(exported)).reshape(len(exported), -1).any(axis=1).sum())
        raise PermanentError(f"the model answers {bad} of {len(exported)} {which} rows with NaN or infinity")
    largest = difference(exported, native)
    if largest > LARGEST_DIFFERENCE:
        raise PermanentError(
            f"the exported model differs from the fitted one by {largest:.3g}, over {LARGEST_DIFFERENCE:g}",
            hint="ONNX computes in float32: feed trees with the features as they are, without scaling before",
        )
    return largest
