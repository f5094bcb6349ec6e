"""The kinds of outside sources that a declaration may name, found among the adapters."""

from __future__ import annotations

from trimtab.adapters.catalog import kind, names
from trimtab.data.kinds import NoOptions, SourceKind, SourceKinds
from trimtab.errors import DeclarationError

EMBEDDED_TRACKER = "folder"
SCHEME = "telemetry"
"""What this system, or another one, was asked and told: no adapter, as serving and data meet in the loop."""


def source_kinds() -> SourceKinds:
    """Those of our adapters, and of other installed packages."""
    return SourceKinds(
        find=lambda name: _TELEMETRY if name == SCHEME else kind("data", name),
        names=lambda: (SCHEME, *names("data")),
        trackers=trackers,
    )


def trackers() -> tuple[str, ...]:
    """The experiment trackers that can be had."""
    return EMBEDDED_TRACKER, *names("experiments")


def _check_telemetry(source: str, _options: object) -> None:
    if source.partition(":")[2].startswith("//"):
        raise DeclarationError(
            f'"{source}" names no state', hint='write "telemetry:" for this system, or "telemetry:../other/.trimtab"'
        )


_TELEMETRY = SourceKind(NoOptions, _check_telemetry)
