"""What the data say about a declaration before anything runs: the facts that its scope is worked out from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.data.port import DIGEST, UNREAD, ColumnMissingError, DataError, Opener
from trimtab.data.quality.rules import named_columns
from trimtab.data.sources.opening import open_source
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.home import Home
from trimtab.data.store.personal import readable
from trimtab.data.store.versions import DatasetStore
from trimtab.declaration.problems import Problems, did_you_mean
from trimtab.declaration.requirements.grammar import column_problems
from trimtab.declaration.scope.scope import DataFacts
from trimtab.declaration.system import System
from trimtab.errors import DeclarationError

if TYPE_CHECKING:
    import polars as pl

_DAY = 86_400.0


def facts_of_data(
    system: System,
    data: Path | Home,
    now: datetime,
    training_minutes: float | None = None,
    opener: Opener = open_source,
) -> DataFacts:
    """Rows, rate, label and columns of the labelled dataset: of its newest version below `data` where it was collected,
    else of its source. Raises what a source raises that cannot be read, DeclarationErrors for columns it lacks."""
    rows = _rows(system, system.labelled.name, data, now, opener)
    columns = tuple(dict.fromkeys([*rows.columns, *_joined(system, data, now, opener)]))
    if rows.columns:  # a source that has no row yet tells no columns
        _check_columns(system, columns)
    wanted = {requirement.by for requirement in system.requirements if requirement.by}
    positive, majority, error = _label(rows, system)
    return DataFacts(
        rows=rows.height,
        rows_per_day=_rate(rows, system.labelled.time),
        bytes=int(rows.estimated_size()),
        positive_rate=positive,
        majority_rate=majority,
        constant_error=error,
        slices={name: _shares(rows, name) for name in sorted(wanted) if name in rows.columns},
        columns=columns,
        training_minutes=training_minutes,
    )


def _check_columns(system: System, columns: tuple[str, ...]) -> None:
    """DeclarationErrors with everything that the declaration names and that is no column of the rows."""
    problems = Problems(system.path, {})
    for requirement, problem in column_problems(system.requirements, columns):
        problems.add_at(requirement.line, ("requirements",), problem)
    for name in system.model.inputs:
        if name not in columns:
            meant = did_you_mean(name, columns)
            problems.add_at(system.model.line, ("model", "inputs"), f'the data has no column "{name}"{meant}')
    problems.raise_if_any()


def _rows(system: System, name: str, data: Path | Home, now: datetime, opener: Opener) -> pl.DataFrame:
    spec = next(spec for spec in system.data if spec.name == name)
    store = DatasetStore(data, spec)
    if store.current() is not None:
        import polars as pl  # heavy: only where something was collected

        have = store.version().columns
        rows = store.read(columns=readable(spec, have))  # without what is personal no key is needed
        return rows.with_columns(pl.lit(None).alias(name) for name in have if name not in rows.columns)
    try:
        rows = opener(spec, Path(system.folder)).fetch(None, now).drop(DIGEST, UNREAD, strict=False)
    except DataError as error:
        missing = error.__cause__
        if not isinstance(missing, ColumnMissingError):
            raise
        raise _no_column(system, spec, missing.column, missing.role, missing.columns) from error
    for column, place in named_columns(spec).items() if rows.columns else ():
        if column not in rows.columns:
            raise _no_column(system, spec, column, place, rows.columns)
    return rows


def _no_column(system: System, spec: DatasetSpec, column: str, role: str, columns: Sequence[str]) -> DeclarationError:
    return DeclarationError(
        f"dataset {spec.name!r}: its rows have no column {column!r} ({role}){did_you_mean(column, columns)}",
        path=system.path,
        line=spec.line,
        hint=f"the columns are {', '.join(columns)}",
    )


def _joined(system: System, data: Path | Home, now: datetime, opener: Opener) -> list[str]:
    """The columns that feature views add; a source is read only where the declaration does not name them."""
    found: list[str] = []
    for view in system.features:
        named = view.columns or tuple(
            name
            for name in _rows(system, view.source, data, now, opener).columns
            if name not in {*view.entity, view.time}
        )
        found += named
    return found


def _rate(rows: pl.DataFrame, time: str) -> float | None:
    if rows.is_empty():
        return None
    first, last = rows[time].min(), rows[time].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime) or first == last:
        return None
    return rows.height / ((last - first).total_seconds() / _DAY)


def _label(rows: pl.DataFrame, system: System) -> tuple[float | None, float | None, float | None]:
    """Positive rate, majority rate and constant error, each where the task has it."""
    from trimtab.training.rows import classes_of  # here: numpy and the encoder come with it

    if rows.is_empty() or system.task in ("detection", "segmentation"):
        return None, None, None
    known = rows[str(system.labelled.label)].drop_nulls()
    if known.is_empty():
        return None, None, None
    if system.task == "regression":
        middle = known.median()
        return None, None, float((known - middle).abs().mean())  # type: ignore[arg-type]
    shares = sorted(_counts(known), key=lambda pair: -pair[1])
    if system.task == "binary_classification":
        positive = classes_of([known], system.task)[-1]
        return dict(_counts(known)).get(positive, 0) / known.len(), None, None
    return None, shares[0][1] / known.len(), None


def _counts(known: pl.Series) -> list[tuple[str, int]]:
    words = [f"{value:g}" if isinstance(value, float) else _word(value) for value in known.unique().sort().to_list()]
    counts = known.value_counts().sort(known.name)["count"].to_list()
    return list(zip(words, counts, strict=True))


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shares(rows: pl.DataFrame, name: str) -> dict[str, float]:
    counts = rows.group_by(name).len().sort(name)
    return {str(value): count / rows.height for value, count in counts.iter_rows() if value is not None}
