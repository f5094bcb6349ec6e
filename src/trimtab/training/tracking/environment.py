"""What a training runs on: Python, the libraries that are installed, and the machine."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from trimtab.records.tracking import Environment
from trimtab.training.tracking.gpu import Gpus

_DISTRIBUTION = re.compile(r"(.+?)-([^-]+)\.(?:dist-info|egg-info)")


def environment(threads: int, gpus: Gpus | None) -> Environment:
    """Of this process, whose Python the workers run too. The machine's name is left out: it tells nothing of results
    and may tell of people."""
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=threads,
        memory=_memory(),
        gpus=gpus.described() if gpus is not None else (),
        libraries=installed(sys.path),
    )


def installed(path: Iterable[str]) -> dict[str, str]:
    """Every distribution on the path with its version, the first where there are several, by its normalised name.

    Told from the names of the folders that installers leave: reading each one's metadata takes a hundred times as long.
    """
    found: dict[str, str] = {}
    for folder in dict.fromkeys(path):
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208 - names only
        except OSError:
            continue
        for name in names:
            matched = _DISTRIBUTION.fullmatch(name)
            if matched:
                found.setdefault(re.sub(r"[-_.]+", "-", matched[1]).lower(), matched[2])
    return dict(sorted(found.items()))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(named, "") or platform.processor() or platform.machine()


def _memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    import psutil  # here: only where there is no /proc

    return int(psutil.virtual_memory().total)
