"""Rows from Parquet and CSV files: scanned lazily, with the span of time pushed down into the scan."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from trimtab.data.port import UNREAD, DataError
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.casting import reading, stored_type
from trimtab.data.values.times import from_text, has_offset, in_utc, is_time, microseconds, naive_error
from trimtab.errors import TemporaryError, TrimtabError

_Scan = Callable[[list[Path]], pl.DataFrame]

_SAMPLE = 10_000
_WIDEST_OFFSET = timedelta(hours=26)


def source_files(spec: DatasetSpec, folder: Path) -> list[Path]:
    """The files a path or glob names now, in order of name. Raises DataError when there are none."""
    found = sorted(Path(name) for name in glob.glob(str(folder / spec.source), recursive=True))  # noqa: PTH207 - absolute globs too
    files = [path for path in found if path.is_file()]
    if not files:
        raise DataError(
            f"dataset {spec.name!r}: no file matches {spec.source!r}",
            hint=f"a path is relative to {folder}",
        )
    return files


class ParquetSource:
    """Parquet files. Files may differ in columns; a column that a file lacks is null there."""

    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        self._spec = spec
        self._folder = folder

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        """Parquet knows its types."""

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        files = source_files(self._spec, self._folder)
        time = self._spec.time

        def scan(paths: list[Path]) -> pl.DataFrame:
            rows = pl.concat([pl.scan_parquet(path) for path in paths], how="diagonal_relaxed")
            dtype = _column(rows.collect_schema(), time, self._spec)
            return rows.filter(_roughly_within(time, dtype, since, until)).collect(engine="streaming")

        frame = _read(files, scan, self._spec)
        return _within(in_utc(frame, self._spec), time, since, until)


class CsvSource:
    """CSV files with a header. Cells are read as text and then as their column's type, one by one: what cannot be read
    is null and told in `_unread`. Types are those `expect` named, else inferred from the first rows of every file;
    digits with a leading zero are text."""

    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        self._spec = spec
        self._folder = folder
        self._expected: dict[str, pl.DataType] = {}

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        self._expected = dict(schema)

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        spec = self._spec
        files = source_files(spec, self._folder)

        def scan(paths: list[Path]) -> pl.DataFrame:
            rows = pl.concat([pl.scan_csv(path, infer_schema=False) for path in paths], how="diagonal_relaxed")
            _column(rows.collect_schema(), spec.time, spec)
            moment = from_text(pl.col(spec.time), spec.timezone)
            kept = _span(moment, since, until) | moment.is_null()
            return rows.filter(kept).collect(engine="streaming")

        text = _read(files, scan, spec)
        if spec.timezone is None:
            self._refuse_naive(text)
        return self._typed(text, self._types(files, text.columns))

    def _refuse_naive(self, text: pl.DataFrame) -> None:
        unread = text.filter(~has_offset(pl.col(self._spec.time)))
        if unread.height and unread.select(from_text(pl.col(self._spec.time), "UTC").is_not_null().any()).item():
            raise naive_error(self._spec, self._spec.time)

    def _types(self, files: list[Path], columns: list[str]) -> dict[str, pl.DataType]:
        missing = [name for name in columns if name not in self._expected and name != self._spec.time]
        types = {name: dtype for name, dtype in self._expected.items() if name in columns}
        if missing:
            sample = _read(files, _sample, self._spec)
            for name in missing:
                types[name] = _inferred(sample, name)
        return types

    def _typed(self, text: pl.DataFrame, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
        spec = self._spec
        cells: list[pl.Expr] = [from_text(pl.col(spec.time), spec.timezone).alias(spec.time)]
        failed = {spec.time: pl.col(spec.time).is_not_null() & from_text(pl.col(spec.time), spec.timezone).is_null()}
        for name, want in types.items():
            if name != spec.time:
                read = reading(name, pl.String(), want, zone=spec.timezone)
                cells.append(read.cell.alias(name))
                if read.failed is not None:
                    failed[name] = read.failed
        told = pl.struct([pl.when(bad).then(pl.col(name)).alias(name) for name, bad in failed.items()])
        bad = pl.any_horizontal([bad.fill_null(value=False) for bad in failed.values()])
        flagged = text.with_columns(bad.alias(UNREAD))
        if not flagged.get_column(UNREAD).any():
            return text.select(cells)
        return text.select(*cells, pl.when(bad).then(told.struct.json_encode()).alias(UNREAD))


def _sample(paths: list[Path]) -> pl.DataFrame:
    """The first rows of every file as text."""
    return pl.concat([pl.read_csv(path, infer_schema=False, n_rows=_SAMPLE) for path in paths], how="diagonal_relaxed")


def _inferred(  # noqa: PLR0911 - one line for each type
    sample: pl.DataFrame, name: str
) -> pl.DataType:
    """The narrowest type that every sampled cell of a column can be read as; Null when all are empty."""
    cells = sample.get_column(name).drop_nulls()
    if cells.is_empty():
        return pl.Null()
    if cells.str.contains(r"^-?0\d").any():
        return pl.String()
    for dtype in (pl.Int64(), pl.Float64()):
        if cells.cast(dtype, strict=False).null_count() == 0:
            return dtype
    if cells.str.to_lowercase().is_in(["true", "false"]).all():
        return pl.Boolean()
    frame = cells.to_frame()
    if frame.select(pl.col(name).str.to_date("%Y-%m-%d", strict=False).is_not_null().all()).item():
        return pl.Date()
    if frame.select(from_text(pl.col(name), None).is_not_null().all()).item():
        return stored_type(name, pl.Datetime("us", "UTC"))
    return pl.String()


def _column(schema: Mapping[str, pl.DataType], name: str, spec: DatasetSpec) -> pl.DataType:
    if name not in schema:
        raise DataError(
            f"dataset {spec.name!r}: {spec.source!r} has no column {name!r} (time)",
            hint=f"the columns are {', '.join(sorted(schema)[:20])}",
        )
    return schema[name]


def _span(moment: pl.Expr, since: datetime | None, until: datetime) -> pl.Expr:
    within = moment <= microseconds(until)
    return within if since is None else within & (moment > microseconds(since))


def _within(frame: pl.DataFrame, time: str, since: datetime | None, until: datetime) -> pl.DataFrame:
    """Rows of the span, and those without a readable time: they are refused later, by name."""
    return frame.filter(_span(pl.col(time), since, until) | pl.col(time).is_null())


def _roughly_within(column: str, dtype: pl.DataType, since: datetime | None, until: datetime) -> pl.Expr:
    """A filter on the raw column that the scan can answer from its statistics; never narrower than the span."""
    cell = pl.col(column)
    if not (is_time(dtype) or isinstance(dtype, pl.Date)):
        return pl.lit(value=True)
    aware = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
    margin = timedelta(0) if aware else _WIDEST_OFFSET

    def bound(moment: datetime) -> pl.Expr:
        literal = pl.lit(moment)
        return literal.cast(dtype) if aware else literal.dt.replace_time_zone(None).cast(dtype)

    within = cell <= bound(until + margin)
    if since is not None:
        within = within & (cell >= bound(since - margin))
    return within | cell.is_null()


def _read(files: list[Path], scan: _Scan, spec: DatasetSpec) -> pl.DataFrame:
    """Scan all files; where that fails, find the one that cannot be read and name it."""
    try:
        return scan(files)
    except TrimtabError:
        raise
    except (pl.exceptions.PolarsError, OSError) as error:
        for path in files:
            try:
                scan([path])
            except TrimtabError:
                continue
            except FileNotFoundError as gone:
                raise TemporaryError(f"dataset {spec.name!r}: {path} went away while it was read") from gone
            except (pl.exceptions.PolarsError, OSError) as cause:
                raise DataError(
                    f"dataset {spec.name!r}: {path} cannot be read: {_brief(cause)}",
                    hint="it may be half written or damaged; put it right or move it away. Nothing was collected",
                ) from cause
        raise DataError(
            f"dataset {spec.name!r}: the files of {spec.source!r} do not fit together: {_brief(error)}"
        ) from error


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
