"""What a model that is kept answers on rows, as the server would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimtab.inference.encode import encode_frame
from trimtab.inference.features_code import apply_features
from trimtab.inference.model import load_model
from trimtab.records.blobs import Blobs
from trimtab.records.model import ModelBundle

if TYPE_CHECKING:
    import polars as pl


def scores_on(blobs: Blobs, bundle: ModelBundle, rows: pl.DataFrame) -> NDArray[np.float64]:
    """Scores [n], or [n, classes], of rows that have the model's inputs."""
    matrix = encode_frame(apply_features(blobs, bundle, rows), bundle.signature)
    return np.asarray(load_model(blobs, bundle).scores(matrix), dtype=np.float64)
