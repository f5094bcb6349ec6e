"""How many processes a machine has room for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores(groups: Path = _GROUPS, own: Path = _OWN) -> int:
    """The cores this process may use: those it is bound to, or fewer where a control group (a container's, a service's
    `CPUQuota`) allows less time than they have. `groups` is where they are told, `own` which one this process is in;
    those around it count as well."""
    try:
        bound = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        bound = os.cpu_count() or 1
    allowed = [-(-quota // period) for quota, period in _quotas(groups, own) if quota > 0 < period]
    return max(1, min([bound, *allowed]))


def _quotas(groups: Path, own: Path) -> Iterator[tuple[int, int]]:
    """Microseconds of so many, of each group that limits this process."""
    lines = []
    with suppress(OSError):
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    for _, kinds, path in (line for line in lines if len(line) == 3):
        root = groups / "cpu" if "cpu" in kinds.split(",") else groups  # version 1 has a tree for each kind
        if kinds and root == groups:
            continue
        inner = root / path.lstrip("/")
        for folder in (inner, *inner.parents[: len(inner.parts) - len(root.parts)]):
            with suppress(OSError, ValueError):
                yield _quota(folder, kinds)
    with suppress(OSError, ValueError):  # a container often sees its own group as the root, whatever `own` says
        yield _quota(groups, "")


def _quota(folder: Path, kinds: str) -> tuple[int, int]:
    if kinds:
        return int((folder / "cpu.cfs_quota_us").read_text()), int((folder / "cpu.cfs_period_us").read_text())
    quota, period = (folder / "cpu.max").read_text().split()
    return int(quota), int(period)
