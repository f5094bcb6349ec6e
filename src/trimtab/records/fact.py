"""What all facts share."""

from __future__ import annotations

import re

from trimtab.records.base import Record


def _tag(name: str) -> str:
    return re.sub(r"(?<=.)([A-Z])", r"_\1", name).lower()


class Fact(Record, kw_only=True, tag_field="kind", tag=_tag):
    """Root of all facts; `kind` is the class name in snake case."""
