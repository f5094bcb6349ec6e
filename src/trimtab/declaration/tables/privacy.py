"""`[privacy]`, and what of `[[data]]` is personal: what may be declared of it, and what it must not become."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from trimtab.data.spec import DatasetSpec, PrivacySpec
from trimtab.declaration.problems import Problems, did_you_mean
from trimtab.declaration.reading import Table
from trimtab.declaration.system import Policy
from trimtab.labels.spec import LabelsSpec
from trimtab.records.requirement import Requirement

PATTERNS = ("email", "phone", "card", "iban", "national_id", "ip")
_ROUNDED = 0.005
_PLACE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+")


def read_privacy(table: Table) -> PrivacySpec:
    """`[privacy]`; the defaults stand for what is missing."""
    place = table.text("master_key", '"env:TRIMTAB_MASTER_KEY"')
    if place is not None and not _PLACE.fullmatch(place):
        table.wrong(
            "master_key", "where the master key lies, never the key itself", hint='write "env:NAME" or "file:/a/path"'
        )
    scan = table.texts("scan", '["email", "card"]') or ()
    for position, name in enumerate(scan):
        if name not in PATTERNS:
            table.problems.add(
                table.key("scan", position),
                f'"{name}" is not a pattern that is known{did_you_mean(name, PATTERNS)}',
                hint=f"there are {', '.join(PATTERNS)}",
            )
    found: dict[str, Any] = {
        "master_key": place,
        "forbid": table.texts("forbid", '["ssn", "passport*"]'),
        "quarantine": table.flag("quarantine"),
    }
    if found["quarantine"] and not scan:
        table.wrong("quarantine", "a list `scan` beside it", hint='write scan = ["email", "card"]')
    table.close()
    return PrivacySpec(scan=scan, **{key: value for key, value in found.items() if value is not None})


def read_personal(table: Table, time: str | None, label: str | None, media: Sequence[str]) -> dict[str, Any]:
    """What a `[[data]]` table says of people: `subject`, `personal`, `retention`."""
    subject = table.text("subject", '"passenger_id"')
    personal = table.texts("personal", '["name", "email"]') or ()
    retention = table.duration("retention", '"2 y"')
    if personal and subject is None and not table.misspelt("subject"):
        table.problems.add(
            table.key("personal"),
            "whose data this is is not said",
            hint='write subject = "passenger_id": the column that tells people apart',
        )
    if retention is not None and subject is None and not table.misspelt("subject"):
        table.problems.add(
            table.key("retention"),
            "nothing in this dataset is said to be personal, so there is nothing to shred",
            hint='write subject = "passenger_id" and personal = [...] beside it',
        )
    for key, names in (("subject", (subject,) if subject else ()), ("personal", personal)):
        for name in names:
            if name == time:
                table.problems.add(
                    table.key(key), f'"{name}" is the time, by which versions are read: it stays readable'
                )
            elif name in media:
                table.problems.add(
                    table.key(key),
                    f'"{name}" is media: contents are kept by their digest and are not sealed',
                    hint="keep what is personal in columns, and contents that tell a person out of the dataset",
                )
            elif name == label:
                table.problems.add(
                    table.key(key), f'"{name}" is the label: a model that learns it tells it to everybody'
                )
    return {"subject": subject, "personal": personal, "retention": retention}


def read_population(table: Table) -> dict[str, dict[str, float]]:
    """By column, the share that each of its values has where the rows are drawn from; shares of a column sum to 1."""
    found: dict[str, dict[str, float]] = {}
    for column, shares in (table.table("population") or {}).items():
        key = table.key("population", column)
        if not isinstance(shares, dict) or not shares:
            table.problems.add(key, "expected a table of shares", hint="write { EWR = 0.4, JFK = 0.6 }")
        elif not all(isinstance(share, (int, float)) and 0 <= share <= 1 for share in shares.values()):
            table.problems.add(key, "a share is a number between 0 and 1", hint="write { EWR = 0.4, JFK = 0.6 }")
        elif abs(sum(shares.values()) - 1) > _ROUNDED:
            table.problems.add(key, f"the shares sum to {sum(shares.values()):g}, not 1")
        else:
            found[column] = {value: float(share) for value, share in shares.items()}
    return found


def check_personal(
    problems: Problems,
    data: Sequence[DatasetSpec],
    requirements: Sequence[Requirement],
    policy: Policy,
    labels: LabelsSpec | None,
) -> None:
    """Record every place where personal cells would be told: the names of slices stand in the ledger for good."""
    personal = {name for spec in data if spec.subject is not None for name in (spec.subject, *spec.personal)}
    for requirement in requirements:
        if requirement.by in personal:
            problems.add_at(
                requirement.line,
                ("requirements",),
                f'slices by "{requirement.by}", which is personal: their names would stand in the ledger',
                hint="slice by a column that is no person's own",
            )
    if labels is not None:
        spec = next((spec for spec in data if spec.name == labels.data), None)
        sealed = {spec.subject, *spec.personal} if spec is not None and spec.subject is not None else set()
        for name in labels.show:
            if name in sealed:
                message = f'"{name}" is personal, and what annotators see leaves this system'
                problems.add_at(labels.line, ("labels", "show"), message, hint="show another column")
        if spec is not None and sealed.intersection(spec.key):
            message = f'the key of "{spec.name}" is personal, and annotators are given it to name a row by'
            problems.add_at(labels.line, ("labels", "data"), message, hint="give the rows a key of their own")
    if policy.canary_by in personal:
        problems.add(
            ("policy", "canary_by"), f'"{policy.canary_by}" is personal', hint="share traffic by another column"
        )
