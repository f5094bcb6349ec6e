"""The profile of a model's training data: what its inputs looked like, small enough to keep beside the model."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats
from trimtab.measures.drift.distance import design_effect
from trimtab.monitoring.cells import Rows, category_counts, number_counts
from trimtab.records.base import Record
from trimtab.records.model import Feature, Signature

_FORMAT = 1
_QUANTILES = 200


class FeatureProfile(Record, frozen=True, kw_only=True):
    """The distribution of one column.

    A number has `grid`: up to 200 of its quantiles, distinct and ascending, the largest value last; `counts[i]` rows
    lie in (grid[i-1], grid[i]]. A category has `counts` by its place in `vocabulary`. `nulls` holds the rest of `rows`
    (for a category unknown values too). `effective` is how many independent rows they are worth.
    """

    name: str
    kind: Literal["number", "category"]
    rows: int
    nulls: int
    effective: float
    counts: tuple[int, ...]
    grid: tuple[float, ...] = ()
    vocabulary: tuple[str, ...] = ()
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def cells(self) -> Floats:
        """Counts with nulls first and, for a number, an empty cell above the largest value last."""
        above = (0,) if self.kind == "number" else ()
        return np.array((self.nulls, *self.counts, *above), dtype=np.float64)


class Profile(Record, frozen=True, kw_only=True):
    """Profiles of the features, in the order of the signature, and of what the model made of its holdout rows:
    `scores` (one for each output) and `label`, the classes of the truth."""

    rows: int
    features: tuple[FeatureProfile, ...]
    scores: tuple[FeatureProfile, ...] = ()
    label: FeatureProfile | None = None
    format: int = _FORMAT

    def to_bytes(self) -> bytes:
        """The profile as a blob (msgpack)."""
        return msgspec.msgpack.encode(self)


def read_profile(blob: bytes) -> Profile:
    """Read a blob that `Profile.to_bytes` wrote; PermanentError when it is no profile of this format."""
    try:
        profile = msgspec.msgpack.decode(blob, type=Profile)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise PermanentError(f"this blob is not a profile: {error}", hint="train the model again") from error
    if profile.format != _FORMAT:
        raise PermanentError(f"the profile has format {profile.format}, not {_FORMAT}", hint="train the model again")
    return profile


def build(
    matrix: NDArray[np.float32],
    signature: Signature,
    *,
    blocks: NDArray[Any] | None = None,
    scores: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    holdout_blocks: NDArray[Any] | None = None,
) -> Profile:
    """Profile the encoded training rows [n, F] (a category holds its code; NaN and -1 are null).

    `blocks` [n] is the day of each row, so that days that differ make the profile less sure. `scores` [h] or [h, K] and
    `labels` [h] (0/1, class index or number) of the holdout rows, with `holdout_blocks`, are profiled when given.
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(signature.features):
        raise PermanentError(
            f"the matrix has shape {matrix.shape} but the signature names {len(signature.features)} features"
        )
    rows = Rows.of(matrix, blocks)
    features = tuple(profile_column(feature, rows, place) for place, feature in enumerate(signature.features))
    outputs: tuple[FeatureProfile, ...] = ()
    truth = None
    if scores is not None:
        held = Rows.of(scores if scores.ndim == 2 else scores[:, None], holdout_blocks)
        outputs = tuple(profile_column(f, held, i) for i, f in enumerate(score_columns(held.width)))
    if labels is not None:
        truth = profile_column(label_column(signature), Rows.of(labels[:, None], holdout_blocks), 0)
    return Profile(rows=matrix.shape[0], features=features, scores=outputs, label=truth)


def score_columns(width: int) -> tuple[Feature, ...]:
    """Names of the model's outputs as columns: `score`, or `score[k]` for several classes."""
    names = ["score"] if width == 1 else [f"score[{k}]" for k in range(width)]
    return tuple(Feature(name=name, kind="number") for name in names)


def label_column(signature: Signature) -> Feature:
    """The truth as a column: a category of the classes, or a number in regression."""
    if signature.task == "regression":
        return Feature(name="label", kind="number")
    return Feature(name="label", kind="category", vocabulary=signature.classes or ("0", "1"))


def profile_column(feature: Feature, rows: Rows, place: int) -> FeatureProfile:
    """Profile one column of the rows."""
    if feature.kind == "category":
        by_block = category_counts(rows.column(place), rows.block, rows.blocks, len(feature.vocabulary))
        counts = by_block.sum(axis=0).astype(int).tolist()
        return FeatureProfile(
            name=feature.name,
            kind="category",
            rows=rows.count,
            nulls=counts[0],
            effective=rows.count / design_effect(by_block, ordered=False),
            counts=tuple(counts[1:]),
            vocabulary=feature.vocabulary,
        )
    ordered = np.sort(rows.column(place))
    known = ordered[: ordered.size - int(np.isnan(ordered).sum())]
    grid = _grid(known)
    by_block = number_counts(rows, place, grid)
    counts = by_block.sum(axis=0).astype(int).tolist()
    finite = known[np.isfinite(known)].astype(np.float64)
    return FeatureProfile(
        name=feature.name,
        kind="number",
        rows=rows.count,
        nulls=counts[0],
        effective=rows.count / design_effect(by_block, ordered=True),
        counts=tuple(counts[1:-1]),
        grid=tuple(grid.astype(np.float64).tolist()),
        mean=float(finite.mean()) if finite.size else None,
        std=float(finite.std()) if finite.size else None,
        low=float(finite[0]) if finite.size else None,
        high=float(finite[-1]) if finite.size else None,
    )


def _grid(ordered: NDArray[Any]) -> NDArray[Any]:
    """Up to 200 distinct quantiles of sorted values, the largest last."""
    if ordered.size == 0:
        return ordered
    places = np.ceil(np.arange(1, _QUANTILES + 1) * (ordered.size / _QUANTILES)).astype(np.intp) - 1
    return np.unique(ordered[np.minimum(places, ordered.size - 1)])  # the product may be rounded up


def profile_rows(matrix: NDArray[np.float32], signature: Signature, days: NDArray[np.int64]) -> bytes:
    """The profile, as a blob, of the rows a model was fitted on [n, F] and the day of each [n]."""
    return build(matrix, signature, blocks=days).to_bytes()
