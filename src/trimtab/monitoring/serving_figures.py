"""What a server measured of itself, as estimates that requirements can be judged on."""

from __future__ import annotations

from math import ceil, floor, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.intervals import normal_quantile, wilson
from trimtab.records.base import Record
from trimtab.records.requirement import Estimate

_QUANTILES = {"serving.latency_p50": 0.50, "serving.latency_p95": 0.95, "serving.latency_p99": 0.99}


class ServingFigures(Record, frozen=True, kw_only=True):
    """Figures of one server over one span: well-formed `requests`, how many of them failed (`errors`), percentiles of
    the time in the server in seconds, and its resident `memory` in bytes."""

    requests: int
    errors: int
    latency_p50: Estimate | None = None
    latency_p95: Estimate | None = None
    latency_p99: Estimate | None = None
    memory: float | None = None

    def estimate(self, metric: str) -> Estimate | None:
        """The figure of a `serving.*` or `resources.memory` metric; None where this server did not measure it."""
        if metric == "serving.error_rate":
            return self._error_rate()
        if metric == "resources.memory":
            return None if self.memory is None else Estimate(figure=self.memory)
        return {
            "serving.latency_p50": self.latency_p50,
            "serving.latency_p95": self.latency_p95,
            "serving.latency_p99": self.latency_p99,
        }.get(metric)

    def _error_rate(self) -> Estimate:
        if self.requests == 0:
            return Estimate(figure=None, reason="there was no request")
        share = self.errors / self.requests
        low, high = wilson(share, self.requests, normal_quantile(0.975))
        return Estimate(figure=share, low=low, high=high, rows=self.requests)


def serving_figures(latencies: NDArray[Any], *, errors: int = 0, memory: float | None = None) -> ServingFigures:
    """Figures from the latency of each answered request [n], in seconds, and the number of failed ones."""
    ordered = np.sort(np.asarray(latencies, dtype=np.float64))
    p50, p95, p99 = (latency_quantile(ordered, share) for share in _QUANTILES.values())
    return ServingFigures(
        requests=ordered.size + errors,
        errors=errors,
        latency_p50=p50,
        latency_p95=p95,
        latency_p99=p99,
        memory=memory,
    )


def latency_quantile(ordered: NDArray[Any], share: float) -> Estimate:
    """A quantile of sorted values [n] with the interval between order statistics that hold it 95 times in 100.

    Ranks n*q -+ 1.96 sqrt(n*q*(1-q)) (Conover 1999, "Practical Nonparametric Statistics", 3.2). Where the upper
    rank is beyond the last value it is the largest value.
    """
    n = ordered.size
    if n == 0:
        return Estimate(figure=None, reason="no request was answered")
    half = normal_quantile(0.975) * sqrt(n * share * (1 - share))
    low, high = max(1, floor(n * share - half)), min(n, ceil(n * share + half))
    figure = ordered[min(n, ceil(n * share)) - 1]
    return Estimate(figure=float(figure), low=float(ordered[low - 1]), high=float(ordered[high - 1]), rows=n)
