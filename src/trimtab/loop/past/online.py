"""Keeps the features that servers look up as fresh as the datasets that were collected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import blake3
import msgspec

from trimtab.data.store.versions import DatasetStore
from trimtab.declaration.system import System
from trimtab.errors import TrimtabError
from trimtab.features.publish import HISTORY, publish_view
from trimtab.features.spec import FeatureViewSpec
from trimtab.inference.lookup.snapshot import FeatureSnapshot
from trimtab.records.base import canonical_json


class OnlineFeatures:
    """The declared views of one system, published to one snapshot. `say` is told what changed, and what went wrong: a
    view that cannot be published leaves its former state in force, and nothing else suffers."""

    def __init__(
        self,
        system: System,
        stores: Mapping[str, DatasetStore],
        snapshot: FeatureSnapshot,
        say: Callable[[str, str], None],
    ) -> None:
        self._views = system.features
        self._stores = stores
        self._snapshot = snapshot
        self._say = say

    def refresh(self, now: datetime) -> None:
        """Publishes every view whose dataset or declaration has changed."""
        try:
            published = self._snapshot.published()
            gone = published.keys() - {view.view for view in self._views}
            if gone:
                self._snapshot.withdraw(gone)
        except TrimtabError as error:
            self._say("features", f"failed: {error.in_one_line()}")
            return
        for spec in self._views:
            try:
                self._refresh(spec, published.get(spec.view), now)
            except TrimtabError as error:
                self._say("features", f"failed: view {spec.view!r}: {error.in_one_line()}")

    def _refresh(self, spec: FeatureViewSpec, published: str | None, now: datetime) -> None:
        store = self._stores[spec.source]
        current = store.current()
        if current is None:
            return
        declared = canonical_json(msgspec.structs.replace(spec, line=0))
        version = f"{current.id}:{blake3.blake3(declared).hexdigest(8)}"
        if version == published:
            return
        since = None if spec.ttl is None else now - HISTORY - timedelta(seconds=spec.ttl + 1.0)
        rows = publish_view(self._snapshot, spec, store.read(since=since, gone="left out"), version=version, now=now)
        self._say("features", f"view {spec.view!r} is published for servers: {rows:,} rows of {current.id[:8]}")


def publisher(
    system: System, stores: Mapping[str, DatasetStore], path: Path, say: Callable[[str, str], None]
) -> Callable[[datetime], None] | None:
    """What publishes the declared views to the snapshot at `path`; None where there are none, and never were."""
    if not system.features and not path.exists():
        return None
    return OnlineFeatures(system, stores, FeatureSnapshot(path), say).refresh
