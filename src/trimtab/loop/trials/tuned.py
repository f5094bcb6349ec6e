"""The hyper-parameters and settings that a search has chosen take the place of the declared ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import blake3
import msgspec

from trimtab.declaration.system import System
from trimtab.records.base import canonical_json
from trimtab.records.ledger import Ledger
from trimtab.records.studies import SearchFinished
from trimtab.training.spec import SearchSpec

SETTING = "model."
"""How the name of a dimension begins that is a setting of `[model]`, not a hyper-parameter."""
ALL = 0.0
"""The window that is none: a choice among windows is a number of seconds."""
_LATER = ("prune", "shares", "connections", "choose", "cheapest")


def tried_by(spec: SearchSpec) -> str:
    """The digest of what trials follow from: another rule to choose by is not another search."""
    return declared_search(msgspec.structs.replace(spec, choose="best", cheapest="resources.model_size"))


def declared_search(spec: SearchSpec) -> str:
    """The digest of what is searched for: the same however many trials and workers are given to it, and for keys that
    are younger than a ledger, as long as they are not used."""
    said = msgspec.to_builtins(msgspec.structs.replace(spec, line=0, trials=1, workers=1))
    unset = msgspec.to_builtins(SearchSpec(space=(), objectives=()))
    kept = {name: value for name, value in said.items() if name not in _LATER or value != unset[name]}
    return blake3.blake3(canonical_json(kept)).hexdigest()[:16]


def with_chosen(system: System, chosen: Mapping[str, Any]) -> System:
    """The system with these values instead of what it declares."""
    params = {name: value for name, value in chosen.items() if not name.startswith(SETTING)}
    settings = {name.removeprefix(SETTING): value for name, value in chosen.items() if name.startswith(SETTING)}
    if settings.get("window") == ALL:
        settings["window"] = None
    model = msgspec.structs.replace(system.model, params={**system.model.params, **params}, **settings)
    return msgspec.structs.replace(system, model=model)


def declared_values(system: System, spec: SearchSpec) -> dict[str, Any]:
    """What is declared of everything that is searched."""
    model = system.model
    settings = {f"{SETTING}code": model.code, f"{SETTING}window": model.window or ALL, f"{SETTING}seed": model.seed}
    return {d.name: settings[d.name] if d.name in settings else model.params[d.name] for d in spec.space}


def tuned(system: System, ledger: Ledger) -> System:
    """The system with what its search chose last; as it is declared where none was run."""
    search = system.model.search
    if search is None:
        return system
    last = ledger.last(SearchFinished)
    if last is None or last.fact.declared != declared_search(search) or last.fact.chosen is None:
        return system
    return with_chosen(system, last.fact.params)
