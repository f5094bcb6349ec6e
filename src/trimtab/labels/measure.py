"""How good the labels are: agreement between annotators with its interval, coverage, and what is most contested."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import msgspec
import numpy as np

from trimtab.labels.annotations import Said
from trimtab.labels.port import Value
from trimtab.labels.resolve import in_conflict, trusted_word
from trimtab.labels.spec import LabelsSpec
from trimtab.labels.values import alike, corners, names
from trimtab.measures.agreement import (
    Figure,
    bootstrap,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    mean_of_figures,
    mean_of_items,
)
from trimtab.measures.arrays import Floats
from trimtab.measures.boxes import mean_overlap
from trimtab.measures.intervals import normal_quantile, wilson
from trimtab.records.base import Record
from trimtab.records.requirement import Estimate


class Contested(Record, kw_only=True):
    """An item on which annotators differ: who says what, and by how much, 0 to 1 (1 - mean likeness of two labels).
    `settled` is what a trusted annotator made of it, None while it is open."""

    item: str
    labels: dict[str, Value]
    disagreement: float
    settled: Value | None = None


def agreement(said: Sequence[Said], spec: LabelsSpec, *, settle: bool = True, seed: int = 0) -> Estimate:
    """The declared measure over items, with its 95% interval from drawing items again; `rows` counts the items that
    several annotators labelled.

    Under the policy `adjudicate` a trusted annotator settles: not counted as one opinion more, because it is not
    independent of the others, it takes the place of theirs where they were in conflict (`settle`), and the reason says
    of how many items.
    """
    judged, settled = _to_compare(said, spec, settle=settle)
    pairable = [one for one in judged if len(one.labels) >= 2]
    people = sorted({name for one in pairable for name in one.labels})
    if spec.measure == "cohen_kappa" and len(people) > 2:
        reason = f"Cohen's kappa compares two annotators, and {len(people)} have labelled: declare krippendorff_alpha"
        return Estimate(figure=None, rows=len(pairable), reason=reason)
    if len(people) < 2:
        return Estimate(figure=None, rows=0, reason="no two annotators have labelled the same item")
    found = bootstrap(_figure(pairable, people, spec), len(pairable), rows=len(pairable), seed=seed)
    reason = f"{settled:,} of {len(pairable):,} items were settled by adjudication" if settled else ""
    return msgspec.structs.replace(found, reason=found.reason or reason)


def coverage(resolved: int, rows: int) -> Estimate:
    """The share of rows that have a resolved label, of all there are."""
    if not rows:
        return Estimate(figure=None, reason="nothing was collected yet")
    return Estimate(figure=resolved / rows, rows=rows, reason=f"{rows - resolved:,} of {rows:,} rows have none")


def share(part: int, whole: int) -> Estimate:
    """A share of labels with Wilson's 95% interval."""
    if not whole:
        return Estimate(figure=None, reason="no label could be checked yet")
    low, high = wilson(part / whole, whole, normal_quantile(0.975))
    return Estimate(figure=part / whole, low=low, high=high, rows=whole)


def contested(said: Sequence[Said], spec: LabelsSpec) -> list[Contested]:
    """Items on which annotators differ, the open ones first, then those that differ most."""
    found = []
    for one in said:
        labels = _without_trusted(one, spec)
        if len(labels) < 2 or not in_conflict(labels, spec):
            continue
        pairs = [alike(a, b, spec) for a, b in combinations(labels.values(), 2)]
        settled = trusted_word(one, spec)
        found.append(
            Contested(item=one.item, labels=dict(labels), disagreement=1 - sum(pairs) / len(pairs), settled=settled)
        )
    return sorted(found, key=lambda c: (c.settled is not None, -c.disagreement, c.item))


def _without_trusted(said: Said, spec: LabelsSpec) -> dict[str, Value]:
    if spec.policy != "adjudicate":
        return dict(said.labels)
    return {name: value for name, value in said.labels.items() if name not in spec.trusted}


def _to_compare(said: Sequence[Said], spec: LabelsSpec, *, settle: bool) -> tuple[list[Said], int]:
    found, settled = [], 0
    for one in said:
        labels = _without_trusted(one, spec)
        word = trusted_word(one, spec) if settle and spec.policy == "adjudicate" else None
        if word is not None and in_conflict(labels, spec):
            labels = dict.fromkeys(labels, word)
            settled += 1
        if labels:
            found.append(Said(one.item, labels))
    return found, settled


def _figure(  # noqa: PLR0911 - one line for each measure
    said: Sequence[Said], people: Sequence[str], spec: LabelsSpec
) -> Figure:
    match spec.measure:
        case "box_f1" | "word_agreement":
            return mean_of_items([_mean_pair(one, spec) for one in said])
        case "box_overlap":
            return mean_of_items([_mean_overlap(one) for one in said])
        case "cohen_kappa":
            return cohen_kappa(_codes(said, people, spec))
        case "fleiss_kappa":
            return fleiss_kappa(_codes(said, people, spec))
        case "krippendorff_alpha" if spec.kind == "multi_label":
            return mean_of_figures([krippendorff_alpha(_has(said, people, name)) for name in spec.classes])
        case "krippendorff_alpha" if spec.kind == "regression":
            return krippendorff_alpha(_codes(said, people, spec), "interval")
        case "krippendorff_alpha":
            return krippendorff_alpha(_codes(said, people, spec))
        case "krippendorff_alpha_ordinal":
            return krippendorff_alpha(_codes(said, people, spec), "ordinal")


def _codes(said: Sequence[Said], people: Sequence[str], spec: LabelsSpec) -> Floats:
    """[items, annotators]: positions of classes, or the numbers; NaN where nothing was said."""
    code = {name: float(number) for number, name in enumerate(spec.classes)}
    column = {name: number for number, name in enumerate(people)}
    rated = np.full((len(said), len(people)), np.nan)
    for row, one in enumerate(said):
        for name, value in one.labels.items():
            rated[row, column[name]] = value if spec.kind == "regression" else code[value]
    return rated


def _has(said: Sequence[Said], people: Sequence[str], wanted: str) -> Floats:
    column = {name: number for number, name in enumerate(people)}
    rated = np.full((len(said), len(people)), np.nan)
    for row, one in enumerate(said):
        for name, value in one.labels.items():
            rated[row, column[name]] = float(wanted in value)
    return rated


def _mean_pair(said: Said, spec: LabelsSpec) -> float:
    return float(np.mean([alike(one, other, spec) for one, other in combinations(said.labels.values(), 2)]))


def _mean_overlap(said: Said) -> float:
    pairs = combinations(said.labels.values(), 2)
    return float(np.mean([mean_overlap(corners(a), corners(b), names(a), names(b)) for a, b in pairs]))
