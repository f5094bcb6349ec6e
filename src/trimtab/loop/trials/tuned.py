"""The hyper-parameters that a search has chosen take the place of the declared ones."""

from __future__ import annotations

import blake3
import msgspec

from trimtab.declaration.system import System
from trimtab.records.base import canonical_json
from trimtab.records.ledger import Ledger
from trimtab.records.studies import SearchFinished
from trimtab.training.spec import SearchSpec


def declared_search(spec: SearchSpec) -> str:
    """The digest of what is searched for: the same however many trials and workers are given to it."""
    return blake3.blake3(canonical_json(msgspec.structs.replace(spec, line=0, trials=1, workers=1))).hexdigest()[:16]


def tuned(system: System, ledger: Ledger) -> System:
    """The system with the hyper-parameters that its search chose last; as it is declared where none was run."""
    search = system.model.search
    if search is None:
        return system
    last = ledger.last(SearchFinished)
    if last is None or last.fact.declared != declared_search(search) or last.fact.chosen is None:
        return system
    model = msgspec.structs.replace(system.model, params={**system.model.params, **last.fact.params})
    return msgspec.structs.replace(system, model=model)
