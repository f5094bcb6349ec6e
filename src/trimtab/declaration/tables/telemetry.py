"""The `telemetry_` keys of `[serve]`."""

from __future__ import annotations

from typing import Any

from trimtab.declaration.reading import Table
from trimtab.records.telemetry import TelemetryPolicy

_FULL = ("refuse", "answer")


def read_telemetry(table: Table) -> TelemetryPolicy:
    """What is declared; the defaults stand for what is missing or wrong (the problems are recorded)."""
    found: dict[str, Any] = {
        "full": table.one_of("telemetry_full", _FULL),
        "inputs": table.share("telemetry_inputs"),
        "large": table.size("telemetry_large", '"16 KiB"'),
        "sample": table.share("telemetry_sample"),
    }
    given = {key: value for key, value in found.items() if value is not None}
    if table.has("telemetry_sync"):
        given["sync"] = _sync(table)
    if table.has("telemetry_keep") and table.raw("telemetry_keep") != "all":
        given["keep"] = table.duration("telemetry_keep", '"180 d", or "all"')
    return TelemetryPolicy(**given)


def _sync(table: Table) -> float | None:
    written = table.raw("telemetry_sync")
    if written in ("always", "never"):
        return 0.0 if written == "always" else None
    return table.duration("telemetry_sync", '"1 s", "always" or "never"')
