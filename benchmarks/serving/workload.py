"""What is asked of every server: a model, rows, and the answer that is right."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Workload:
    """A model, as ONNX in `graph` and at `path`, with its `signature`, and a `rival` to try beside it; one `row` for
    the input `tensor`, of `datatype` (as the Open Inference Protocol calls it), and `expected`, the first of the
    `scores` of the right answer."""

    title: str
    path: Path
    graph: bytes
    rival: bytes
    signature: Any
    row: NDArray[np.generic]
    expected: float
    datatype: str
    tensor: str = "input"
    scores: int = 1

    @property
    def environment(self) -> dict[str, str]:
        """What a peer is told of the model."""
        shape = ",".join(map(str, self.row.shape))
        return {"MODEL": str(self.path), "DTYPE": self.row.dtype.name, "SHAPE": shape}

    def rows_as_json(self, key: str) -> bytes:
        """`{key: [row]}`, or the row by itself for the key `input`."""
        row = self.row.tolist()
        return json.dumps({key: row if key == "input" else [row]}).encode()

    def tensor_as_json(self) -> bytes:
        """A request of the Open Inference Protocol."""
        return json.dumps({"inputs": [self._tensor() | {"data": self.row.ravel().tolist()}]}).encode()

    def tensor_as_bytes(self) -> tuple[bytes, int]:
        """The same by its binary extension, for an answer in bytes; and how long the JSON part of it is."""
        raw = self.row.tobytes()
        tensor = self._tensor() | {"parameters": {"binary_data_size": len(raw)}}
        wanted = [{"name": "score", "parameters": {"binary_data": True}}]
        head = json.dumps({"inputs": [tensor], "outputs": wanted}).encode()
        return head + raw, len(head)

    def _tensor(self) -> dict[str, Any]:
        return {"name": self.tensor, "datatype": self.datatype, "shape": [1, *self.row.shape]}


def number_in(answer: bytes) -> float:
    """The first number of a JSON answer, however it is wrapped."""
    told: Any = json.loads(answer)
    if isinstance(told, dict):
        told = told.get("outputs") or told.get("predictions") or told.get("output")
    while isinstance(told, list | dict):
        told = told[0] if isinstance(told, list) else told.get("data", next(iter(told.values())))
    return float(told)
