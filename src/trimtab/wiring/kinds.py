"""The kinds of outside sources that a declaration may name, found among the adapters."""

from __future__ import annotations

from trimtab.adapters.catalog import kind, names
from trimtab.data.kinds import SourceKinds


def source_kinds() -> SourceKinds:
    """Those of our adapters, and of other installed packages."""
    return SourceKinds(find=lambda name: kind("data", name), names=lambda: names("data"))
