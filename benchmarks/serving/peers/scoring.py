"""The one way every peer runs the model, so that only the servers differ: one thread for each session."""

import os

import numpy as np
import onnxruntime

DTYPE = np.dtype(os.environ["DTYPE"])
SHAPE = tuple(int(size) for size in os.environ["SHAPE"].split(","))


class Scoring:
    """Rows [n, *SHAPE] to scores [n, outputs]. Made in the process that uses it: it cannot be handed to another."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = os.environ["MODEL"]
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._input: np.ascontiguousarray(rows, DTYPE)})[0]
