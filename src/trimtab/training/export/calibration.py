"""A model whose probabilities are put right by a map that was learnt on other rows: the map, and its ONNX nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.training.export.graph import Graph

Method = Literal["none", "sigmoid", "isotonic", "temperature"]
LEAST = 1e-6
"""Probabilities nearer to 0 or 1 are taken as this near: a float32 cannot tell them apart."""


@dataclass(frozen=True)
class Calibrated:
    """A fitted `model` with a map of its probabilities, as `trimtab.calibrate` makes it.

    `sigmoid` (Platt): sigmoid(slope * log-odds + shift). `temperature`: softmax(slope * log-probabilities). `isotonic`:
    straight lines between the points (`x`, `y`), level beyond them. `threshold` is the score from which the answer is
    yes, None for the one that `[value]` calls for.
    """

    model: Any
    method: Method
    slope: float = 1.0
    shift: float = 0.0
    x: NDArray[np.float64] | None = None
    y: NDArray[np.float64] | None = None
    threshold: float | None = None

    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores [n], or [n, classes], put right."""
        if self.method == "isotonic":
            assert self.x is not None
            assert self.y is not None
            return np.interp(scores, self.x, self.y)
        if self.method == "none":
            return scores
        if scores.ndim == 2:
            powers = self.slope * np.log(np.maximum(scores, LEAST))
            parts = np.exp(powers - powers.max(axis=1, keepdims=True))
            return np.asarray(parts / parts.sum(axis=1, keepdims=True), dtype=np.float64)
        return np.asarray(1.0 / (1.0 + np.exp(-(self.slope * log_odds(scores) + self.shift))), dtype=np.float64)


def log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(p / (1 - p)) of probabilities [n], which are held off 0 and 1."""
    held = np.clip(scores, LEAST, 1.0 - LEAST)
    return np.asarray(np.log(held) - np.log1p(-held), dtype=np.float64)


def add_calibration(graph: Graph, found: Calibrated) -> None:
    """Put the map behind a graph of probabilities [n, 1] or [n, classes]."""
    if found.method == "none":
        return
    if found.method == "isotonic":
        _lines(graph, found)
    elif graph.width > 1:
        held = graph.constant("least", np.array([LEAST], dtype=np.float32))
        graph.add("Max", [graph.output, held], "held")
        graph.add("Log", [graph.output], "logarithms")
        graph.add("Mul", [graph.output, _number(graph, "slope", found.slope)], "cooled")
        graph.add("Softmax", [graph.output], "calibrated", axis=1)
    else:
        _odds(graph)
        graph.add("Mul", [graph.output, _number(graph, "slope", found.slope)], "sloped")
        graph.add("Add", [graph.output, _number(graph, "shift", found.shift)], "shifted")
        graph.add("Sigmoid", [graph.output], "calibrated")


def _odds(graph: Graph) -> None:
    """Log-odds of the graph's probability: what went into its sigmoid where it ends with one, which is exact."""
    last = graph.nodes[-1]
    farthest = float(log_odds(np.array([1.0]))[0])
    if last.op_type == "Sigmoid" and list(last.output) == [graph.output]:
        graph.nodes.pop()
        graph.output = last.input[0]
        graph.add("Max", [graph.output, _number(graph, "lowest", -farthest)], "above")
        graph.add("Min", [graph.output, _number(graph, "highest", farthest)], "log_odds")
        return
    graph.add("Max", [graph.output, _number(graph, "least", LEAST)], "above")
    graph.add("Min", [graph.output, _number(graph, "most", 1.0 - LEAST)], "held")
    held = graph.output
    graph.add("Sub", [_number(graph, "whole", 1.0), held], "other")
    graph.add("Div", [held, graph.output], "odds")
    graph.add("Log", [graph.output], "log_odds")


def _lines(graph: Graph, found: Calibrated) -> None:
    """Straight lines between points as a sum of ramps: each rises by its share of the way between two points."""
    assert found.x is not None
    assert found.y is not None
    width = np.diff(found.x)
    slope = np.divide(np.diff(found.y), width, out=np.zeros_like(width), where=width > 0)
    rising = slope > 0
    if not rising.any():
        rising[:1] = True
    starts = graph.constant("ramp_starts", found.x[:-1][rising].astype(np.float32))
    widths = graph.constant("ramp_widths", width[rising].astype(np.float32))
    slopes = graph.constant("ramp_slopes", slope[rising].astype(np.float32)[:, None])
    graph.add("Sub", [graph.output, starts], "past_starts")
    graph.add("Max", [graph.output, _number(graph, "nothing", 0.0)], "on_ramps")
    graph.add("Min", [graph.output, widths], "within_ramps")
    graph.add("MatMul", [graph.output, slopes], "risen")
    graph.add("Add", [graph.output, _number(graph, "lowest_point", float(found.y[0]))], "calibrated")


def _number(graph: Graph, name: str, value: float) -> str:
    return graph.constant(f"calibration_{name}", np.array([value], dtype=np.float32))
