"""Looks at a model on the rows that judged it, within a time, and keeps what it finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.privacy.bias import bias_of
from trimtab.data.privacy.sealing import sealed_columns
from trimtab.declaration.system import System
from trimtab.inference.explain.explainer import Explainer
from trimtab.inference.explain.kept import decode_explainer
from trimtab.inference.model import load_model
from trimtab.loop.analysis.judged import Judged
from trimtab.loop.analysis.kept import Bin, Contribution, Curve, ModelAnalysis
from trimtab.loop.passes.evidence import deciding_metric
from trimtab.measures.arrays import block_index
from trimtab.measures.comparison.groups import Compared, compare_groups, criteria
from trimtab.measures.comparison.reliance import Loss, dependence, grid, permutation_loss
from trimtab.measures.intervals import block_error, normal_quantile, t_quantile, wilson
from trimtab.measures.metrics.declared import measurable
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained

Clock = Callable[[], float]
_MOST_ROWS = 4000
_CURVE_ROWS = 1000
_MOST_WORK = 400_000_000
"""Multiplications that contributions may take: about two seconds."""
_MOST_CURVES = 6
LEAST_SHOWN = 10
"""Rows below which nothing is told of the labels of a group: a card goes to others, and few rows may be known."""
_MOST_CLASSES = 4
_BINS = 10


def groups_of(system: System) -> tuple[str, ...]:
    """The columns whose values are compared: those that are declared, else those that requirements slice by and those
    whose population is known."""
    if system.card is not None and system.card.groups:
        return system.card.groups
    sliced = [r.by for r in system.requirements if r.by is not None and not r.metric.startswith("data.")]
    return tuple(dict.fromkeys((*sliced, *system.labelled.population)))


def analyse(
    system: System,
    blobs: Blobs,
    fact: ModelTrained,
    judged: Judged,
    *,
    seconds: float = 20.0,
    clock: Clock = time.perf_counter,
) -> ModelAnalysis:
    """What the model is like on its rows. What each feature is worth is asked for at most `seconds`, the features that
    contribute the most first; whatever that leaves out is told."""
    return _Analysis(system, blobs, fact, judged, clock() + seconds, clock).run()


@dataclass
class _Analysis:
    system: System
    blobs: Blobs
    fact: ModelTrained
    judged: Judged
    until: float
    clock: Clock
    left_out: list[str] = field(default_factory=list)

    def run(self) -> ModelAnalysis:
        system, judged = self.system, self.judged
        sealed = {name for spec in system.data for name in sealed_columns(spec)}
        chosen = _spread(len(judged.y), _MOST_ROWS)
        method, unit, contributions = self._contributions(chosen)
        names = [feature.name for feature in judged.model.signature.features]
        order = sorted(names, key=lambda name: -contributions[name].figure) if contributions else names
        metric = next(
            (r.metric for r in system.requirements if r.by is None and r.metric in measurable(system.task)),
            deciding_metric(system),
        )
        losses = self._losses(order, chosen, metric)
        ranked = sorted(losses, key=lambda name: -losses[name].figure) if not contributions else order
        columns = [name for name in groups_of(system) if name not in sealed and name in judged.train.columns]
        bias = bias_of(judged.train, system.labelled, columns)
        curves = self._curves([name for name in ranked if name not in sealed][:_MOST_CURVES])
        return ModelAnalysis(
            model=self.fact.identity.id,
            rows=len(judged.y),
            asked=len(chosen),
            same=judged.same,
            method=method,
            unit=unit,
            metric=metric,
            contributions=contributions,
            losses=losses,
            curves=curves,
            groups=self._groups([name for name in groups_of(system) if name not in sealed]),
            reliability=self._reliability(),
            represented={name: tuple(s for s in found if s.rows >= LEAST_SHOWN) for name, found in bias.slices.items()},
            rarest=bias.rarest,
            withheld=tuple(sorted(sealed & {*names, *groups_of(system)})),
            left_out=tuple(self.left_out),
        )

    def _contributions(self, chosen: NDArray[np.intp]) -> tuple[str, str, dict[str, Contribution]]:
        """By the explainer of the model that answers, on the rows that judged the one before it."""
        bundle = self.fact.bundle
        if not isinstance(bundle.explainer, str):
            self.left_out.append("contributions: nothing that explains this model is kept")
            return "", "", {}
        x = self._coded() if bundle.signature != self.judged.model.signature else self.judged.x
        explainer = Explainer(decode_explainer(self.blobs.get(bundle.explainer)), load_model(self.blobs, bundle))
        most = max(16, min(len(chosen), 1000, _MOST_WORK // max(1, explainer.work)))
        rows = chosen[_spread(len(chosen), most)]
        sizes = np.abs(explainer.explain_all(x[rows]).contributions).mean(axis=1)
        index, count = block_index(self.judged.day[rows])
        wide = t_quantile(0.975, count - 1) if count > 1 else 0.0
        found = {}
        for name, column in zip(explainer.features, sizes.T, strict=True):
            mean = float(column.mean())
            half = wide * block_error((column - mean) / len(column), index, count) if count > 1 else 0.0
            found[name] = Contribution(figure=mean, low=max(0.0, mean - half), high=mean + half)
        return explainer.method, explainer.unit, dict(sorted(found.items(), key=lambda item: -item[1].figure))

    def _coded(self) -> NDArray[np.float32]:
        """The rows as the shipped model's signature codes them: it has met more categories."""
        from trimtab.inference.encode import encode_frame
        from trimtab.inference.features_code import apply_features

        bundle = self.fact.bundle
        return encode_frame(apply_features(self.blobs, bundle, self.judged.rows), bundle.signature)

    def _losses(self, order: Sequence[str], chosen: NDArray[np.intp], metric: str) -> dict[str, Loss]:
        judged = self.judged
        signature = judged.model.signature
        names = [feature.name for feature in signature.features]
        found: dict[str, Loss] = {}
        for position, name in enumerate(order):
            if found and self.clock() >= self.until:
                self.left_out.append(f"permutation importance of {len(order) - position} features: the time was over")
                break
            found[name] = permutation_loss(
                metric,
                judged.model.scores,
                judged.x[chosen],
                names.index(name),
                y=judged.y[chosen],
                known=judged.scores[chosen],
                threshold=signature.threshold,
                value=judged.job.value,
                task=judged.job.task,
                blocks=judged.day[chosen],
                seed=judged.job.seed,
            )
        return found

    def _curves(self, names: Sequence[str]) -> tuple[Curve, ...]:
        judged = self.judged
        signature = judged.model.signature
        rows = _spread(len(judged.y), _CURVE_ROWS)
        positions = {feature.name: i for i, feature in enumerate(signature.features)}
        several = signature.task == "multiclass_classification"
        outputs: Sequence[int | None] = range(len(signature.classes))[:_MOST_CLASSES] if several else (None,)
        curves: list[Curve] = []
        for done, name in enumerate(names):
            if curves and self.clock() >= self.until:
                self.left_out.append(f"partial dependence on {len(names) - done} features: the time was over")
                break
            feature = signature.features[positions[name]]
            category = feature.kind == "category"
            values = grid(judged.x[:, positions[name]], category=category)
            words = tuple(
                feature.vocabulary[int(code)] if 0 <= code < len(feature.vocabulary) else "(unknown)"
                for code in (values if category else [])
            )
            for output in outputs:
                points = dependence(
                    judged.model.scores, judged.x[rows], positions[name], values, blocks=judged.day[rows],
                    category=category, output=output,
                )  # fmt: skip
                label = "" if output is None else signature.classes[output]
                curves.append(Curve(feature=name, output=label, points=points, words=words))
        return tuple(curves)

    def _groups(self, columns: Sequence[str]) -> dict[str, dict[str, tuple[Compared, ...]]]:
        judged, system = self.judged, self.system
        required = [r.metric for r in system.requirements if r.metric in measurable(system.task)]
        found = {}
        for column in columns:
            if column not in judged.rows.columns:
                self.left_out.append(f"groups by {column}: the rows have no such column")
                continue
            values = judged.rows.get_column(column).cast(pl.String).fill_null("null").to_numpy()
            told = {}
            for metric in criteria(system.task, required):
                compared = compare_groups(
                    metric, values, y=judged.y, score=judged.scores, threshold=judged.model.signature.threshold,
                    value=judged.job.value, task=judged.job.task, blocks=judged.day, seed=judged.job.seed,
                )  # fmt: skip
                if compared:
                    told[metric] = compared
            if told:
                found[column] = told
            else:
                self.left_out.append(f"groups by {column}: there are not two groups with enough rows and days")
        return found

    def _reliability(self) -> tuple[Bin, ...]:
        judged = self.judged
        if judged.job.task != "binary_classification":
            return ()
        order = np.argsort(judged.scores, kind="stable")
        bins = []
        for part in np.array_split(order, min(_BINS, max(1, len(order) // 20))):
            share, rows = float(judged.y[part].mean()), len(part)
            low, high = wilson(share, rows, normal_quantile(0.975))
            bins.append(Bin(score=float(judged.scores[part].mean()), share=share, low=low, high=high, rows=rows))
        return tuple(bins)


def _spread(count: int, most: int) -> NDArray[Any]:
    """At most so many positions of `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.intp))
