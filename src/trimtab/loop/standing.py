"""Which dataset versions models stand on: what was collected when each of them was trained."""

from __future__ import annotations

from trimtab.records.facts import DatasetCommitted, ModelTrained
from trimtab.records.ledger import Ledger

_SHORT = 10


def standing(ledger: Ledger) -> dict[str, dict[str, str]]:
    """By dataset, the ids of the versions that a model in the ledger stands on, and which model that is: the newest of
    each dataset at its training, from which it can be made again."""
    newest: dict[str, str] = {}
    found: dict[str, dict[str, str]] = {}
    for entry in ledger.entries((DatasetCommitted, ModelTrained)):
        fact = entry.fact
        if isinstance(fact, DatasetCommitted):
            newest[fact.dataset] = fact.version
        elif isinstance(fact, ModelTrained):
            for dataset, version in newest.items():
                found.setdefault(dataset, {})[version] = f"model {fact.identity.id[:_SHORT]}"
    return found


def stood_on(ledger: Ledger, model: str) -> dict[str, str]:
    """The versions, by dataset, that were the newest when a model was trained."""
    newest: dict[str, str] = {}
    for entry in ledger.entries((DatasetCommitted, ModelTrained)):
        if isinstance(entry.fact, DatasetCommitted):
            newest[entry.fact.dataset] = entry.fact.version
        elif isinstance(entry.fact, ModelTrained) and entry.fact.identity.id == model:
            return dict(newest)
    return {}
