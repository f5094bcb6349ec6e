"""The digest of what a declaration means: the same whatever its comments, its layout, its units or where it lies."""

from __future__ import annotations

import blake3
import msgspec

from trimtab.data.spec import StoreSpec
from trimtab.declaration.system import System
from trimtab.experiments.spec import TrackingSpec
from trimtab.records.base import canonical_json


def digest_of(system: System) -> str:
    """blake3 (hex) of the canonical JSON of everything declared, defaults included.

    Left out: where the file and the datasets lie, its text, line numbers, experiments, the search, trackers, the card,
    licences and the former name (they change nothing about what must hold), and how a limit was spelled (98% is 0.98).
    The order of requirements and of triggers says nothing and does not count; that of columns, views and steps does.
    """
    replace = msgspec.structs.replace
    requirements = [
        replace(requirement, unit="", scale=1.0, places=(), text="", line=0) for requirement in system.requirements
    ]
    triggers = [replace(trigger, text="") for trigger in system.policy.retrain_on]
    meaning = replace(
        system,
        path="",
        folder="",
        digest="",
        text="",
        requirements=tuple(sorted(requirements, key=canonical_json)),
        data=tuple(replace(spec, licence="", line=0) for spec in system.data),
        features=tuple(replace(spec, line=0) for spec in system.features),
        model=replace(system.model, search=None, line=0),
        policy=replace(system.policy, retrain_on=tuple(sorted(triggers, key=canonical_json))),
        serve=replace(system.serve, line=0),
        experiments=(),
        store=StoreSpec(),
        card=None,
        tracking=TrackingSpec(),
        formerly=msgspec.UNSET,
        labels=None if system.labels is None else replace(system.labels, line=0),
    )
    return blake3.blake3(canonical_json(meaning)).hexdigest()
