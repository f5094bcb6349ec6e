"""Two models of a system told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.errors import TrimtabError
from trimtab.wiring.labels import datasets_of

if TYPE_CHECKING:
    from datetime import datetime

    from trimtab.data.store.state import Difference
    from trimtab.loop.trials.apart import Apart
    from trimtab.records.facts import ModelTrained
    from trimtab.records.journal import Entry
    from trimtab.wiring.place import Place


def apart(place: Place, a: Entry[ModelTrained], b: Entry[ModelTrained], now: datetime) -> Apart:
    """What tells model `b` from model `a`, on what is collected by `now`."""
    from trimtab.data.store.versions import DatasetStore
    from trimtab.loop.trials.apart import Telling

    specs = {spec.name: spec for spec in place.system.data}

    def difference(name: str, before: str, after: str) -> Difference | None:
        try:
            return DatasetStore(place.data, specs[name]).diff(before, after) if name in specs else None
        except TrimtabError:
            return None  # one of them was let go of

    return Telling(
        system=place.system,
        ledger=place.ledger,
        blobs=place.blobs,
        datasets=datasets_of(place, place.system),
        difference=difference,
        now=now,
    ).apart(a, b)
