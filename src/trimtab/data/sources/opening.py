"""Opening what a `[[data]]` table names as its source: a Python function, or Parquet or CSV files."""

from __future__ import annotations

from pathlib import Path

from trimtab.data.port import Source
from trimtab.data.sources.files import CsvSource, ParquetSource
from trimtab.data.sources.python import PythonSource
from trimtab.data.spec import DatasetSpec
from trimtab.errors import DeclarationError


def open_source(spec: DatasetSpec, folder: Path) -> Source:
    """The source of a dataset; paths and modules are relative to `folder`, where the declaration lies.

    Raises DeclarationError for a source that is neither `python:module:function` nor a path or glob of `.parquet` or
    `.csv` files, and for a module or function that is not there. Files are looked for when rows are fetched.
    """
    if spec.source.startswith("python:"):
        parts = spec.source.split(":")
        if len(parts) != 3 or not all(parts):
            raise _unknown(spec)
        return PythonSource(spec, folder, module=parts[1], function=parts[2])
    match Path(spec.source).suffix.lower():
        case ".parquet":
            return ParquetSource(spec, folder)
        case ".csv":
            return CsvSource(spec, folder)
        case _:
            raise _unknown(spec)


def _unknown(spec: DatasetSpec) -> DeclarationError:
    return DeclarationError(
        f"dataset {spec.name!r}: cannot read source {spec.source!r}",
        line=spec.line,
        hint="write python:<module>:<function>, or a path or glob that ends in .parquet or .csv",
    )
