"""A version as files: the content of each media row under its key."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from trimtab.data.port import DataError

if TYPE_CHECKING:
    import polars as pl

    from trimtab.data.store.kept.line import Line

_AT_ONCE = 500


def check_out(store: Line, folder: Path, version: str | None) -> int:
    """Write every content of a version below `folder`, which must not be there yet or be empty: all or nothing. A file
    is called as the row's key; of several media columns each has a folder of its own. Returns the files written."""
    found = store.version(version)
    columns = [name for name in store.spec.media if name in found.columns]
    if not columns:
        raise DataError(
            f"dataset {store.spec.name!r} has no media to check out",
            hint="`trimtab data export` writes rows to a file; `media` in the declaration names columns of bytes",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is there already", hint="name a folder that is not there yet, or an empty one")
    rows = store.read(found.id, columns=[*store.spec.key, *columns])
    half = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        written = sum(_write(store, rows, name, half / name if len(columns) > 1 else half) for name in columns)
        if folder.exists():
            folder.rmdir()
        half.replace(folder)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return written


def _write(store: Line, rows: pl.DataFrame, column: str, folder: Path) -> int:
    there = rows.filter(rows.get_column(column).is_not_null())
    made: set[Path] = set()
    for start in range(0, there.height, _AT_ONCE):
        some = there.slice(start, _AT_ONCE)
        contents = store.contents(some.get_column(column).to_list())
        for name, content in zip(_names(some.select(store.spec.key)), contents, strict=True):
            path = folder / name
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            path.write_bytes(content)
    return there.height


def _names(keys: pl.DataFrame) -> Iterator[str]:
    """A relative path for each key. Raises DataError for one that would lead out of the folder."""
    for cells in keys.iter_rows():
        name = "/".join(str(cell) for cell in cells)
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or "\0" in name:
            raise DataError(f"the key {name!r} cannot be the name of a file", hint="export the rows instead")
        yield name
