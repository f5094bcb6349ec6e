"""The models as a sheet: what is required of them, the columns that fit a terminal, and all of it as CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from trimtab.cli.terminal import columns_of, width

if TYPE_CHECKING:
    from trimtab.declaration.system import System
    from trimtab.loop.releases import ReleaseState
    from trimtab.records.facts import ModelTrained
    from trimtab.records.journal import Entry
    from trimtab.records.requirement import Requirement

Column = tuple[str, Sequence[str]]
"""A heading and the cells below it."""

_GAP = 2


def required(system: System) -> list[Requirement]:
    """The requirements on all rows that a training measures; where there is none, the figure that releases are told
    apart by, with no limit."""
    from trimtab.loop.passes.evidence import deciding_metric
    from trimtab.measures.metrics.declared import measurable
    from trimtab.records.requirement import Requirement

    known = measurable(system.task)
    found: dict[str, Requirement] = {}
    for each in system.requirements:
        if each.by is None and each.metric in known:
            found.setdefault(each.metric, each)
    return list(found.values()) or [Requirement(metric=deciding_metric(system), comparison=">=", limit=-inf)]


def fitting(columns: Sequence[Column], order: Sequence[str]) -> list[Column]:
    """The columns that the terminal is wide enough for; those named in `order` go, one after the other, where it is
    not."""
    shown = list(columns)
    for name in order:
        if _wide(shown) <= width():
            break
        shown = [column for column in shown if column[0] != name]
    return shown


def _wide(columns: Sequence[Column]) -> int:
    sizes = [max(columns_of(cell) for cell in (head, *cells)) for head, cells in columns]
    return sum(sizes) + _GAP * (len(sizes) - 1)


def write_csv(
    known: Mapping[str, Entry[ModelTrained]],
    releases: Mapping[str, Sequence[ReleaseState]],
    wanted: Sequence[Requirement],
) -> None:
    """Print every model with each of its metrics, the interval and the baseline, in base units; what is required comes
    first. A model in several releases is told with the newest."""
    first = [each.metric for each in wanted]
    metrics = [*first, *sorted({name for entry in known.values() for name in entry.fact.metrics} - {*first})]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    about = ("model", "at", "release", "stage", "dataset", "version", "rows", "train_from", "train_to", "valid_to")
    writer.writerow([*about, *(f"{name}{part}" for name in metrics for part in ("", ".low", ".high", ".baseline"))])
    for key, entry in known.items():
        fact = entry.fact
        last = releases[key][-1] if releases[key] else None
        spans = [moment.isoformat() for moment in (fact.train_from, fact.train_to, fact.valid_to)]
        row: list[object] = [key, entry.at.isoformat(), last.release if last else "", last.stage if last else ""]
        row += [fact.dataset, fact.dataset_version, fact.rows, *spans]
        for name in metrics:
            found, base = fact.metrics.get(name), fact.baseline.get(name)
            row += [None] * 3 if found is None else [found.figure, found.low, found.high]
            row.append(None if base is None else base.figure)
        writer.writerow(row)
