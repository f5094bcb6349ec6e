"""What a server is told about its telemetry: how safe, how much of it, and for how long."""

from __future__ import annotations

from typing import Literal

from trimtab.records.base import Record


class TelemetryPolicy(Record, kw_only=True):
    """`sync`: seconds between two syncs to the disk; 0 syncs before every answer, None leaves it to the kernel.
    `full`: what becomes of an answer that cannot be kept, `refuse` (503) or `answer` (it is counted and told).
    `inputs`: the share of predictions whose inputs are kept; `sample`: that share for rows of more than `large` bytes,
    of which the others leave their digest and shape. `keep`: seconds of history that stay (None: all of it).

    Not declared: a segment is sealed at `segment_bytes` or after `segment_seconds`, and compacted once it has rested
    for `rest` seconds."""

    sync: float | None = 1.0
    full: Literal["refuse", "answer"] = "refuse"
    inputs: float = 1.0
    large: int = 16 * 2**10
    sample: float = 0.01
    keep: float | None = None
    segment_bytes: int = 64 * 2**20
    segment_seconds: float = 86_400.0
    rest: float = 60.0
