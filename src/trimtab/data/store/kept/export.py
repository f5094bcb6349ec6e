"""Rows out of the store, into files that any tool reads."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from trimtab.data.port import DataError


def write_rows(rows: pl.DataFrame, path: Path) -> int:
    """Write `.parquet` or `.csv`, by the ending: under another name first, so that the file is whole or not there."""
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        match path.suffix.lower():
            case ".parquet":
                rows.write_parquet(half)
            case ".csv":
                rows.write_csv(half)
            case _:
                raise DataError(f"cannot export to {path}", hint="end the name in .parquet or .csv")
        half.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        half.unlink(missing_ok=True)
    return rows.height
