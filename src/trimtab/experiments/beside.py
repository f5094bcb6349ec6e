"""Two runs side by side, of which at least one was tracked by another tool: what they say of themselves, no more."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.records.base import Record
from trimtab.records.facts import ModelTrained
from trimtab.records.imported import RunImported


class Side(Record, kw_only=True):
    """One of the two, in texts and numbers."""

    name: str
    where: str
    params: dict[str, str]
    metrics: dict[str, float]
    data: str


class Beside(Record, kw_only=True):
    """`params` and `metrics` by name: what the first says and what the second says, None where it says nothing. Metrics
    stand together where they are called alike, but for what is before the last dot (`quality.roc_auc`, `roc_auc`)."""

    a: str
    b: str
    data: tuple[str, str]
    params: dict[str, tuple[str | None, str | None]]
    metrics: dict[str, tuple[float | None, float | None]]


def side_of(told: ModelTrained | RunImported) -> Side:
    """What a model of ours, or an imported run, says of itself."""
    if isinstance(told, RunImported):
        return Side(
            name=told.run,
            where=f"{told.tool}: {told.experiment} / {told.name}",
            params=told.params,
            metrics=told.metrics,
            data=", ".join(told.datasets),
        )
    return Side(
        name=told.identity.id,
        where="trained here",
        params={name: str(value) for name, value in told.params.items()},
        metrics={name: found.figure for name, found in told.metrics.items() if found.figure is not None},
        data=f"{told.dataset} {told.dataset_version}",
    )


def beside(a: Side, b: Side) -> Beside:
    """Where the two differ in hyper-parameters, and every metric of both."""
    params = {
        name: (a.params.get(name), b.params.get(name))
        for name in sorted(a.params.keys() | b.params.keys())
        if a.params.get(name) != b.params.get(name)
    }
    alike = _alike(a.metrics, b.metrics)
    metrics: dict[str, tuple[float | None, float | None]] = {
        name: (figure, b.metrics.get(alike.get(name, name))) for name, figure in a.metrics.items()
    }
    metrics |= {name: (None, figure) for name, figure in b.metrics.items() if name not in {*alike.values(), *metrics}}
    return Beside(a=a.name, b=b.name, data=(a.data, b.data), params=params, metrics=dict(sorted(metrics.items())))


def _alike(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, str]:
    """What names of the first are called in the second: each of these for one of those at most."""
    found = {name: name for name in a if name in b}
    left = {name.rpartition(".")[2]: name for name in b if name not in found}
    for name in a:
        if name not in found and name.rpartition(".")[2] in left:
            found[name] = left.pop(name.rpartition(".")[2])
    return found
