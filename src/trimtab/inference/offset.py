"""A shift of probabilities by one number: what is added to the log odds of every answer."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", bound=np.floating[Any])


def shifted(scores: NDArray[_Real], offset: float) -> NDArray[_Real]:
    """Probabilities with `offset` added to their log odds: p e^o / (1 - p + p e^o). The same shape and type; 0 and 1
    stay, and so does the order. `shifted(shifted(p, o), -o)` is `p` again, as far as the type's digits go."""
    if offset == 0.0:
        return scores
    odds = scores.astype(np.float64) * np.exp(offset)
    moved: NDArray[_Real] = (odds / (1.0 - scores + odds)).astype(scores.dtype)
    return moved
