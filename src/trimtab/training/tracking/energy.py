"""How much electrical energy a training took: an estimate, and what it was told from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from trimtab.records.tracking import Energy

CORE_WATTS = 12.0
"""Of one busy core, where the processor does not count: the default of Green Algorithms, the mean of the thermal design
powers a core of the processors in its table (L. Lannelongue, J. Grealey, M. Inouye, Advanced Science 8, 2021,
doi:10.1002/advs.202100707)."""
MEMORY_WATTS = 0.3725
"""Of each GB (1e9 bytes) of memory in use, from the same paper."""
_POWERCAP = Path("/sys/class/powercap")


class Counter(NamedTuple):
    """One processor package: its count in microjoules, and where that begins again from 0."""

    place: Path
    reading: int
    end: int


def counters(home: Path = _POWERCAP) -> tuple[Counter, ...]:
    """RAPL's counts of the processor packages; empty where they are missing or only root may read them."""
    found = []
    for place in sorted(home.glob("intel-rapl:[0-9]*")):
        if place.name.count(":") != 1:  # a part of a package, which is in the package's count
            continue
        try:
            if not (place / "name").read_text().startswith("package"):
                continue
            count = int((place / "energy_uj").read_text())
            found.append(Counter(place, count, int((place / "max_energy_range_uj").read_text())))
        except (OSError, ValueError):
            return ()
    return tuple(found)


def since(before: Sequence[Counter], now: Sequence[Counter]) -> float | None:
    """Joules between two readings, less than one turn of the counters apart; None where they cannot be compared."""
    if not before or [each.place for each in before] != [each.place for each in now]:
        return None
    return sum((b.reading - a.reading) % (b.end + 1) for a, b in zip(before, now, strict=True)) / 1e6


def estimated(
    *,
    cpu_seconds: float,
    seconds: float,
    memory: float,
    package_joules: float | None,
    machine_busy: float | None,
    gpu_joules: float | None,
    has_gpu: bool,
) -> Energy:
    """The estimate. `cpu_seconds` of all cores in `seconds` of wall time with `memory` bytes on average.

    With `package_joules` (what all processors took meanwhile) the training's part is its part of the `machine_busy`
    seconds of all cores. Without, each of its core seconds counts with CORE_WATTS. Memory counts with MEMORY_WATTS, and
    `gpu_joules` whole.
    """
    share = min(1.0, cpu_seconds / machine_busy) if machine_busy else None
    if package_joules is not None and share is not None:
        joules = package_joules * share
        basis = f"RAPL counters of the processors, of which {share:.0%} by its share of busy time"
    else:
        joules = CORE_WATTS * cpu_seconds
        basis = f"{CORE_WATTS:g} W a busy core"
    joules += MEMORY_WATTS * memory / 1e9 * seconds
    basis += f", {MEMORY_WATTS:g} W a GB of memory (Lannelongue et al. 2021)"
    if gpu_joules is not None:
        joules += gpu_joules
        basis += ", counters of the GPUs"
    elif has_gpu:
        basis += "; the GPU is not counted"
    return Energy(joules=joules, basis=basis)
