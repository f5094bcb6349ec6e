"""Concept drift: the loss on labels that came later has risen since the model's release, and not by chance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats, block_index
from trimtab.measures.drift.adwin import Adwin
from trimtab.measures.intervals import block_error, normal_quantile, row_error, t_quantile
from trimtab.records.base import Record
from trimtab.records.requirement import Estimate

_DAY = 86_400_000_000
_FEWEST_DAYS = 3


class ConceptDrift(Record, frozen=True, kw_only=True):
    """Whether the loss has risen.

    `difference` is the mean loss since `since` less the one at release, `low`..`high` its 95% interval over days (None
    where it cannot be told); `rows` are those since `since`.
    """

    detected: bool
    since: datetime | None
    difference: float | None
    low: float | None
    high: float | None
    rows: int
    reason: str


class _Mean(NamedTuple):
    figure: float
    error: float
    freedom: float
    """Degrees of freedom of the error; infinite where rows are independent."""


class ConceptDetector:
    """Watches the loss of one release, fed in the order in which the predictions were made.

    Two things must hold for a drift. ADWIN has cut its window where the loss rose: the stream did change. And the loss
    since the cut is above the one at release by more than days differ (Welch's interval on day-block errors): rows of a
    day move together, which ADWIN's bound does not know, so by itself it takes a stormy day for a change.

    `reference` is the loss of each holdout row [r], whose moments (microseconds since 1970, UTC) give the days; it also
    begins ADWIN's stream, so that a model that is worse from its first day on is seen. An `Estimate` of the mean loss
    will do instead; without either the rows before the cut are the reference. ADWIN wants values within 0..1: losses
    are divided by `scale` (None: ten times the mean of the reference, 1 without) and held to 1 for it.
    The same rows give the same state however they are portioned out; nothing else needs to be kept.
    """

    def __init__(
        self,
        *,
        reference: NDArray[Any] | Estimate | None = None,
        reference_moments: NDArray[Any] | None = None,
        delta: float = 0.002,
        scale: float | None = None,
    ) -> None:
        self._adwin = Adwin(delta)
        self._losses: list[Floats] = []
        self._moments: list[NDArray[np.int64]] = []
        self._before: _Mean | None = None
        self._seeded = 0
        self._scale = scale or 1.0
        if isinstance(reference, Estimate):
            self._before = _of_estimate(reference)
            self._scale = scale or (_usual_scale(self._before) if self._before else 1.0)
        elif reference is not None and len(reference) > 0:
            losses = _checked(reference)
            self._before = _mean(losses, None if reference_moments is None else np.asarray(reference_moments) // _DAY)
            self._scale = scale or _usual_scale(self._before)
            self._adwin.feed(np.minimum(losses / self._scale, 1.0))
            self._seeded = losses.size

    def feed(self, losses: NDArray[Any], moments: NDArray[Any]) -> None:
        """Take in labelled rows: the loss of each [n], and when it was predicted [n], not before those fed earlier."""
        if len(losses) != len(moments):
            raise PermanentError(f"{len(losses)} losses but {len(moments)} moments")
        if len(losses) == 0:
            return
        values, times = _checked(losses), np.asarray(moments, dtype=np.int64)
        last = self._moments[-1][-1] if self._moments else times[0]
        if times[0] < last or bool((times[1:] < times[:-1]).any()):
            raise PermanentError("losses must come in the order of their moments", hint="sort the rows by time first")
        self._losses.append(values)
        self._moments.append(times)
        self._adwin.feed(np.minimum(values / self._scale, 1.0))

    def state(self) -> ConceptDrift:
        """What the rows fed so far say."""
        losses = np.concatenate(self._losses) if self._losses else np.empty(0)
        moments = np.concatenate(self._moments) if self._moments else np.empty(0, dtype=np.int64)
        if losses.size == 0:
            return _nothing(0, "no labelled row yet")
        start = max(0, self._adwin.seen - self._adwin.width - self._seeded)
        if not self._adwin.cuts:
            return _nothing(losses.size, "the loss has kept its level")
        if start >= losses.size:
            return _nothing(0, "the loss changed in the newest rows; too few since to tell")
        recent, days = losses[start:], moments[start:] // _DAY
        since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(moments[start]))
        before = self._before
        if before is None:
            if start < 2:
                return _nothing(losses.size, "there is no loss from before to compare with")
            before = _mean(losses[:start], moments[:start] // _DAY)
        now = _mean(recent, days)
        difference = now.figure - before.figure
        if len(np.unique(days)) < _FEWEST_DAYS:
            reason = f"the loss changed on {since:%Y-%m-%d}; it takes {_FEWEST_DAYS} days to tell by how much"
            return ConceptDrift(
                detected=False, since=since, difference=difference, low=None, high=None, rows=recent.size, reason=reason
            )
        half = _welch(before, now)
        low, high = difference - half, difference + half
        said = f"since {since:%Y-%m-%d} the loss is {now.figure:.4g} against {before.figure:.4g} at release"
        verdict = "" if low > 0 else ": no more than days differ" if difference > 0 else ": no higher"
        return ConceptDrift(
            detected=low > 0,
            since=since,
            difference=difference,
            low=low,
            high=high,
            rows=recent.size,
            reason=said + verdict,
        )


def detect(
    losses: NDArray[Any],
    moments: NDArray[Any],
    *,
    reference: NDArray[Any] | Estimate | None = None,
    reference_moments: NDArray[Any] | None = None,
    delta: float = 0.002,
    scale: float | None = None,
) -> ConceptDrift:
    """Concept drift in all labelled rows since release at once; see `ConceptDetector` for the arguments."""
    detector = ConceptDetector(reference=reference, reference_moments=reference_moments, delta=delta, scale=scale)
    detector.feed(losses, moments)
    return detector.state()


def _checked(losses: NDArray[Any]) -> Floats:
    values = np.asarray(losses, dtype=np.float64)
    if not bool(np.isfinite(values).all()):
        raise PermanentError(
            f"{int((~np.isfinite(values)).sum())} of {values.size} losses are not finite numbers",
            hint="clip probabilities before taking their logarithm",
        )
    return values


def _mean(losses: Floats, days: NDArray[Any] | None) -> _Mean:
    """Mean with its error over days; over rows where there are no days, or but one."""
    figure = float(losses.mean())
    if losses.size < 2:
        return _Mean(figure, 0.0, np.inf)
    influence = (losses - figure) / losses.size
    if days is not None:
        index, count = block_index(days)
        if count > 1:
            return _Mean(figure, max(block_error(influence, index, count), row_error(influence)), count - 1)
    return _Mean(figure, row_error(influence), np.inf)


def _usual_scale(reference: _Mean) -> float:
    """Ten times the mean loss at release: few losses are beyond it, and none of those alone should move the window."""
    return 10 * reference.figure if reference.figure > 0 else 1.0


def _of_estimate(estimate: Estimate) -> _Mean | None:
    """The estimate's mean and the error its 95% interval stands for."""
    if estimate.figure is None:
        return None
    if estimate.low is None or estimate.high is None:
        return _Mean(estimate.figure, 0.0, np.inf)
    return _Mean(estimate.figure, (estimate.high - estimate.low) / (2 * normal_quantile(0.975)), np.inf)


def _welch(before: _Mean, now: _Mean) -> float:
    """Half the 95% interval of the difference of two means (Welch 1947, Biometrika 34)."""
    first, second = before.error**2, now.error**2
    if first + second == 0:
        return 0.0
    parts = first**2 / before.freedom + second**2 / now.freedom
    quantile = t_quantile(0.975, (first + second) ** 2 / parts) if parts > 0 else normal_quantile(0.975)
    return quantile * sqrt(first + second)


def _nothing(rows: int, reason: str) -> ConceptDrift:
    return ConceptDrift(detected=False, since=None, difference=None, low=None, high=None, rows=rows, reason=reason)
