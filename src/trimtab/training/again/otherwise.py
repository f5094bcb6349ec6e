"""What is not as it was when a model was trained: its code and libraries, its rows, and what it ran on."""

from __future__ import annotations

from datetime import datetime

import msgspec

from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.tensors import Tensors
from trimtab.records.tracking import Environment, Training, ref_of
from trimtab.training.identity import CodeIdentity

_MOST_LIBRARIES = 4

Span = tuple[int, datetime, datetime]
"""How many rows, and the moments of the first and the last."""


def environment_then(blobs: Blobs, identity: str) -> Environment | None:
    """What the training of a model ran on; None where that was not kept."""
    kept = blobs.get_ref(ref_of(identity))
    return msgspec.json.decode(blobs.get(kept), type=Training).environment if kept is not None else None


def code_changes(fact: ModelTrained, code: CodeIdentity) -> list[str]:
    """Libraries that the code reaches and whose version is another one; Trimtab's own part of the identity."""
    changed = [
        f"libraries: {name} was {fact.libraries.get(name, 'not used')}, is {code.libraries.get(name, 'not used')}"
        for name in sorted(fact.libraries.keys() | code.libraries.keys())
        if fact.libraries.get(name) != code.libraries.get(name)
    ]
    if not changed and code.digest != fact.identity.code:
        changed.append("code: the version of Trimtab that trains is another one")
    return changed


def row_changes(fact: ModelTrained, train: Span, valid: Span) -> list[str]:
    """How the rows to train and to validate on differ in number and time; nothing where only their content does."""
    then = {
        "training": (fact.rows, fact.train_from, fact.train_to),
        "validation": (_judged(fact), fact.valid_from, fact.valid_to),
    }
    changed = []
    for name, now in (("training", train), ("validation", valid)):
        count, start, end = then[name]
        if count != now[0] and count:
            changed.append(f"data: {count:,} {name} rows then, {now[0]:,} now")
        elif (start, end) != now[1:]:
            changed.append(
                f"data: the {name} rows were from {_moment(start)} to {_moment(end)}, "
                f"are from {_moment(now[1])} to {_moment(now[2])}"
            )
    return changed


def environment_changes(then: Environment | None, now: Environment, known: CodeIdentity) -> list[str]:
    """What the training ran on and runs on now, besides the libraries that are part of the code's identity."""
    if then is None:
        return ["machine: what it was trained on was not kept"]
    pairs = (
        ("python", then.python, now.python),
        ("processor", then.processor, now.processor),
        ("system", then.system, now.system),
        ("threads", str(then.threads), str(now.threads)),
        ("gpus", _gpus(then), _gpus(now)),
    )
    changed = [f"machine: {name} was {before}, is {after}" for name, before, after in pairs if before != after]
    moved = [
        f"{name} was {then.libraries[name]}, is {now.libraries[name]}"
        for name in sorted(then.libraries.keys() & now.libraries.keys())
        if then.libraries[name] != now.libraries[name] and name not in known.libraries
    ]
    if moved:
        more = f" and {len(moved) - _MOST_LIBRARIES} more" if len(moved) > _MOST_LIBRARIES else ""
        changed.append(f"libraries that the code does not name: {'; '.join(moved[:_MOST_LIBRARIES])}{more}")
    return changed


def determinism_hint(libraries: dict[str, str]) -> str:
    """How the libraries that the code uses are made to give the same twice."""
    hints = [_STEADY[name] for name in sorted(_STEADY) if name in libraries]
    return "; ".join(["numpy.random.default_rng() needs a seed, as anything that asks the clock or the system", *hints])


_STEADY = {
    "lightgbm": "LightGBM: deterministic=True, force_row_wise=True",
    "torch": "PyTorch: device='cpu', or operators that are deterministic on CUDA",
    "xgboost": "XGBoost: tree_method='hist' and the same n_jobs",
    "xgboost-cpu": "XGBoost: tree_method='hist' and the same n_jobs",
    "scikit-learn": "scikit-learn: random_state in every estimator",
}


def _judged(fact: ModelTrained) -> int:
    """How many rows judged it; 0 where metrics count something else than rows, such as boxes or words."""
    if isinstance(fact.bundle.signature.tensors, Tensors):
        return 0
    return max((found.rows for found in fact.metrics.values()), default=0)


def _gpus(environment: Environment) -> str:
    return ", ".join(gpu.name for gpu in environment.gpus) or "none"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
