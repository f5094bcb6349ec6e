"""Arrays that grow together, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Columns:
    """Named arrays of one length; adding rows costs no more than copying each of them a few times in all."""

    def __init__(self, kinds: Mapping[str, DTypeLike]) -> None:
        self.size = 0
        self._arrays: dict[str, NDArray[Any]] = {name: np.empty(1024, kind) for name, kind in kinds.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The rows of a column: a view that may be written to, good until rows are added."""
        return self._arrays[name][: self.size]

    def extend(self, count: int, values: dict[str, Any]) -> int:
        """Adds `count` rows (an array or one value for each column); returns the number of the first."""
        start, self.size = self.size, self.size + count
        for name, array in self._arrays.items():
            if self.size > len(array):
                bigger = np.empty(max(self.size, 2 * len(array)), array.dtype)
                bigger[:start] = array[:start]
                self._arrays[name] = bigger
            self._arrays[name][start : self.size] = values[name]
        return start
