"""From what several annotators said to the one label of an item, by the declared policy; a conflict stays open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Any

import numpy as np

from trimtab.labels.annotations import Said
from trimtab.labels.port import Value
from trimtab.labels.reliability import Reliability, dawid_skene
from trimtab.labels.spec import LabelsSpec
from trimtab.labels.values import corners, same
from trimtab.measures.boxes import intersection_over_union

_HALF = 0.5


def resolve(said: Sequence[Said], spec: LabelsSpec) -> dict[str, Value]:
    """The label of every item that has one, by item.

    An item is open until `annotators` of its annotators, or a trusted one, have said theirs. Then, by policy:

    - what all say is its label, whatever the policy;
    - majority: what more than half say; of numbers the median, if more than half say the same as it; of boxes those
      that more than half drew, at the mean of their corners. A tie stays open;
    - trusted: what a trusted annotator says, else as majority;
    - adjudicate: what a trusted annotator says; without that every conflict stays open;
    - weighted: the likeliest truth given how reliable each annotator is (`dawid_skene`), if likelier than not.
    """
    enough = [one for one in said if len(one.labels) >= spec.annotators or trusted_word(one, spec) is not None]
    if spec.policy == "weighted":
        return _weighted(enough, spec)
    found = {one.item: _one(one, spec) for one in enough}
    return {item: value for item, value in found.items() if value is not None}


def trusted_word(said: Said, spec: LabelsSpec) -> Value | None:
    """What the first of the trusted annotators who said anything said; None under policies that trust nobody."""
    if spec.policy not in ("trusted", "adjudicate"):
        return None
    return next((said.labels[name] for name in spec.trusted if name in said.labels), None)


def in_conflict(labels: Mapping[str, Value], spec: LabelsSpec) -> bool:
    """Whether any two of them do not say the same."""
    return any(not same(one, other, spec) for one, other in combinations(labels.values(), 2))


def reliability(said: Sequence[Said], spec: LabelsSpec) -> tuple[Reliability, tuple[str, ...]]:
    """How reliable the annotators of classes are, and their names in order."""
    people = tuple(sorted({name for one in said for name in one.labels}))
    code = {name: number for number, name in enumerate(people)}
    of_class = {name: number for number, name in enumerate(spec.classes)}
    told = [(row, code[name], of_class[value]) for row, one in enumerate(said) for name, value in one.labels.items()]
    cells = np.array(told, dtype=np.intp).reshape(-1, 3)
    shape = (len(said), len(people), len(spec.classes))
    return dawid_skene(cells[:, 0], cells[:, 1], cells[:, 2], shape), people


def _one(said: Said, spec: LabelsSpec) -> Value | None:
    word = trusted_word(said, spec)
    if word is not None:
        return word
    values = list(said.labels.values())
    if spec.policy == "adjudicate" and in_conflict(said.labels, spec):
        return None
    return _majority(values, spec)


def _majority(values: Sequence[Value], spec: LabelsSpec) -> Value | None:
    half = len(values) / 2
    match spec.kind:
        case "regression":
            middle = float(median(values))
            return middle if sum(same(middle, value, spec) for value in values) > half else None
        case "multi_label":
            votes = [(name, sum(name in value for value in values)) for name in spec.classes]
            return None if any(n == half for _, n in votes) else [name for name, n in votes if n > half]
        case "box":
            return merged(values)
        case _:
            most = max(values, key=lambda value: sum(same(value, other, spec) for other in values))
            return most if sum(same(most, value, spec) for value in values) > half else None


def merged(drawn: Sequence[Value]) -> Value | None:
    """The boxes that more than half of the annotators drew, each at the mean of the corners drawn for it; None where a
    box was drawn by just half.

    Boxes are of one cluster when they have the same label and overlap by one half with its mean so far, an annotator's
    own boxes never; the one that overlaps most goes first.
    """
    clusters: list[tuple[str, list[list[float]], set[int]]] = []
    for person, boxes in enumerate(drawn):
        free = list(range(len(clusters)))
        for box in boxes:
            near = [(_overlap(clusters[i][1], box["box"]), i) for i in free if clusters[i][0] == box["label"]]
            best = max(near, default=(0.0, -1))
            if best[0] >= _HALF:
                clusters[best[1]][1].append(box["box"])
                clusters[best[1]][2].add(person)
                free.remove(best[1])
            else:
                clusters.append((box["label"], [box["box"]], {person}))
    half = len(drawn) / 2
    if any(len(people) == half for _, _, people in clusters):
        return None
    kept: list[dict[str, Any]] = [
        {"label": label, "box": np.mean(boxes, axis=0).tolist()}
        for label, boxes, people in clusters
        if len(people) > half
    ]
    return sorted(kept, key=lambda box: (box["label"], box["box"]))


def _overlap(cluster: list[list[float]], box: list[float]) -> float:
    middle = np.mean(cluster, axis=0)[None, :]
    return float(intersection_over_union(middle, corners([{"box": box}]))[0, 0])


def _weighted(said: Sequence[Said], spec: LabelsSpec) -> dict[str, Value]:
    if not said:
        return {}
    found, _ = reliability(said, spec)
    likeliest = found.truth.argmax(axis=1)
    return {
        one.item: spec.classes[best]
        for one, best, odds in zip(said, likeliest.tolist(), found.truth.max(axis=1), strict=True)
        if odds > _HALF + 1e-9
    }
