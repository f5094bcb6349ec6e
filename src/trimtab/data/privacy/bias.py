"""Who is in the rows: how many of each slice, what share of them has which label, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import polars as pl

from trimtab.data.privacy.sealing import sealed_columns
from trimtab.data.spec import DatasetSpec
from trimtab.measures.intervals import normal_quantile, wilson
from trimtab.records.base import Record

_SURE = normal_quantile(0.975)
_MOST_VALUES = 40
_MOST_CELLS = 5_000


class LabelShare(Record, kw_only=True):
    """The share of one class among the rows of a slice that have a label, with its 95% interval (Wilson)."""

    label: str
    share: float
    low: float
    high: float


class Slice(Record, kw_only=True):
    """The rows with one value of a column. `of_all` is their share; `population` the share that value has where the
    rows are drawn from, None where that is not declared."""

    value: str
    rows: int
    of_all: float
    labels: tuple[LabelShare, ...] = ()
    population: float | None = None


class Combination(Record, kw_only=True):
    """Values of two columns that few rows have together, or none."""

    columns: tuple[str, str]
    values: tuple[str, str]
    rows: int


class Bias(Record, kw_only=True):
    """Slices by column, the smallest first, and the rarest combinations of two columns: `missing` counts those that no
    row has."""

    rows: int
    slices: dict[str, tuple[Slice, ...]]
    rarest: tuple[Combination, ...]
    missing: int


def sliceable(rows: pl.DataFrame, spec: DatasetSpec) -> list[str]:
    """The columns that make slices: texts and truth values of a few values each, that are no person's."""
    own = {*spec.key, spec.time, spec.label, *sealed_columns(spec)}
    found = []
    for name, dtype in rows.schema.items():
        few = isinstance(dtype, (pl.String, pl.Boolean, pl.Categorical, pl.Enum))
        if few and name not in own and rows.get_column(name).n_unique() <= _MOST_VALUES:
            found.append(name)
    return found


def bias_of(rows: pl.DataFrame, spec: DatasetSpec, columns: Sequence[str], *, shown: int = 10) -> Bias:
    """Count the rows by each of the columns, and by each two of them."""
    texts = rows.select(pl.col(name).cast(pl.String).fill_null("null") for name in columns)
    label = rows.get_column(spec.label).cast(pl.String) if spec.label in rows.columns else None
    slices = {name: _slices(texts.get_column(name), label, spec.population.get(name, {})) for name in columns}
    rarest, missing = list[Combination](), 0
    for one, other in combinations(columns, 2):
        if len(slices[one]) * len(slices[other]) > _MOST_CELLS:
            continue
        counted = {(a, b): n for a, b, n in texts.group_by(one, other).len().iter_rows()}
        for a, b in product([s.value for s in slices[one]], [s.value for s in slices[other]]):
            count = counted.get((a, b), 0)
            missing += not count
            rarest.append(Combination(columns=(one, other), values=(a, b), rows=count))
    rarest.sort(key=lambda each: (each.rows, each.columns, each.values))
    return Bias(rows=rows.height, slices=slices, rarest=tuple(rarest[:shown]), missing=missing)


def _slices(cells: pl.Series, label: pl.Series | None, population: Mapping[str, float]) -> tuple[Slice, ...]:
    counted = dict(cells.value_counts().iter_rows())
    classes = sorted(label.drop_nulls().unique().to_list()) if label is not None else []
    if len(classes) > _MOST_VALUES:  # a number that is to be predicted has no classes
        classes = []
    labelled: dict[str, dict[str, int]] = {}
    if label is not None and classes:
        both = pl.DataFrame({"value": cells, "label": label}).drop_nulls("label")
        for value, said, count in both.group_by("value", "label").len().iter_rows():
            labelled.setdefault(value, {})[said] = count
    found = [
        Slice(
            value=value,
            rows=counted.get(value, 0),
            of_all=counted.get(value, 0) / max(1, len(cells)),
            labels=tuple(_share(labelled.get(value, {}), said) for said in classes if labelled.get(value)),
            population=population.get(value),
        )
        for value in {*counted, *population}
    ]
    return tuple(sorted(found, key=lambda each: (each.rows, each.value)))


def _share(counts: Mapping[str, int], said: str) -> LabelShare:
    trials = sum(counts.values())
    share = counts.get(said, 0) / trials
    low, high = wilson(share, trials, _SURE)
    return LabelShare(label=said, share=share, low=low, high=high)
