"""How many processes a machine has room for."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The cores this process may use: those it is bound to, or fewer where a control group (a container's, say) allows
    less time than they have. `quota` holds `<microseconds> <of so many>`, or `max ...` (cgroup v2)."""
    try:
        bound = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        bound = os.cpu_count() or 1
    with suppress(OSError, ValueError):
        allowed, period = quota.read_text().split()
        bound = min(bound, -(-int(allowed) // int(period)))
    return max(1, bound)
