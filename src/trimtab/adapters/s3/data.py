"""Rows from the files of a bucket: each object once, until it changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trimtab.adapters.s3.kind import S3Options
from trimtab.adapters.s3.shelf import Bucket
from trimtab.data.port import PAGE_BYTES
from trimtab.data.sources.files import FileSource
from trimtab.data.sources.formats import format_of, nearest_ending
from trimtab.data.sources.patience import Patience, Waiting
from trimtab.data.spec import DatasetSpec
from trimtab.errors import DeclarationError


def open_objects(spec: DatasetSpec, folder: Path) -> FileSource:
    """The source of a dataset that lies in a bucket. Raises DeclarationError for a format that is not known."""
    return objects(spec, folder, environment=os.environ)


def objects(
    spec: DatasetSpec,
    folder: Path,
    *,
    environment: Mapping[str, str],
    waiting: Waiting | None = None,
    page_bytes: int = PAGE_BYTES,
) -> FileSource:
    """As `open_objects`, with what it reads of the world passed in."""
    if format_of(spec.source) is None:
        near = nearest_ending(spec.source)
        raise DeclarationError(
            f"dataset {spec.name!r}: cannot read source {spec.source!r}" + (f", did you mean .{near}?" if near else ""),
            line=spec.line,
            hint="let it end in .csv, .parquet, .json, .ndjson or .arrow (also with .gz or .zst)",
        )
    options = msgspec.convert(dict(spec.options), S3Options)
    patience = Patience(tries=options.tries, waiting=waiting or Waiting())
    return FileSource(spec, folder, page_bytes=page_bytes, shelf=Bucket(spec, options, environment, patience))
