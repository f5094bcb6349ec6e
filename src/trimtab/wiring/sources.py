"""Where a dataset's rows come from: the embedded sources, and the adapters that a source names by its scheme."""

from __future__ import annotations

from pathlib import Path

from trimtab.adapters.catalog import find
from trimtab.data.port import Source
from trimtab.data.sources.opening import open_source
from trimtab.data.spec import DatasetSpec
from trimtab.wiring.kinds import SCHEME


def open_any(spec: DatasetSpec, folder: Path) -> Source:
    """The source of a dataset, `folder` being where the declaration lies.

    An adapter is a function of the same two arguments, found by what stands before the first colon of `source`.
    """
    scheme = spec.source.partition(":")[0]
    if scheme == SCHEME:
        from trimtab.loop.traffic import open_traffic  # here: the telemetry of servers comes with it

        return open_traffic(spec, folder)
    adapter = find("data", scheme.partition("+")[0]) if ":" in spec.source else None
    source: Source = adapter(spec, folder) if adapter is not None else open_source(spec, folder)
    return source
