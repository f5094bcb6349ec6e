"""Where a dataset's rows come from: the embedded sources, and the adapters that a source names by its scheme."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.adapters.catalog import find
from trimtab.data.port import Source
from trimtab.data.sources.opening import open_source
from trimtab.data.spec import DatasetSpec
from trimtab.wiring.kinds import SCHEME

if TYPE_CHECKING:
    from trimtab.data.store.state import Commit
    from trimtab.data.store.versions import DatasetStore


def open_any(spec: DatasetSpec, folder: Path) -> Source:
    """The source of a dataset, `folder` being where the declaration lies.

    An adapter is a function of the same two arguments, found by what stands before the first colon of `source`.
    """
    scheme = spec.source.partition(":")[0]
    if scheme == SCHEME:
        from trimtab.loop.past.traffic import open_traffic  # here: the telemetry of servers comes with it

        return open_traffic(spec, folder)
    adapter = find("data", scheme.partition("+")[0]) if ":" in spec.source else None
    source: Source = adapter(spec, folder) if adapter is not None else open_source(spec, folder)
    return source


def collect_into(store: DatasetStore, folder: Path, given: str | None) -> Commit | None:
    """Take in what is known now: of the declared source, or all that another source (a file, mostly) holds."""
    import msgspec

    from trimtab.data.values.moments import known_until
    from trimtab.records.base import SystemClock

    now = SystemClock().now()
    until = known_until(now, store.spec)
    if given is None:
        return store.collect(open_any(store.spec, folder), until=until, now=now)
    there = Path(given)
    text = given if there.is_absolute() or not there.exists() else str(there.absolute())
    source = open_any(msgspec.structs.replace(store.spec, source=text, options={}), folder)
    current = store.current()
    if current is not None:
        source.expect({name: dtype for name, dtype in store.table.schema().items() if name in current.columns})
    return store.collect(source.fetch(None, until), until=until, now=now)


def export_to_dvc(store: DatasetStore, folder: Path, version: str | None) -> Path:
    """Write a version below a DVC repository and let DVC take it in; the file that then stands for it."""
    import os

    from trimtab.adapters.dvc.exporting import export

    return export(store, folder, version, os.environ)
