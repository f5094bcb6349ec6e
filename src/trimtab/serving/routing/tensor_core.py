"""A bundle of tensors in memory: what a release of a model of images, sounds or other tensors runs."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.explain.explainer import Explainer
from trimtab.inference.postprocess_code import load_postprocess
from trimtab.inference.tensors.graph import EVERYWHERE
from trimtab.inference.tensors.model import Outcome, TensorModel
from trimtab.inference.tensors.refused import InputError
from trimtab.inference.tensors.rows import Given
from trimtab.inference.tensors.sent import EncodedRows, SentRow, encode_rows, sent_rows
from trimtab.records.base import canonical_json
from trimtab.records.model import Route, Signature
from trimtab.records.tensors import Tensors
from trimtab.serving.routing.profile import Profile, measure
from trimtab.serving.routing.rows_error import RowsError, blame_cells

if TYPE_CHECKING:
    from trimtab.records.blobs import Blobs


class TensorCore:
    """What `Core` is for a bundle of columns: its rows are `SentRow`s, its matrix `EncodedRows`.

    `named` are the outputs it answers beside score and label, with an example of each.
    """

    explained = False
    explainer_loaded = False
    encoder = None
    column_encoder = None
    width = 0
    hides_encoded = True

    def __init__(self, route: Route, blobs: Blobs) -> None:
        bundle = route.bundle
        self.signature: Signature = bundle.signature
        spec = self.signature.tensors
        assert isinstance(spec, Tensors)
        self.spec = spec
        self.key = blake2b(canonical_json(spec.inputs), digest_size=8).hexdigest()
        hook = None
        if isinstance(bundle.postprocess_code, str):
            hook = load_postprocess(blobs.get(bundle.postprocess_code), bundle.entry)
        self._model = TensorModel(blobs.checked(bundle.onnx), self.signature, hook)
        task = self.signature.task
        self.labels = () if task in ("regression", "tensors") else tuple(map(orjson.dumps, self.signature.classes))
        if task in ("binary_classification", "multiclass_classification") and not self.labels:
            raise PermanentError("a classifier of tensors needs the names of its classes")
        self.outputs = 0 if task == "tensors" else len(self.labels) if task == "multiclass_classification" else 1
        self.shown = 1 if spec.top else self.outputs
        self.own_code = hook is not None or any(self._model.reader.takes_files(one.name) for one in spec.inputs)
        self.named: dict[str, Any] = {}
        self.profile = self._warm_up()

    def explainer(self) -> Explainer:
        """Answers about tensors are not explained. Raises PermanentError."""
        raise PermanentError("only models of tables are explained")

    def takes_files(self, name: str) -> bool:
        """Whether that input may be sent as files."""
        return self._model.reader.takes_files(name)

    def take(self, given: Given) -> list[SentRow]:
        """The rows of a request, checked as far as one can without decoding. Raises RowsError."""
        try:
            return sent_rows(given, self._model.reader.look(given))
        except InputError as error:
            raise RowsError(error) from error

    def matrix(self, rows: Sequence[Any]) -> EncodedRows:
        """The rows as the model reads them: files are decoded here. Raises RowsError for what the caller must mend."""
        try:
            return encode_rows(rows, self.key, self._model.reader)
        except InputError as error:
            raise RowsError(error) from error

    def answer(self, matrix: EncodedRows) -> Outcome:
        """Scores [n] or [n, classes] (width 0 for the task `tensors`), and further outputs by name. Raises
        PermanentError when the model or the user's hook fails, or gives what is not a number for a score."""
        try:
            outcome = self._model.run(matrix.rows)
        except PermanentError:
            raise
        except Exception as error:  # the runtime's errors share no root
            raise PermanentError(f"the model failed: {str(error).splitlines()[0]}") from error
        scores = outcome.scores
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores.reshape(len(matrix), -1)).all(axis=1))[0])
            blame_cells(row, matrix.sent[row].given, missing=False)
            raise PermanentError(f"the model gave {scores[row]} for row {row}")
        return outcome

    def decisions(self, scores: NDArray[np.float32]) -> NDArray[np.intp]:
        """Positions in `labels` of what is decided for each row."""
        if self.signature.task == "binary_classification":
            return (scores >= self.signature.threshold).astype(np.intp)
        best: NDArray[np.intp] = scores.argmax(axis=1)
        return best

    def probe(self, rows: int = 1) -> None:
        """Scores rows of zeros that nobody asked about. Raises what the model or the user's code raises."""
        self._model.run([self._model.zeros()] * rows)

    def _warm_up(self) -> Profile:
        """Raises PermanentError for a model that cannot be run, or names an output as every answer has one."""
        profile = self._measured()
        taken = EVERYWHERE.intersection(self.named)
        if taken:
            raise PermanentError(f"an output cannot be named {min(taken)!r}: every answer has one of its own")
        return profile

    def _measured(self) -> Profile:
        zeros = self._model.zeros()
        try:
            first = self._model.run([zeros])
            self.named = {} if first.named is None else first.named[0]
            return measure(self.probe, whole=not self.own_code, cut=self._model.cut)
        except Exception as error:  # the runtime's errors share no root, nor do the user's
            raise PermanentError(f"the model cannot be run: {str(error).splitlines()[0]}") from error
