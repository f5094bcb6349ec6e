"""Opening what a `[[data]]` table names as its source: a Python function, or files."""

from __future__ import annotations

from pathlib import Path

from trimtab.data.port import Source
from trimtab.data.sources.files import FileSource
from trimtab.data.sources.formats import format_of, nearest_ending
from trimtab.data.sources.python import PythonSource
from trimtab.data.spec import DatasetSpec
from trimtab.errors import DeclarationError

_TABLES = ".csv, .parquet, .json, .ndjson or .arrow (also with .gz or .zst), or of images or sounds"


def open_source(spec: DatasetSpec, folder: Path) -> Source:
    """The source of a dataset; paths and modules are relative to `folder`, where the declaration lies.

    Raises DeclarationError for a source that is neither `python:module:function` nor a path or glob of files of a known
    format, and for a module or function that is not there. Files are looked for when rows are fetched.
    """
    if spec.source.startswith("python:"):
        parts = spec.source.split(":")
        if len(parts) != 3 or not all(parts):
            raise _unknown(spec)
        return PythonSource(spec, folder, module=parts[1], function=parts[2])
    form = format_of(spec.source)
    if form is None:
        raise _unknown(spec)
    if form.kind in ("image", "sound"):
        from trimtab.data.sources.media import MediaSource  # here: it brings the decoders' room with it

        return MediaSource(spec, folder, form.kind)
    return FileSource(spec, folder)


def _unknown(spec: DatasetSpec) -> DeclarationError:
    near = nearest_ending(spec.source)
    return DeclarationError(
        f"dataset {spec.name!r}: cannot read source {spec.source!r}" + (f", did you mean .{near}?" if near else ""),
        line=spec.line,
        hint=f"write python:<module>:<function>, or a path or glob that ends in {_TABLES}",
    )
