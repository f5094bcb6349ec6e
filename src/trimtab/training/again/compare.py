"""Two models' difference in three words (code, hyper-parameters, data), joined to the metrics that moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.records.base import Record
from trimtab.records.facts import ModelTrained
from trimtab.records.requirement import Estimate
from trimtab.training.job import TrainingJob


class MetricMove(Record, kw_only=True):
    """A metric of both models, each on its own validation rows. `moved` is true when the intervals do not overlap."""

    metric: str
    before: Estimate
    after: Estimate
    moved: bool


class ModelDiff(Record, kw_only=True):
    """What differs from model `a` to model `b`: empty tuples where nothing does. `environment` are versions of Python
    and of libraries, which count as code. `same_rows` tells whether both were measured on validation rows of the same
    span; where not, metrics may move with the rows."""

    a: str
    b: str
    code: tuple[str, ...]
    params: tuple[str, ...]
    data: tuple[str, ...]
    environment: tuple[str, ...]
    metrics: tuple[MetricMove, ...]
    same_rows: bool


def diff(a: ModelTrained, b: ModelTrained, jobs: tuple[TrainingJob, TrainingJob] | None = None) -> ModelDiff:
    """The difference between two models; `jobs` are what the two trainings were asked to do, where that is kept."""
    return ModelDiff(
        a=a.identity.id,
        b=b.identity.id,
        code=_code(a, b),
        params=_params(a, b, jobs),
        data=_data(a, b),
        environment=_libraries(a, b),
        metrics=_metrics(a.metrics, b.metrics) + _metrics(a.slices, b.slices),
        same_rows=(a.dataset, a.valid_from, a.valid_to) == (b.dataset, b.valid_from, b.valid_to),
    )


def _code(a: ModelTrained, b: ModelTrained) -> tuple[str, ...]:
    if a.identity.code == b.identity.code:
        return ()
    files = _changes("file", a.code_files, b.code_files, shown=False)
    return files or (("libraries",) if _libraries(a, b) else ("the version of Trimtab that trains",))


def _libraries(a: ModelTrained, b: ModelTrained) -> tuple[str, ...]:
    return tuple(
        f"{name}: {a.libraries.get(name, 'not used')} → {b.libraries.get(name, 'not used')}"
        for name in sorted(a.libraries.keys() | b.libraries.keys())
        if a.libraries.get(name) != b.libraries.get(name)
    )


def _params(a: ModelTrained, b: ModelTrained, jobs: tuple[TrainingJob, TrainingJob] | None = None) -> tuple[str, ...]:
    if a.identity.params == b.identity.params:
        return ()
    found = _changes("", a.params, b.params, shown=True)
    return (*found, *(_settings(*jobs) if jobs is not None else ())) or ("a setting of [model] or [value]",)


def _settings(a: TrainingJob, b: TrainingJob) -> tuple[str, ...]:
    """What is declared beside the hyper-parameters and counts in the same digest."""
    found = [f"input {name} removed" for name in a.inputs if name not in b.inputs]
    found += [f"input {name} added" for name in b.inputs if name not in a.inputs]
    kept, still = ([name for name in one.inputs if name in two.inputs] for one, two in ((a, b), (b, a)))
    if not found and kept != still:
        found.append("inputs in another order")
    for name in ("task", "label", "seed", "refit"):
        before, after = getattr(a, name), getattr(b, name)
        if before != after:
            found.append(f"{name}: {before} → {after}")
    worth = [{} if job.value is None else msgspec.to_builtins(job.value) for job in (a, b)]
    return (*found, *_changes("value", *worth, shown=True))


def _data(a: ModelTrained, b: ModelTrained) -> tuple[str, ...]:
    if a.identity.data == b.identity.data:
        return ()
    found = []
    if a.dataset != b.dataset:
        found.append(f"dataset: {a.dataset} → {b.dataset}")
    if a.dataset_version != b.dataset_version:
        found.append(f"version: {a.dataset_version[:12]} → {b.dataset_version[:12]}")
    if a.rows != b.rows:
        found.append(f"training rows: {a.rows:,} → {b.rows:,}")
    for name, before, after in (
        ("trained on", (a.train_from, a.train_to), (b.train_from, b.train_to)),
        ("validated on", (a.valid_from, a.valid_to), (b.valid_from, b.valid_to)),
    ):
        if before != after:
            spans = [f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}" for first, last in (before, after)]
            found.append(f"{name}: {spans[0]} → {spans[1]}")
    return tuple(found) or ("another dataset that was joined",)


def _changes(word: str, a: Mapping[str, Any], b: Mapping[str, Any], *, shown: bool) -> tuple[str, ...]:
    found = []
    for name in sorted(a.keys() | b.keys()):
        label = f"{word} {name}".strip()
        if name not in a:
            found.append(f"{label} = {b[name]} added" if shown else f"{label} added")
        elif name not in b:
            found.append(f"{label} = {a[name]} removed" if shown else f"{label} removed")
        elif a[name] != b[name]:
            found.append(f"{label}: {a[name]} → {b[name]}" if shown else f"{label} changed")
    return tuple(found)


def _metrics(a: Mapping[str, Estimate], b: Mapping[str, Estimate]) -> tuple[MetricMove, ...]:
    return tuple(
        MetricMove(metric=name, before=a[name], after=b[name], moved=_apart(a[name], b[name]))
        for name in sorted(a.keys() & b.keys())
    )


def _apart(a: Estimate, b: Estimate) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.high < b.low or b.high < a.low
