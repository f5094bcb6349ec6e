"""What a process and its descendants use, and how busy the machine is: read from /proc, elsewhere from psutil."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Usage(NamedTuple):
    """Resident bytes, and seconds of all cores so far, those of descendants that ended and were waited for included."""

    resident: int
    cpu_seconds: float


def usage(pid: int) -> Usage:
    """Of a process and its descendants; nothing for one that is gone."""
    if not sys.platform.startswith("linux"):
        return _elsewhere(pid)
    pages, ticks = 0, 0
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        try:
            # The name in the second field may hold blanks and brackets: what counts comes after the last of them.
            fields = Path(f"/proc/{current}/stat").read_bytes().rpartition(b")")[2].split()
            ticks += sum(map(int, fields[11:15]))
            pages += int(fields[21])
            for thread in os.listdir(f"/proc/{current}/task"):  # noqa: PTH208 - names only, many times a second
                waiting += map(int, Path(f"/proc/{current}/task/{thread}/children").read_text().split())
        except (OSError, ValueError, IndexError):
            continue
    return Usage(pages * _PAGE, ticks / _TICKS)


def machine_busy() -> float | None:
    """Seconds that all cores of the machine together were busy since it started; None where that cannot be read."""
    try:
        line = Path("/proc/stat").read_bytes().partition(b"\n")[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, soft, steal = map(int, line[1:9])
    return (user + nice + system + irq + soft + steal) / _TICKS


def _elsewhere(pid: int) -> Usage:
    import psutil  # here: only where there is no /proc

    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        times = [each.cpu_times() for each in family]
        return Usage(sum(each.memory_info().rss for each in family), sum(t.user + t.system for t in times))
    except psutil.Error:
        return Usage(0, 0.0)
