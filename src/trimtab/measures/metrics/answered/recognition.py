"""Who is it, or is it a stranger? Open-set identification, and the verification behind it.

Terms are those of ISO/IEC 19795-1 and NIST's FRVT: a *probe* is searched among those *enrolled*; a probe of somebody
who is not enrolled is a stranger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Floats, Ints
from trimtab.measures.metrics.answered.sums import proportion
from trimtab.measures.metrics.statistic import Statistic, Undefined
from trimtab.records.requirement import Value

FALSE_ACCEPT = 0.01
"""The false accept rate at which `quality.tar_at_far` reads the true accept rate."""
_POINTS = 1024
_CELLS = 8_000_000


@dataclass(frozen=True)
class Probes:
    """What was found of each probe: `own` [n] is the place of who it shows among the enrolled (-1: a stranger),
    `similarity` [n, enrolled], and `threshold` the similarity from which somebody is taken to be known."""

    own: Ints
    similarity: Floats
    threshold: float

    @property
    def rows(self) -> int:
        return self.own.size

    def statistic(self, metric: str, kept: Any, part: str | None = None) -> Statistic:  # noqa: ARG002 - has no parts
        """The metric over the probes that are `kept` (a mask or slice)."""
        return _METRICS[metric](Probes(self.own[kept], self.similarity[kept], self.threshold))

    def worth(self, value: Value) -> Floats:
        """What each answer is worth: `correct`, `wrong` for a name that is not theirs, `missed` for somebody enrolled
        who was taken for a stranger."""
        right = self.right
        missed = (self.own >= 0) & ~self.accepted
        return np.where(right, value.correct, np.where(missed, value.missed, value.wrong)) + value.per_prediction

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Probes that were taken for somebody."""
        return np.asarray(self.similarity.max(axis=1, initial=-np.inf) >= self.threshold)

    @property
    def first(self) -> NDArray[np.bool_]:
        """Probes of enrolled people who were the most similar of all."""
        if not self.similarity.shape[1]:
            return np.zeros(self.rows, dtype=bool)
        return np.asarray((self.own >= 0) & (self.similarity.argmax(axis=1) == self.own))

    @property
    def right(self) -> NDArray[np.bool_]:
        """Probes that were answered rightly: with their name, or as strangers."""
        return np.asarray(np.where(self.own >= 0, self.first & self.accepted, ~self.accepted))


def judge_probes(truths: Sequence[str], similarity: NDArray[Any], enrolled: Sequence[str], threshold: float) -> Probes:
    """Probes of whom `truths` names; who is not among the `enrolled` is a stranger. `similarity` [n, enrolled]."""
    places = {name: place for place, name in enumerate(enrolled)}
    own = np.array([places.get(name, -1) for name in truths], dtype=np.intp)
    return Probes(own, np.asarray(similarity, dtype=np.float64).reshape(len(own), len(places)), threshold)


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_], nothing: str) -> Statistic:
    return proportion((hits & among).astype(np.float64), among.astype(np.float64), nothing)


def _rank_1(probes: Probes) -> Statistic:
    return _share(probes.first, probes.own >= 0, "no probe is of somebody enrolled")


def _true_accept(probes: Probes) -> Statistic:
    return _share(probes.first & probes.accepted, probes.own >= 0, "no probe is of somebody enrolled")


def _false_accept(probes: Probes) -> Statistic:
    return _share(probes.accepted, probes.own < 0, "no probe is of a stranger")


def _accuracy(probes: Probes) -> Statistic:
    return _share(probes.right, np.ones(probes.rows, dtype=bool), "there are no probes")


def _equal_error(probes: Probes) -> Statistic:
    return _of_comparisons(probes, _rate_where_equal, equal=True)


def _tar_at_far(probes: Probes) -> Statistic:
    return _of_comparisons(probes, _accepted_at, equal=False)


def _of_comparisons(probes: Probes, read: Callable[[Floats, Floats], float], *, equal: bool) -> Statistic:
    """A figure of the ROC curve of all comparisons of a probe with somebody enrolled.

    The figure is of the whole curve; what is resampled are each probe's accepts at up to 1,024 thresholds, from which
    the curve is told as exactly where there are no more distinct similarities, and within a thousandth otherwise.
    Influences are those of the curve's height where it is read (delta method), with its slope there; leaving probes out
    one by one would not see how a quantile moves.
    """
    genuine = np.zeros(probes.similarity.shape, dtype=bool)
    known = np.flatnonzero(probes.own >= 0)
    genuine[known, probes.own[known]] = True
    if not genuine.any():
        raise Undefined("no probe is of somebody enrolled")
    if genuine.all():
        raise Undefined("nobody is compared with somebody else")
    thresholds = np.unique(probes.similarity)[::-1]
    false, true = _rates(probes.similarity, genuine, thresholds)
    figure = read(false, true)
    points = max(64, min(_POINTS, _CELLS // probes.rows))
    if thresholds.size > points:
        thresholds = _spread(thresholds, false, true, points)
        false, true = _rates(probes.similarity, genuine, thresholds)
    columns = _accepts(probes.similarity, genuine, thresholds)
    at = figure if equal else FALSE_ACCEPT
    place = int(np.clip(np.searchsorted(false[1:], at), 0, thresholds.size - 1))
    slope = _slope(false, true, at, wide=1.25 if equal else 2.0)
    raised = _moves(columns, place, thresholds.size + 1) - slope * _moves(columns, place, 0)
    influence = -raised / (1.0 + slope) if equal else raised
    return Statistic(
        figure,
        influence,
        columns,
        partial(_read_sums, read=read),
        trials=None if influence.any() else float(genuine.sum()),  # a perfect figure is as sure as they are many
        floor=0.0,
        ceiling=1.0,
    )


def _slope(false: Floats, true: Floats, at: float, *, wide: float) -> float:
    """How steep the curve is about the false accept rate `at`, between `at / wide` and `at * wide`."""
    if at == 0.0:
        return 0.0
    first, last = at / wide, min(1.0, at * wide)
    return float(np.interp(last, false, true) - np.interp(first, false, true)) / (last - first)


def _moves(columns: Floats, place: int, first: int) -> Floats:
    """Each probe's influence on the rate that is counted in `columns` from `first` on, at the threshold at `place`."""
    last = first + columns.shape[1] // 2 - 1
    total = float(columns[:, last].sum())
    rate = float(columns[:, first + place].sum()) / total
    return np.asarray((columns[:, first + place] - rate * columns[:, last]) / total)


def _rates(similarity: Floats, genuine: NDArray[np.bool_], thresholds: Floats) -> tuple[Floats, Floats]:
    """False and true accept rates at `thresholds`, which descend, after the point (0, 0)."""
    both = []
    for chosen in (~genuine, genuine):
        scores = np.sort(similarity[chosen])
        accepted = scores.size - np.searchsorted(scores, thresholds, side="left")
        both.append(np.concatenate([[0.0], accepted / scores.size]))
    return both[0], both[1]


def _spread(thresholds: Floats, false: Floats, true: Floats, points: int) -> Floats:
    """As many thresholds between which the curve moves evenly, in either rate, and in the logarithm of the false
    one."""
    steps = false[1:] + true[1:] + np.log10(np.maximum(false[1:], 1e-4)) / 4.0
    wanted = np.linspace(steps[0], steps[-1], points)
    return np.asarray(thresholds[np.unique(np.minimum(np.searchsorted(steps, wanted), thresholds.size - 1))])


def _accepts(similarity: Floats, genuine: NDArray[np.bool_], thresholds: Floats) -> Floats:
    """[n, 2 T + 2]: each probe's false accepts at every threshold and its comparisons with others, then true ones."""
    n, count = similarity.shape[0], thresholds.size
    columns = np.zeros((n, 2 * count + 2))
    # The place of the highest threshold that a similarity reaches: it is accepted there and at all that follow.
    place = np.searchsorted(-thresholds, -similarity, side="left")
    rows = np.broadcast_to(np.arange(n)[:, None], similarity.shape)
    for first, chosen in ((0, ~genuine), (count + 1, genuine)):
        block = np.zeros((n, count + 1))
        np.add.at(block, (rows[chosen], place[chosen]), 1.0)
        columns[:, first : first + count] = block[:, :count].cumsum(axis=1)
        columns[:, first + count] = block.sum(axis=1)
    return columns


def _read_sums(sums: Floats, read: Callable[[Floats, Floats], float]) -> Floats:
    width = sums.shape[-1] // 2
    found = np.full(len(sums), np.nan)
    for row, one in enumerate(sums):
        others, own = one[width - 1], one[-1]
        if others > 0 and own > 0:
            false = np.concatenate([[0.0], one[: width - 1] / others])
            found[row] = read(false, np.concatenate([[0.0], one[width:-1] / own]))
    return found


def _accepted_at(false: Floats, true: Floats) -> float:
    """The true accept rate where the false one is FALSE_ACCEPT, read off the curve between its points."""
    before = int(np.searchsorted(false, FALSE_ACCEPT, side="right")) - 1
    if before + 1 == false.size:
        return float(true[before])
    share = (FALSE_ACCEPT - false[before]) / (false[before + 1] - false[before])
    return float(true[before] + share * (true[before + 1] - true[before]))


def _rate_where_equal(false: Floats, true: Floats) -> float:
    """The false accept rate where it equals the share of own comparisons that are rejected, between the points."""
    gap = false - (1.0 - true)
    last = int(np.argmax(gap >= 0))
    if last == 0:
        return float(false[0]) if gap[0] >= 0 else float(false[-1])
    share = -gap[last - 1] / (gap[last] - gap[last - 1])
    return float(false[last - 1] + share * (false[last] - false[last - 1]))


_METRICS: dict[str, Callable[[Probes], Statistic]] = {
    "quality.accuracy": _accuracy,
    "quality.rank_1": _rank_1,
    "quality.true_accept": _true_accept,
    "quality.false_accept": _false_accept,
    "quality.equal_error_rate": _equal_error,
    "quality.tar_at_far": _tar_at_far,
}
METRICS = tuple(_METRICS)
