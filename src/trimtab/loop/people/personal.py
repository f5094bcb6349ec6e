"""What of people reaches a model: only what the declaration names as an input, and nothing of who was forgotten."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from trimtab.data.privacy.sealing import sealed_columns
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.versions import DatasetStore
from trimtab.declaration.system import System


def withheld(system: System, spec: DatasetSpec) -> frozenset[str]:
    """The sealed columns of a dataset that no model input names: training is not given them. What identifies a row, or
    an entity of a view, has to stay."""
    sealed = sealed_columns(spec)
    if not sealed:
        return frozenset()
    entities = {name for view in system.features for name in (*view.entity, view.time)}
    return frozenset(sealed) - {*spec.key, spec.time, *entities, *system.model.inputs}


def learned(system: System) -> tuple[str, ...]:
    """The personal columns that the declared model takes as inputs."""
    sealed = {name for spec in system.data for name in sealed_columns(spec)}
    return tuple(name for name in system.model.inputs if name in sealed)


def has_people(system: System) -> bool:
    """Whether any dataset says whose data its rows are."""
    return any(spec.subject is not None for spec in system.data)


def open_to_training(system: System, store: DatasetStore, columns: Sequence[str]) -> list[str] | None:
    """The columns of a dataset that training may read; None for all of them."""
    hidden = withheld(system, store.spec)
    return [name for name in columns if name not in hidden] if hidden else None


def without_withheld(system: System, rows: pl.DataFrame) -> pl.DataFrame:
    """Joined rows without what training is not given."""
    hidden = [name for spec in system.data for name in withheld(system, spec) if name in rows.columns]
    return rows.drop(hidden) if hidden else rows
