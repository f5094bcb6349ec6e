"""A training in the plain forms that every tracker has a place for: texts, and numbers by name."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.experiments.port import Told


def texts_of(told: Told) -> dict[str, str]:
    """What the training was of and what became of it, by name; what is not known is left out."""
    training = told.training
    source, identity = training.source, told.identity
    found = {
        "trimtab.system": told.system,
        "trimtab.training": training.id,
        "trimtab.group": told.group,
        "trimtab.outcome": training.outcome,
        "trimtab.reason": training.reason,
        "trimtab.started": training.started.isoformat(),
        "trimtab.seconds": f"{training.seconds:g}",
        "trimtab.code": identity.code if identity else "",
        "trimtab.params": identity.params if identity else "",
        "trimtab.data": identity.data if identity else "",
        "trimtab.dataset": told.dataset,
        "trimtab.version": told.version,
        "trimtab.rows": str(told.rows) if told.rows else "",
        "trimtab.energy": f"{training.energy.joules:.6g} J ({training.energy.basis})" if training.energy else "",
        "trimtab.commit": source.commit,
        "trimtab.branch": source.branch,
        "trimtab.uncommitted": ", ".join((*source.changed, *source.untracked)),
        "trimtab.dropped": "; ".join(training.dropped),
        **{f"trimtab.{name}": text for name, text in told.study.items()},
    }
    return {name: value for name, value in found.items() if value}


def params_of(told: Told) -> dict[str, str]:
    """The hyper-parameters as texts: what is no text already, as JSON."""
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in told.training.params.items()
    }


def figures_of(told: Told) -> dict[str, float]:
    """Every final figure by name; `NAME/low` and `NAME/high` are the ends of its 95% interval, and
    `NAME/column:value` is the figure of a part of the rows. What the training used is below `resources`."""
    found: dict[str, float] = dict(told.training.figures)
    for name, measured in told.measured.items():
        for end, figure in (("", measured.figure), ("/low", measured.low), ("/high", measured.high)):
            if figure is not None:
                found.setdefault(f"{name}{end}", figure)
    for key, measured in told.slices.items():
        name, _, part = key.partition("|")
        if measured.figure is not None:
            found.setdefault(f"{name}/{part.replace('=', ':', 1)}", measured.figure)
    used: dict[str, Any] = msgspec.structs.asdict(told.training.load) if told.training.load else {}
    if told.training.energy:
        used["joules"] = told.training.energy.joules
    for name, figure in used.items():
        if figure is not None:
            found.setdefault(f"resources/{name}", figure)
    return found
