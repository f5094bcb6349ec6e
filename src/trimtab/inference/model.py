"""A trained model of a table that runs: one ONNX Runtime session, one float tensor in, one out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.row_by_row import row_by_row
from trimtab.inference.session import open_session
from trimtab.records.model import ModelBundle, Signature

if TYPE_CHECKING:
    from trimtab.records.blobs import Blobs

Scores = NDArray[np.float32]


class Model:
    """A loaded model. Safe to call from several threads at once, as its session is."""

    def __init__(self, session: Any, signature: Signature, file: Path | None = None) -> None:
        self.session = session
        self._file = file
        self.signature = signature
        self._outputs = [signature.onnx_output]
        self._input = signature.onnx_input
        self._several = signature.task == "multiclass_classification"
        self._most = 0  # rows of one run; 0: any number

    @classmethod
    def load(cls, onnx: bytes | Path, signature: Signature, *, threads: int = 1) -> Model:
        """A model from its ONNX graph, as bytes or a file; raises PermanentError when that does not make one."""
        session = open_session(onnx, threads=threads)
        names = [tensor.name for tensor in session.get_outputs()]
        if [signature.onnx_input] != [t.name for t in session.get_inputs()] or [signature.onnx_output] != names:
            raise PermanentError(f"the model does not go from {signature.onnx_input!r} to {signature.onnx_output!r}")
        return cls(session, signature, onnx if isinstance(onnx, Path) else None)

    def scores(self, matrix: NDArray[np.float32]) -> Scores:
        """Scores of a matrix [n, features]: [n] P(classes[1]) for binary tasks, [n] for regression, [n, classes]."""
        most = self._most
        if most and len(matrix) > most:
            starts = range(0, len(matrix), most)
            return np.concatenate([self.scores(matrix[start : start + most]) for start in starts])
        (out,) = self.session.run(self._outputs, {self._input: matrix})
        return out if self._several else out[:, 0]  # type: ignore[no-any-return]

    def cut(self, most: int) -> None:
        """From here on the graph is run on that many rows at a time. A graph from a file then walks over single rows
        by itself, where it can."""
        row = {self._input: np.zeros((1, len(self.signature.features)), np.float32)}
        walking = row_by_row(self._file, self.session, row) if most == 1 and self._file is not None else None
        self.session, self._most = (self.session, most) if walking is None else (walking, 0)


def load_model(blobs: Blobs, bundle: ModelBundle, *, threads: int = 1) -> Model:
    """The model whose parts lie in the blob store."""
    return Model.load(blobs.checked(bundle.onnx), bundle.signature, threads=threads)
