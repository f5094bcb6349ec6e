"""What a file beside a folder of media says of each of them: labels, and whatever else is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from blake3 import blake3

from trimtab.data.port import DataError
from trimtab.data.sources.delimited import header_of, text_frame
from trimtab.data.sources.formats import format_of
from trimtab.data.sources.json_rows import rows_of_elements, rows_of_lines
from trimtab.data.sources.typed import inferred
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.casting import reading

_PATH = "path"


class Sidecar:
    """Rows by path. One that is not there, or says nothing of a file, leaves its cells empty."""

    def __init__(self, spec: DatasetSpec, folder: Path, name: str) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self.types: dict[str, pl.DataType] = {}
        path = folder / name
        if not name:
            return
        where = f"dataset {spec.name!r}: {path}"
        try:
            frame = _read(path, path.read_bytes())
        except OSError as error:
            raise DataError(f"{where} cannot be read: {error.strerror}", hint="it is the declared `sidecar`") from error
        except DataError as error:
            raise DataError(f"{where} cannot be read: {error.message}", hint=error.hint) from error
        if _PATH not in frame.columns:
            columns = ", ".join(frame.columns)
            raise DataError(f"{where} has no column {_PATH!r}", hint=f"the columns are {columns}")
        self.types = {column: dtype for column, dtype in frame.schema.items() if column != _PATH}
        self._rows = {str(row.pop(_PATH)): row for row in frame.to_dicts()}

    def of(self, name: str, folder: str) -> dict[str, Any]:
        """The cells of a file, by its path from the declaration, from the sidecar's own folder, or by its name."""
        short = name.removeprefix(f"{folder}/")
        return next((self._rows[key] for key in (name, short, name.rsplit("/", 1)[-1]) if key in self._rows), {})


def mark_of(cells: dict[str, Any]) -> str:
    """Changes when what is said of a file does."""
    return blake3(msgspec.json.encode(cells, order="sorted")).hexdigest()[:8] if cells else ""


def _read(path: Path, data: bytes) -> pl.DataFrame:
    form = format_of(path.name)
    kind = form.kind if form is not None and not form.compression else ""
    if kind == "ndjson":
        rows, bad = rows_of_lines(data)
    elif kind == "json":
        rows, bad = rows_of_elements(data.strip().removeprefix(b"[").removesuffix(b"]"))
    elif kind == "csv":
        header = header_of(data if data.endswith(b"\n") else data + b"\n", "", (_PATH,))
        if header is None:
            raise DataError("it is empty")
        rows, bad = text_frame(data[header.length :], header)
        cells = [reading(name, pl.String(), inferred(rows.get_column(name))).cell.alias(name) for name in rows.columns]
        rows = rows.select(cells).with_columns(rows.get_column(_PATH)) if _PATH in rows.columns else rows
    else:
        raise DataError("a sidecar is a .csv, .ndjson or .json file")
    if bad:
        raise DataError(f"this line is no row: {bad[0][:100]}")
    return rows
