"""What a model card says, gathered from the declaration, the ledger and what was found of the model.

Its sections are those of Mitchell et al. 2019, "Model cards for model reporting" (FAT* 2019).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from trimtab.declaration.requirements.catalog import metrics
from trimtab.declaration.system import CardSpec, System
from trimtab.deployment.package.contents import DataReference
from trimtab.loop.analysis.kept import ModelAnalysis
from trimtab.loop.people.forgotten import tainted_models
from trimtab.measures.comparison.groups import Compared
from trimtab.records.base import Record
from trimtab.records.facts import (
    ColumnDrift,
    DriftMeasured,
    ModelTrained,
    ReleaseMoved,
    VerdictsGiven,
)
from trimtab.records.journal import Entry
from trimtab.records.ledger import Ledger
from trimtab.records.model import Stage
from trimtab.records.requirement import Estimate, Requirement, Verdict
from trimtab.records.slices import WeakSlice, WeakSlicesFound
from trimtab.records.tensors import TensorInput, Tensors

_PIPELINES = {
    "detection": "object-detection",
    "segmentation": "image-segmentation",
    "recognition": "image-feature-extraction",
    "transcription": "automatic-speech-recognition",
}
_BASIS = ("python", "numpy", "polars")


class Figure(Record, kw_only=True):
    """One metric on the validation rows, with the baseline's and what is required of it."""

    metric: str
    meaning: str
    found: Estimate
    baseline: Estimate | None
    unit: str
    scale: float
    required: tuple[Requirement, ...]
    verdict: Verdict | None


class Move(Record, kw_only=True):
    """A release of the model entered a stage."""

    at: datetime
    release: str
    source: Stage | None
    to: Stage
    why: str


class Weakness(Record, kw_only=True):
    """A group that is served worse than the others, beyond chance."""

    column: str
    metric: str
    compared: Compared


class ModelCard(Record, kw_only=True):
    """Everything on a card. `told` is what is declared; `analysis` is None where the rows that judged the model are
    gone, and `why` says so. `live` are the newest verdicts on answers to callers while a release of it was live.
    `slices_found` are rows in which it was found to do worse than it does on the whole, of which a share of
    `slices_rate` is expected to be false. `energy` is in joules, None where it was not tracked."""

    system: str
    problem: str
    task: str
    currency: str
    told: CardSpec
    model: ModelTrained
    trained: datetime
    made: datetime
    size: int
    framework: tuple[str, ...]
    data: tuple[DataReference, ...]
    figures: tuple[Figure, ...]
    slices: tuple[tuple[str, str, Estimate], ...]
    moves: tuple[Move, ...]
    live: tuple[Verdict, ...]
    agreement: Verdict | None
    drift: tuple[ColumnDrift, ...]
    analysis: ModelAnalysis | None
    why: str
    weak: tuple[Weakness, ...]
    slices_found: tuple[WeakSlice, ...]
    slices_rate: float
    seconds: float | None
    forgotten: bool
    energy: float | None = None
    energy_basis: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the model takes in, in words: columns with their kinds, or tensors with their shapes."""
        signature = self.model.bundle.signature
        if isinstance(signature.tensors, Tensors):
            return tuple(f"{each.name} ({_tensor(each)})" for each in signature.tensors.inputs)
        return tuple(f"{column.name} ({column.kind})" for column in signature.inputs)

    @property
    def pipeline(self) -> str:
        """The task by the name that hubs of models have for it."""
        signature = self.model.bundle.signature
        if self.task in _PIPELINES:
            return _PIPELINES[self.task]
        if isinstance(signature.tensors, Tensors):
            image = any(each.image is not None for each in signature.tensors.inputs)
            return "image-classification" if image else "audio-classification"
        return "tabular-regression" if self.task == "regression" else "tabular-classification"

    @property
    def name(self) -> str:
        """What the model is called."""
        return f"{self.system} {self.model.identity.id[:10]}"


def collect_card(
    system: System,
    ledger: Ledger,
    entry: Entry[ModelTrained],
    *,
    analysis: ModelAnalysis | None,
    why: str,
    data: tuple[DataReference, ...],
    size: int,
    now: datetime,
    energy: tuple[float, str] | None = None,
) -> ModelCard:
    """Gather the card of one model. `why` says why there is no analysis, where there is none."""
    fact = entry.fact
    moved = [
        Move(at=e.at, release=e.fact.release, source=e.fact.source, to=e.fact.to, why=e.fact.why)
        for e in ledger.entries(ReleaseMoved)
        if e.fact.model == fact.identity.id
    ]
    releases = {move.release for move in moved}
    given = [e for e in ledger.entries(VerdictsGiven) if e.fact.subject in releases]
    gate = {v.metric: v for e in given if e.fact.place == "release" for v in e.fact.verdicts if v.slice is None}
    live = {(v.metric, v.slice): v for e in given if e.fact.place == "live" for v in e.fact.verdicts}
    labels = (v for e in ledger.entries(VerdictsGiven) for v in e.fact.verdicts if v.metric == "labels.agreement")
    worse = [e.fact for e in ledger.entries(WeakSlicesFound) if e.fact.model == fact.identity.id]
    worst = next((f for f in worse if not f.against), None)
    drifted = [e.fact for e in ledger.entries(DriftMeasured, prefix=f"drift:{fact.identity.id}:")]
    return ModelCard(
        system=system.name,
        problem=system.problem,
        task=system.task,
        currency=system.value.currency if system.value else "",
        told=system.card or CardSpec(),
        model=fact,
        trained=entry.at,
        made=now,
        size=size,
        framework=tuple(f"{name} {version}" for name, version in fact.libraries.items() if name not in _BASIS),
        data=data,
        figures=tuple(_figures(system, fact, gate)),
        slices=tuple(_slices(fact)),
        moves=tuple(moved),
        live=tuple(v for v in live.values() if v.figure is not None),
        agreement=_last(labels),
        drift=tuple(sorted((c for c in drifted[-1].columns if c.drifted), key=lambda c: -c.effect)) if drifted else (),
        analysis=analysis,
        why=why,
        weak=_weak(analysis),
        slices_found=worst.slices if worst is not None else (),
        slices_rate=worst.rate if worst is not None else 0.0,
        seconds=entry.measured.get("resources.train_time"),
        forgotten=fact.identity.id in tainted_models(ledger),
        energy=energy[0] if energy else None,
        energy_basis=energy[1] if energy else "",
    )


def _figures(system: System, fact: ModelTrained, gate: dict[str, Verdict]) -> Iterable[Figure]:
    known = metrics()
    required = {r.metric for r in system.requirements}
    for name in sorted(fact.metrics, key=lambda name: (name not in required, name)):
        found = fact.metrics[name]
        if found.figure is None:
            continue
        asked = tuple(r for r in system.requirements if r.metric == name and r.by is None)
        unit, scale = (asked[0].unit, asked[0].scale) if asked else ("", 1.0)
        if not unit and known[name].unit == "money" and system.value is not None:
            unit = system.value.currency
        yield Figure(
            metric=name,
            meaning=known[name].meaning,
            found=found,
            baseline=fact.baseline.get(name),
            unit=unit,
            scale=scale,
            required=asked,
            verdict=gate.get(name) if asked else None,
        )


def _slices(fact: ModelTrained) -> Iterable[tuple[str, str, Estimate]]:
    """(metric, slice, estimate), the worst slice of a metric first."""
    known = metrics()
    found = []
    for key, estimate in fact.slices.items():
        metric, _, part = key.partition("|")
        if estimate.figure is not None:
            sign = 1 if metric in known and known[metric].better == "higher" else -1
            found.append((metric, sign * estimate.figure, part, estimate))
    for metric, _, part, estimate in sorted(found, key=lambda item: item[:3]):
        yield metric, part, estimate


def _weak(analysis: ModelAnalysis | None) -> tuple[Weakness, ...]:
    """Where a required metric of a group is worse than elsewhere, beyond chance; the furthest off first."""
    known = metrics()
    found = []
    for column, by_metric in (analysis.groups if analysis is not None else {}).items():
        for metric, groups in by_metric.items():
            if metric not in known:
                continue
            sign = 1 if known[metric].better == "higher" else -1
            found += [
                Weakness(column=column, metric=metric, compared=one)
                for one in groups
                if one.apart and sign * one.difference < 0
            ]
    return tuple(sorted(found, key=lambda one: -abs(one.compared.difference / (one.compared.others or 1.0))))


def _tensor(each: TensorInput) -> str:
    what = "image" if each.image is not None else "sound" if each.audio is not None else each.datatype
    return f"{what}, {' x '.join('any' if side < 0 else str(side) for side in each.shape)}"


def _last(found: Iterable[Any]) -> Any:
    last = None
    for last in found:  # noqa: B007 - the last one is wanted
        pass
    return last
