"""Whose state it is: a state folder holds the releases, data and telemetry of one system."""

from __future__ import annotations

from pathlib import Path

from trimtab.declaration.system import System
from trimtab.errors import DeclarationError
from trimtab.records.facts import SystemDeclared
from trimtab.records.ledger import Ledger


def require_own(system: System, ledger: Ledger) -> None:
    """Raises DeclarationError where the last declaration in the ledger was of a system of another name, unless this one
    says that it was formerly called so: what would be served is that system's model, and what is pruned its data."""
    last = ledger.last(SystemDeclared)
    if last is None or last.fact.name in (system.name, system.formerly):
        return
    there = Path(ledger.database.where).parent
    raise DeclarationError(
        f'the state in {there} is of system "{last.fact.name}", not of "{system.name}"',
        path=system.path,
        hint="give each a folder of its own, or this one another state (--state DIR); if it is the same system under a "
        f'new name, write formerly = "{last.fact.name}" in [system]',
    )
