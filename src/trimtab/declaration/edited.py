"""Whether someone has edited the declaration since it was read: for a loop that runs for good."""

from __future__ import annotations

from pathlib import Path

from trimtab.data.kinds import SourceKinds
from trimtab.declaration.load import load
from trimtab.declaration.system import System


class Edited:
    """Whether the file of a declaration was changed since, and what it says then."""

    def __init__(self, system: System, kinds: SourceKinds) -> None:
        self._kinds = kinds
        self._system = system
        self._stamp = self._looked()

    def now(self) -> System | None:
        """The new declaration; None when it is the old one. Raises DeclarationErrors once for each wrong one."""
        stamp = self._looked()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        found = load(Path(self._system.path), self._kinds)
        if found.digest == self._system.digest and _beside(found) == _beside(self._system):
            return None
        self._system = found
        return found

    def _looked(self) -> tuple[int, int] | None:
        try:
            stat = Path(self._system.path).stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size


def _beside(system: System) -> tuple[object, ...]:
    """What the loop heeds and the digest leaves out: trackers, and the former name."""
    return tuple(each.text for each in system.tracking.to), system.tracking.artifacts, system.formerly
