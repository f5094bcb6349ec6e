"""What one dataset says of another: values that must stand there, and values that are better known there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.data.spec import DatasetSpec, Reference, Trusted
from trimtab.declaration.problems import Problems, describe, did_you_mean
from trimtab.declaration.reading import Table
from trimtab.errors import DeclarationError

_THERE = 'write "dataset.column", such as "carriers.code"'


def read_references(table: Table) -> tuple[Reference, ...]:
    """`references = { carrier = "carriers.code" }`."""
    found = []
    for column, given in (table.table("references") or {}).items():
        with table.problems.at(table.key("references", column)):
            dataset, key = _place(given)
            if not dataset:
                raise DeclarationError(f'"{given}" names no dataset', hint=_THERE)
            found.append(Reference(column=column, dataset=dataset, key=key))
    return tuple(found)


def read_trusted(table: Table) -> tuple[Trusted, ...]:
    """`trusted = { delay = "audit.delay", distance = { value = "measured_distance", within = 0.5 } }`."""
    found = []
    for column, given in (table.table("trusted") or {}).items():
        with table.problems.at(table.key("trusted", column)):
            found.append(_trusted(column, given))
    return tuple(found)


def check_references(problems: Problems, data: Sequence[DatasetSpec]) -> None:
    """Record every reference to a dataset that is not declared, or whose key cannot be matched."""
    known = {spec.name: spec for spec in data}
    for position, spec in enumerate(data):
        named = [(r.dataset, "references", r.column) for r in spec.references]
        named += [(t.dataset, "trusted", t.column) for t in spec.trusted if t.dataset]
        for dataset, head, column in named:
            if dataset not in known:
                near = did_you_mean(dataset, known)
                problems.add(("data", position, head, column), f'no [[data]] is called "{dataset}"{near}')
            elif dataset == spec.name:
                problems.add(("data", position, head, column), f'"{dataset}" is this dataset itself')
            elif head == "trusted" and len(known[dataset].key) != len(spec.key):
                problems.add(
                    ("data", position, head, column),
                    f'its rows have {len(spec.key)} key columns and those of "{dataset}" {len(known[dataset].key)}',
                    hint="rows are matched key by key, in the order that `key` names them",
                )


def _trusted(column: str, given: object) -> Trusted:
    within = 0.0
    if isinstance(given, dict):
        for key in given:
            if key not in ("value", "within"):
                raise DeclarationError(f'unknown key "{key}"', hint="allowed: value, within")
        margin = given.get("within", 0.0)
        if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin < math.inf:
            raise DeclarationError(f"within: expected a number, zero or more, found {describe(margin)}")
        within, given = float(margin), given.get("value")
    dataset, other = _place(given)
    if not dataset and other == column:
        raise DeclarationError(f'"{column}" cannot be checked against itself')
    return Trusted(column=column, other=other, dataset=dataset, within=within)


def _place(given: object) -> tuple[str, str]:
    if not isinstance(given, str) or not given.strip() or given.startswith(".") or given.endswith("."):
        raise DeclarationError(f"expected the name of a column, found {describe(given)}", hint=_THERE)
    dataset, dot, column = given.strip().partition(".")
    return (dataset, column) if dot else ("", dataset)
