"""Data drift: how far the rows of a window are from the profile, judged by effect size, never by p-values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats
from trimtab.measures.drift.distance import Distance, Sample, design_effect, ks, psi, tv
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
    limits = thresholds or EffectThresholds()
    found = judge(profile.features, count(profile.features, matrix, blocks), limits)
    if scores is not None and profile.scores:
        outputs = scores if scores.ndim == 2 else scores[:, None]
        found += judge(profile.scores, count(profile.scores, outputs, blocks), limits)
    if labels is not None and profile.label is not None:
        found += judge((profile.label,), count((profile.label,), labels[:, None], label_blocks), limits)
    return found


@dataclass(frozen=True)
class Counted:
    """Rows counted by block and cell: for each column an array [B, cells], the blocks in the same order."""

    rows: int
    columns: tuple[Floats, ...]

    @property
    def blocks(self) -> int:
        """How many blocks the rows lie in."""
        return self.columns[0].shape[0] if self.columns else 0


def count(references: tuple[FeatureProfile, ...], matrix: NDArray[Any], blocks: NDArray[Any] | None) -> Counted:
    """Count rows [n, F] in the cells of their profiles, by `blocks` [n] in ascending order (None: all are one). Raises
    PermanentError where the columns are others than the profile's."""
    if matrix.ndim != 2 or matrix.shape[1] != len(references):
        raise PermanentError(f"the window has shape {matrix.shape} but the profile has {len(references)} features")
    if not len(matrix):
        return Counted(0, ())
    rows = Rows.of(matrix, blocks)
    return Counted(rows.count, tuple(_counts(one, rows, place) for place, one in enumerate(references)))


def judge(
    references: tuple[FeatureProfile, ...], counted: Counted, limits: EffectThresholds
) -> tuple[ColumnDrift, ...]:
    """Drift of each column from its profile; none without rows."""
    if counted.rows == 0:
        return ()
    quantile = t_quantile(0.975, counted.blocks - 1) if counted.blocks > 1 else normal_quantile(0.975)
    found: list[ColumnDrift] = []
    for reference, by_block in zip(references, counted.columns, strict=True):
        if reference.rows > 0:
            found += _of_column(reference, by_block, counted.rows, quantile, limits)
    return tuple(found)


def _counts(reference: FeatureProfile, rows: Rows, place: int) -> Floats:
    if reference.kind == "number":
        return number_counts(rows, place, np.array(reference.grid))
    return category_counts(rows.column(place), rows.block, rows.blocks, len(reference.counts))


def _of_column(
    reference: FeatureProfile, by_block: Floats, rows: int, quantile: float, limits: EffectThresholds
) -> tuple[ColumnDrift, ColumnDrift]:
    before = reference.cells
    ordered = reference.kind == "number"
    counts = by_block.sum(axis=0)
    effective = rows / design_effect(by_block, ordered=ordered)
    main = (ks if ordered else tv)(Sample(before, reference.effective), Sample(counts, effective), quantile)
    bins = _bins(before) if ordered else _common(before, counts)
    coarse = _merged(by_block, bins)
    coarse_effective = rows / design_effect(coarse, ordered=False)
    index = psi(
        Sample(_merged(before[None, :], bins)[0], reference.effective),
        Sample(coarse.sum(axis=0), coarse_effective),
        quantile,
    )
    statistic: Literal["ks", "tv"] = "ks" if ordered else "tv"
    limit = limits.ks if ordered else limits.tv
    return (
        _record(reference.name, statistic, main, rows, limit),
        _record(reference.name, "psi", index, rows, limits.psi),
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
