"""Data drift: how far the rows of a window are from the profile, judged by effect size, never by p-values."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats
from trimtab.measures.distance import Distance, Sample, design_effect, ks, psi, tv
from trimtab.measures.intervals import normal_quantile, t_quantile
from trimtab.monitoring.cells import Rows, category_counts, number_counts
from trimtab.monitoring.profile import FeatureProfile, Profile
from trimtab.records.base import Record
from trimtab.records.facts import ColumnDrift

_PSI_BINS = 20
_RARE_SHARE = 0.005


class EffectThresholds(Record, frozen=True, kw_only=True):
    """An effect counts as drift when the lower end of its interval is above these.

    0.1 of KS or TV: a tenth of the rows lie elsewhere. 0.2 of PSI: the customary bound of a major change (Siddiqi 2006,
    "Credit Risk Scorecards").
    """

    ks: float = 0.1
    tv: float = 0.1
    psi: float = 0.2


def drift(
    profile: Profile,
    matrix: NDArray[np.float32],
    *,
    blocks: NDArray[Any] | None = None,
    scores: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    label_blocks: NDArray[Any] | None = None,
    thresholds: EffectThresholds | None = None,
) -> tuple[ColumnDrift, ...]:
    """Drift of each column of a window [n, F] from the profile: KS (number) or TV (category), and PSI, in that order.

    `blocks` [n] is the day of each row: rows of a day share their weather, so that a week is worth far fewer
    independent rows than it has; the effective size comes from how much the days differ, column by column, and the
    interval uses Student's t. `scores` [n] or [n, K] and `labels` [l] (with `label_blocks`) are compared with those of
    the holdout when given. No rows give no drift records. Raises PermanentError where the columns are others than the
    profile's.
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(profile.features):
        raise PermanentError(
            f"the window has shape {matrix.shape} but the profile has {len(profile.features)} features"
        )
    limits = thresholds or EffectThresholds()
    found = _of_columns(profile.features, matrix, blocks, limits)
    if scores is not None and profile.scores:
        found += _of_columns(profile.scores, scores if scores.ndim == 2 else scores[:, None], blocks, limits)
    if labels is not None and profile.label is not None:
        found += _of_columns((profile.label,), labels[:, None], label_blocks, limits)
    return tuple(found)


def _of_columns(
    references: tuple[FeatureProfile, ...],
    matrix: NDArray[Any],
    blocks: NDArray[Any] | None,
    limits: EffectThresholds,
) -> list[ColumnDrift]:
    if matrix.shape[0] == 0:
        return []
    rows = Rows.of(matrix, blocks)
    quantile = t_quantile(0.975, rows.blocks - 1) if rows.blocks > 1 else normal_quantile(0.975)
    found: list[ColumnDrift] = []
    for place, reference in enumerate(references):
        if reference.rows > 0:
            found += _of_column(reference, rows, place, quantile, limits)
    return found


def _of_column(
    reference: FeatureProfile, rows: Rows, place: int, quantile: float, limits: EffectThresholds
) -> tuple[ColumnDrift, ColumnDrift]:
    before = reference.cells
    ordered = reference.kind == "number"
    if ordered:
        by_block = number_counts(rows, place, np.array(reference.grid))
    else:
        by_block = category_counts(rows.column(place), rows.block, rows.blocks, len(reference.counts))
    counts = by_block.sum(axis=0)
    effective = rows.count / design_effect(by_block, ordered=ordered)
    main = (ks if ordered else tv)(Sample(before, reference.effective), Sample(counts, effective), quantile)
    bins = _bins(before) if ordered else _common(before, counts)
    coarse = _merged(by_block, bins)
    coarse_effective = rows.count / design_effect(coarse, ordered=False)
    index = psi(
        Sample(_merged(before[None, :], bins)[0], reference.effective),
        Sample(coarse.sum(axis=0), coarse_effective),
        quantile,
    )
    statistic: Literal["ks", "tv"] = "ks" if ordered else "tv"
    limit = limits.ks if ordered else limits.tv
    return (
        _record(reference.name, statistic, main, rows.count, limit),
        _record(reference.name, "psi", index, rows.count, limits.psi),
    )


def _bins(before: Floats) -> NDArray[np.intp]:
    """The PSI bin of each cell: nulls apart, then about 20 bins of equal mass in the reference."""
    middle = np.cumsum(before[1:]) - 0.5 * before[1:]
    total = max(float(before[1:].sum()), 1.0)
    bins = np.minimum((middle * (_PSI_BINS / total)).astype(np.intp), _PSI_BINS - 1) + 1
    return np.concatenate([np.zeros(1, dtype=np.intp), bins])


def _common(before: Floats, counts: Floats) -> NDArray[np.intp]:
    """The PSI bin of each category: nulls apart, rare ones (under 0.5% of both samples) together, others alone."""
    share = np.maximum(before / before.sum(), counts / counts.sum())
    alone = share >= _RARE_SHARE
    alone[0] = True
    return np.where(alone, np.cumsum(alone), 0).astype(np.intp)


def _merged(by_block: Floats, bins: NDArray[np.intp]) -> Floats:
    """Cells [B, K] summed into bins [B, bins]."""
    width = int(bins.max()) + 1
    blocks = by_block.shape[0]
    cells = (np.arange(blocks)[:, None] * width + bins).ravel()
    sums = np.bincount(cells, weights=by_block.ravel(), minlength=blocks * width)
    return sums.astype(np.float64, copy=False).reshape(blocks, width)


def _record(
    column: str, statistic: Literal["ks", "psi", "tv"], distance: Distance, rows: int, limit: float
) -> ColumnDrift:
    return ColumnDrift(
        column=column,
        statistic=statistic,
        effect=distance.effect,
        low=distance.low,
        high=distance.high,
        rows=rows,
        drifted=distance.low > limit,
    )
