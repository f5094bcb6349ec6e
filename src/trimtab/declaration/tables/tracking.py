"""`[tracking]`: the experiment trackers that trainings are written to beside the ledger."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trimtab.declaration.reading import Table
from trimtab.experiments.spec import TrackerSpec, TrackingSpec

_EXAMPLE = '["tensorboard:runs"]'
_KEYS = re.compile(r"//[^/@]*:[^/@]*@")


def read_tracking(table: Table, known: Sequence[str] | None) -> TrackingSpec:
    """What is declared; `known` are the tools that can be had (None: any may be)."""
    texts = table.texts("to", _EXAMPLE) if table.require("to", _EXAMPLE) else None
    artifacts = table.flag("artifacts")
    table.close()
    found = []
    for position, text in enumerate(texts or ()):
        key = table.key("to", position) if isinstance(table.values["to"], list) else table.key("to")
        tool, _, place = text.partition(":")
        if known is not None and tool not in known:
            table.problems.unknown(key, list(known), f'tracker "{tool}"')
        elif _KEYS.search(place):
            hint = "keys are taken from the environment, as the tool's own library names them"
            table.problems.add(key, "holds a password, which a declaration must not", hint=hint)
        else:
            found.append(TrackerSpec(tool=tool, place=place, line=table.problems.line(key)))
    return TrackingSpec(to=tuple(found), artifacts=artifacts is not False, line=table.line)
