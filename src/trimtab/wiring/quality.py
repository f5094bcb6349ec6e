"""Looking at the quality of datasets: their rows, the datasets they refer to, and other tools' suites."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trimtab.errors import PermanentError
from trimtab.wiring.place import Place

if TYPE_CHECKING:
    import polars as pl

    from trimtab.data.quality.check import Other
    from trimtab.data.quality.port import Suites
    from trimtab.data.spec import DatasetSpec
    from trimtab.data.store.versions import DatasetStore


class Looked(NamedTuple):
    """The rows of a dataset: of its version `version`, or (None) fresh from its source. They may be measured; cells of
    the columns `hidden` are personal and must not be shown."""

    rows: pl.DataFrame
    version: str | None
    hidden: tuple[str, ...]


def look(place: Place, store: DatasetStore, version: str | None, now: datetime) -> Looked:
    """The rows of a version (None: the newest); where nothing was collected yet, what the source would give."""
    from trimtab.data.store.personal import readable

    current = store.current()
    if current is None and version is None:
        rows = _from_source(place, store.spec, now)
        columns = readable(store.spec, rows.columns)
        return Looked(rows, None, tuple(sorted({*rows.columns} - {*columns})))
    found = store.version(version)
    columns = readable(store.spec, found.columns)
    return Looked(store.read(found.id), found.id, tuple(sorted({*found.columns} - {*columns})))


def other(place: Place, name: str) -> Other:
    """Another dataset to compare with, as it was collected."""
    from trimtab.data.quality.check import Other
    from trimtab.data.store.versions import DatasetStore

    (spec,) = (spec for spec in place.system.data if spec.name == name)
    return Other(DatasetStore(place.layout.data, spec).read(), spec.key)


def suites(tool: str) -> Suites:
    """Who reads and writes the suites of a tool."""
    from trimtab.adapters.catalog import find, names

    found = find("quality", tool)
    if found is None:
        raise PermanentError(f"no tool called {tool!r} has suites", hint=f"there are {', '.join(names('quality'))}")
    made: Suites = found()
    return made


def _from_source(place: Place, spec: DatasetSpec, now: datetime) -> pl.DataFrame:
    from trimtab.data.intake import screen
    from trimtab.data.values.moments import known_until
    from trimtab.wiring.sources import open_any

    until = known_until(now, spec)
    rows = open_any(spec, Path(place.system.folder)).fetch(None, until)
    if rows.is_empty():
        raise PermanentError(f"the source of {spec.name!r} gives no rows", hint=f"look at {spec.source}")
    return screen(rows, spec, None, until=until, now=now, digests=False).good
