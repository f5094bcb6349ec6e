"""`[card]`: what no measurement can say of a system's models, for their cards and for whoever takes one elsewhere."""

from __future__ import annotations

import re

from trimtab.data.spec import DatasetSpec
from trimtab.declaration.problems import Problems
from trimtab.declaration.reading import Table
from trimtab.declaration.system import CardSpec

_IDENTIFIER = re.compile(r"[A-Za-z0-9.:+-]+", re.ASCII)
_JOINED = ("AND", "OR", "WITH")
LICENCE_HINT = 'an SPDX expression such as "Apache-2.0", or "LicenseRef-ours" for one of your own'


def read_card(table: Table) -> CardSpec:
    """`[card]`; what is wrong is recorded, and left empty."""
    card = CardSpec(
        intended_use=table.text("intended_use") or "",
        users=table.text("users") or "",
        out_of_scope=table.texts("out_of_scope", '["decisions about people"]') or (),
        owner=table.text("owner", '"The flights team"') or "",
        contact=table.text("contact", '"flights@example.org"') or "",
        licence=read_licence(table),
        ethics=table.text("ethics") or "",
        limits=table.texts("limits", '["no winter was in the data"]') or (),
        groups=table.texts("groups", '["carrier"]') or (),
    )
    table.close()
    return card


def read_licence(table: Table) -> str:
    """`licence`, of a model or of a dataset: an SPDX expression."""
    found = table.text("licence", '"Apache-2.0"')
    words = (found or "").replace("(", " ").replace(")", " ").split()
    named, joined = words[::2], words[1::2]
    if len(named) == len(joined) + bool(words) and all(map(_IDENTIFIER.fullmatch, named)) and set(joined) <= {*_JOINED}:
        return (found or "").strip()
    table.wrong("licence", LICENCE_HINT)
    return ""


def check_groups(problems: Problems, card: CardSpec, data: tuple[DatasetSpec, ...]) -> None:
    """A group is none where every row has a value of its own."""
    labelled = next((spec for spec in data if spec.label is not None), None)
    if labelled is None:
        return
    own = {labelled.time: "the time", labelled.subject: "whose data a row is", labelled.label: "the label"}
    own |= {labelled.key[0]: "the key"} if len(labelled.key) == 1 else {}
    for position, name in enumerate(card.groups):
        if name in own:
            problems.add(("card", "groups", position), f'"{name}" is {own[name]}, which makes no groups')
