"""Labels that are likely wrong: every labelled row is scored by the newest model that had not learned from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from trimtab.declaration.system import System
from trimtab.inference.encode import encode_frame
from trimtab.inference.features_code import apply_features
from trimtab.inference.model import load_model
from trimtab.labels.measure import share
from trimtab.labels.mistakes import Suspects, likely_wrong
from trimtab.labels.port import LabelsError
from trimtab.loop.past.annotated import items_of
from trimtab.loop.past.history import MOMENT
from trimtab.measures.arrays import Floats
from trimtab.records.base import Record
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.ledger import Ledger
from trimtab.records.metric import is_answered
from trimtab.records.model import ModelBundle
from trimtab.records.requirement import Estimate
from trimtab.training.rows import encode_labels


class Suspect(Record, kw_only=True):
    """A label that is likely wrong: what it says, what the model would say, and by how much that is more probable."""

    item: str
    label: str
    likely: str
    margin: float


class Suspected(Record, kw_only=True):
    """Labels that are likely wrong, the likeliest first. `error_rate` is their estimated share of the `checked` rows;
    `unchecked` labelled rows were learned from by every model there is."""

    suspects: tuple[Suspect, ...]
    error_rate: float | None
    checked: int
    unchecked: int


@dataclass
class Checker:
    """Scores labelled rows out of sample with the models of the ledger."""

    system: System
    ledger: Ledger
    blobs: Blobs

    def look(self, rows: pl.DataFrame) -> Suspected:
        """Check rows as `Datasets.labelled` gives them. Raises LabelsError where there is no model to ask, or the
        labels are no classes."""
        if self.system.task == "regression":
            raise LabelsError("likely wrong labels are found among classes, not numbers")
        if is_answered(self.system.task):
            raise LabelsError(f"likely wrong labels are found by scores of classes, and {self.system.task} has none")
        label = str(self.system.labelled.label)
        rows = rows.filter(rows[label].is_not_null()) if rows.height else rows
        models = [entry.fact for entry in self.ledger.entries(ModelTrained, newest_first=True)]
        if not models:
            raise LabelsError("no model was trained yet that labels could be checked against", hint="trimtab run")
        classes = models[0].bundle.signature.classes
        if not rows.height:
            return Suspected(suspects=(), error_rate=None, checked=0, unchecked=0)
        rows = rows.filter(_words(rows[label]).is_in(list(classes)))
        probabilities = np.full((rows.height, len(classes)), np.nan)
        for model in models:
            if model.bundle.signature.classes == classes:
                self._score(model, rows, probabilities)
        checked = ~np.isnan(probabilities).any(axis=1)
        labels = encode_labels(rows[label], classes, self.system.task).astype(np.intp)[checked]
        found = likely_wrong(labels, probabilities[checked])
        items = items_of(rows, self.system.labelled).filter(pl.Series(checked))
        return Suspected(
            suspects=_named(found, items, labels, classes),
            error_rate=found.error_rate if found.checked else None,
            checked=found.checked,
            unchecked=rows.height - found.checked,
        )

    def error_rate(self, rows: pl.DataFrame) -> Estimate:
        """The share of likely wrong labels among those that could be checked, with its interval."""
        try:
            found = self.look(rows)
        except LabelsError as error:
            return Estimate(figure=None, reason=error.message)
        return share(len(found.suspects), found.checked)

    def _score(self, model: ModelTrained, rows: pl.DataFrame, into: Floats) -> None:
        """Fill in the rows that are open and lie outside of what the model learned from: the one that its holdout
        judged, where another was fitted on the holdout as well."""
        bundle = model.evaluated if model.evaluated is not None else model.bundle
        moments = rows[MOMENT]
        unseen = ((moments > model.train_to) | (moments < model.train_from)).to_numpy() & np.isnan(into).any(axis=1)
        if unseen.any():
            into[unseen] = probabilities_of(self.blobs, bundle, rows.filter(pl.Series(unseen)))


def probabilities_of(blobs: Blobs, bundle: ModelBundle, rows: pl.DataFrame) -> Floats:
    """What a classifying model says of rows: [n, classes]."""
    matrix = encode_frame(apply_features(blobs, bundle, rows), bundle.signature)
    scores = np.asarray(load_model(blobs, bundle).scores(matrix), dtype=np.float64)
    return np.stack([1.0 - scores, scores], axis=1) if scores.ndim == 1 else scores


def _words(labels: pl.Series) -> pl.Series:
    if labels.dtype.is_float():
        return pl.Series([None if value is None else f"{value:g}" for value in labels.to_list()], dtype=pl.String)
    return labels.cast(pl.String)


def _named(found: Suspects, items: pl.Series, labels: np.ndarray, classes: tuple[str, ...]) -> tuple[Suspect, ...]:
    return tuple(
        Suspect(item=str(items[row]), label=classes[labels[row]], likely=classes[truth], margin=float(margin))
        for row, truth, margin in zip(found.rows.tolist(), found.truth.tolist(), found.margin.tolist(), strict=True)
    )
