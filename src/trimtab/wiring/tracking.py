"""The trackers that `[tracking]` names: the embedded one and the adapters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.adapters.catalog import find
from trimtab.errors import DeclarationError
from trimtab.wiring.kinds import EMBEDDED_TRACKER, trackers

if TYPE_CHECKING:
    from trimtab.experiments.port import Tracker
    from trimtab.experiments.spec import TrackerSpec


def open_tracker(spec: TrackerSpec, folder: Path) -> Tracker:
    """The tracker of one line, `folder` being where the declaration lies. Raises DeclarationError for one that nothing
    serves."""
    if spec.tool == EMBEDDED_TRACKER:
        from trimtab.experiments.folder import open_folder

        return open_folder(spec, folder)
    adapter = find("experiments", spec.tool)
    if adapter is None:
        known = ", ".join(trackers())
        raise DeclarationError(f"no tracker is called {spec.tool!r}", line=spec.line, hint=f"there is {known}")
    tracker: Tracker = adapter(spec, folder)
    return tracker
