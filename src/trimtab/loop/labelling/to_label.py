"""What to label next, and handing it to the tool with what the live model says of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from trimtab.data.privacy.sealing import sealed_columns
from trimtab.declaration.system import System
from trimtab.inference.encode import encode_frame
from trimtab.inference.features_code import apply_features
from trimtab.inference.model import load_model
from trimtab.labels.choose import (
    Choice,
    affordable,
    choose,
    distance_from,
    entropy,
    margin_uncertainty,
    standardised,
)
from trimtab.labels.port import Item, Push
from trimtab.labels.spec import SIGNALS
from trimtab.loop.labelling.suspects import probabilities_of
from trimtab.loop.past.annotated import Labelling, items_of
from trimtab.loop.releases import fold
from trimtab.measures.arrays import Floats
from trimtab.records.base import Record
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained, ReleaseMoved
from trimtab.records.ledger import Ledger
from trimtab.records.metric import is_answered


class Wanted(Record, kw_only=True):
    """An item worth a label: why, by signal (ranks from 0 to 1), and what the live model says of it."""

    item: str
    score: float
    signals: dict[str, float]
    guess: str | float | None = None


class Next(Record, kw_only=True):
    """What to label next, the most worth it first, and what it takes: `labels` answers, at `cost` (the declared
    currency) and `seconds` of people's time where these are known. `open` items have too few answers so far."""

    wanted: tuple[Wanted, ...]
    open: int
    labels: int
    cost: float | None
    seconds: float | None
    signals: tuple[str, ...]


@dataclass
class Chooser:
    """Looks at the rows without a label through the models of the ledger."""

    system: System
    ledger: Ledger
    blobs: Blobs
    labelling: Labelling

    def next(self, rows: pl.DataFrame, count: int, budget: float | None, seconds: float | None) -> Next:
        """At most `count` items, as many as `budget` pays for; `rows` are those of the labelled dataset with features
        joined, and `seconds` what a label takes."""
        spec = self.labelling.spec
        items = items_of(rows, self.labelling.of)
        said = {one.item: one for one in self.labelling.labels().said}
        enough = {item for item, one in said.items() if len(one.labels) >= spec.annotators}
        unlabelled = rows[spec.column].is_null() if spec.column in rows.columns else pl.Series([True] * rows.height)
        free = unlabelled & ~items.is_in(list(enough))
        candidates, known = rows.filter(free), rows.filter(~unlabelled)
        names = items.filter(free)
        can = affordable(range(candidates.height), spec.annotators, spec.cost_per_label, budget)
        live, former = self._models()
        features, labelled = self._features(candidates, live), self._features(known, live)
        scaled, reference = standardised(features, labelled), standardised(labelled)
        signals = self._signals(candidates, live, former)
        signals["drift"] = distance_from(scaled, reference)
        mix = spec.mix or dict.fromkeys(SIGNALS, 1.0)
        usable = {name: values for name, values in signals.items() if mix.get(name, 0.0) > 0}
        chosen = choose(usable, scaled, mix, min(count, can)) if candidates.height else []
        guesses = self._guesses(candidates[[one.row for one in chosen]], live)
        wanted = tuple(_wanted(one, names, guess) for one, (guess, _) in zip(chosen, guesses, strict=True))
        labels = len(wanted) * spec.annotators
        return Next(
            wanted=wanted,
            open=candidates.height,
            labels=labels,
            cost=labels * spec.cost_per_label if spec.cost_per_label else None,
            seconds=labels * seconds if seconds is not None else None,
            signals=tuple(name for name in SIGNALS if name in usable or (name == "diversity" and mix.get(name))),
        )

    def push(self, rows: pl.DataFrame, wanted: tuple[str, ...]) -> Push:
        """Hand the named items of `rows` to the tool, with the live model's answer as a first guess."""
        spec, of = self.labelling.spec, self.labelling.of
        items = items_of(rows, of)
        order = {item: number for number, item in enumerate(wanted)}
        picked = rows.with_columns(items.alias("_item")).filter(items.is_in(list(wanted)))
        live, _ = self._models()
        name = live.identity.id[:12] if live is not None else ""
        hidden = {spec.column, "_item", *sealed_columns(of)}
        show = spec.show or tuple(c for c in picked.columns if c not in hidden and not c.startswith("_"))
        shown = picked.select(show).to_dicts() if picked.height else []
        pushed = [
            Item(item=item, shown=cells, guess=guess, score=score, model=name if guess is not None else "")
            for item, cells, (guess, score) in zip(
                picked["_item"].to_list(), shown, self._guesses(picked.drop("_item"), live), strict=True
            )
        ]
        return self.labelling.tool.push(sorted(pushed, key=lambda item: order[item.item]))

    def _models(self) -> tuple[ModelTrained | None, ModelTrained | None]:
        """The live model (else the newest there is) and another one to compare it with."""
        if self.labelling.of.name != self.system.labelled.name or is_answered(self.system.task):
            return None, None
        trained = [entry.fact for entry in self.ledger.entries(ModelTrained, newest_first=True)]
        live = fold((entry.at, entry.fact) for entry in self.ledger.entries(ReleaseMoved)).live
        first = next((m for m in trained if live is not None and m.identity.id == live.model), None)
        first = first or (trained[0] if trained else None)
        if first is None:
            return None, None
        signature = first.bundle.signature
        others = [m for m in trained if m.identity.id != first.identity.id]
        return first, next((m for m in others if m.bundle.signature.classes == signature.classes), None)

    def _features(self, rows: pl.DataFrame, model: ModelTrained | None) -> Floats:
        """What rows are told apart by: the model's own features, or their numbers where there is no model."""
        if model is not None and rows.height:
            found = encode_frame(apply_features(self.blobs, model.bundle, rows), model.bundle.signature)
            return np.asarray(found, dtype=np.float64)
        left_out = {self.labelling.spec.column, *self.labelling.of.key}
        numbers = [
            name
            for name, dtype in rows.schema.items()
            if (dtype.is_numeric() or dtype == pl.Boolean) and name not in left_out and not name.startswith("_")
        ]
        if model is not None:
            return np.zeros((0, len(model.bundle.signature.features)))
        if not numbers:
            return np.zeros((rows.height, 1))
        cells = rows.select(pl.col(name).cast(pl.Float64).fill_null(float("nan")) for name in numbers)
        return np.asarray(cells.to_numpy(), dtype=np.float64)

    def _signals(self, rows: pl.DataFrame, live: ModelTrained | None, former: ModelTrained | None) -> dict[str, Floats]:
        if live is None or not rows.height:
            return {}
        if self.system.task == "regression":
            found: dict[str, Floats] = {}
            if former is not None:
                found["disagreement"] = np.abs(self._scores(live, rows) - self._scores(former, rows))
            return found
        told = probabilities_of(self.blobs, live.bundle, rows)
        found = {"uncertainty": (entropy(told) + margin_uncertainty(told)) / 2}
        if former is not None:  # how far the two models' answers lie apart (total variation)
            found["disagreement"] = np.abs(told - probabilities_of(self.blobs, former.bundle, rows)).sum(axis=1) / 2
        return found

    def _scores(self, model: ModelTrained, rows: pl.DataFrame) -> Floats:
        matrix = encode_frame(apply_features(self.blobs, model.bundle, rows), model.bundle.signature)
        return np.asarray(load_model(self.blobs, model.bundle).scores(matrix), dtype=np.float64)

    def _guesses(self, rows: pl.DataFrame, live: ModelTrained | None) -> list[tuple[str | float | None, float | None]]:
        """What the model says of each row, and how sure it is; nothing where labels are not what it answers."""
        if live is None or not rows.height or self.labelling.spec.kind not in ("class", "regression"):
            return [(None, None)] * rows.height
        if self.system.task == "regression":
            return [(float(one), None) for one in self._scores(live, rows)]
        told = probabilities_of(self.blobs, live.bundle, rows)
        classes = live.bundle.signature.classes
        if self.system.task == "binary_classification":
            best = (told[:, 1] >= live.bundle.signature.threshold).astype(int)
        else:
            best = told.argmax(axis=1)
        return [(classes[one], float(told[row, one])) for row, one in enumerate(best.tolist())]


def _wanted(one: Choice, names: pl.Series, guess: str | float | None) -> Wanted:
    return Wanted(item=str(names[one.row]), score=one.score, signals=dict(one.signals), guess=guess)
