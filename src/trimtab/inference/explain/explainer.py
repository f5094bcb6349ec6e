"""Explains what a model answered, by the exact method where its trees are kept, else by occlusion."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.inference.explain.kept import KeptExplainer, Link, array_of
from trimtab.inference.explain.occlusion import Occlusion
from trimtab.inference.explain.paths import paths_of
from trimtab.inference.explain.tree_shap import TreeShap
from trimtab.inference.model import Model
from trimtab.records.model import Signature

Method = Literal["tree_shap", "occlusion"]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Explanation:
    """What features contributed to the answers of the first rows asked about.

    `contributions` is [rows, outputs, features]; `base` [outputs] is what is answered before anything is known of a
    row, both in `unit`. By `tree_shap` they add up to the answer, by `occlusion` only where features do not work
    together. `outputs` names the classes, and is empty where there is one answer a row.
    """

    method: Method
    unit: str
    base: NDArray[np.float64]
    contributions: NDArray[np.float64]
    features: tuple[str, ...]
    outputs: tuple[str, ...]

    def after(self, offset: float) -> Explanation:
        """The same of answers whose log odds had `offset` added: it counts to what is answered before anything is known
        of a row. What is counted in another unit explains the model alone, without the offset."""
        return replace(self, base=self.base + offset) if offset and self.unit == "log-odds" else self


class Explainer:
    """Explains one model. Safe to call from several threads at once. `work` is about how many multiplications one row
    takes, the model's own left out."""

    def __init__(self, kept: KeptExplainer, model: Model) -> None:
        signature = model.signature
        self.method: Method = "occlusion" if kept.trees is None else "tree_shap"
        self.unit = kept.unit
        self.features = tuple(feature.name for feature in signature.features)
        self.outputs = tuple(signature.classes[position] for position in kept.outputs)
        self._shift = np.array(kept.shift)
        self._mix = np.array(kept.mix)
        self._baseline = array_of(kept.baseline, "f4").astype(np.float32)
        self._means: TreeShap | Occlusion
        if kept.trees is None:
            self._means = Occlusion(model.scores, self._baseline, kept.link)
        else:
            self._means = TreeShap(paths_of(kept.trees), len(signature.features))
        self.work = self._means.work
        self._seconds = 0.0

    def explain(self, matrix: NDArray[np.float32], seconds: float, clock: Clock = time.perf_counter) -> Explanation:
        """Explains as many rows of `matrix` [n, features] as it can in `seconds`, and at least one."""
        until = clock() + seconds
        return self._told(matrix, lambda: clock() >= until)

    def explain_all(self, matrix: NDArray[np.float32]) -> Explanation:
        """Explains every row, however long it takes."""
        return self._told(matrix, lambda: False)

    def seconds_a_row(self, clock: Clock = time.perf_counter) -> float:
        """How long one row takes, alone: measured on the baseline row, once."""
        if not self._seconds:
            row = self._baseline[None]
            for _ in range(3):
                began = clock()
                self.explain_all(row)
                took = clock() - began
                self._seconds = min(self._seconds or took, took)
        return self._seconds

    def _told(self, matrix: NDArray[np.float32], out_of_time: Callable[[], bool]) -> Explanation:
        found, base = self._means.contributions(matrix, out_of_time), self._means.base
        if isinstance(self._means, TreeShap):
            found = np.einsum("ot,rtf->rof", self._mix, found)
            base = self._shift + self._mix @ base
        return Explanation(self.method, self.unit, base, found, self.features, self.outputs)


def link_of(signature: Signature) -> Link:
    """How a model of that task goes from margins to its scores, where nothing more is known of it."""
    links: dict[str, Link] = {"binary_classification": "logistic", "multiclass_classification": "softmax"}
    return links.get(signature.task, "identity")


def scores_of(margins: NDArray[np.float64], link: Link) -> NDArray[np.float64]:
    """Margins [n, outputs] through the link, as [n, outputs] scores."""
    if link == "identity":
        return margins
    if link == "exponential":
        return np.exp(margins)
    if link == "logistic":
        return 1 / (1 + np.exp(-margins))
    raised = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
