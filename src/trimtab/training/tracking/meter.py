"""Measures what a training uses while it runs, from the process that waits for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from trimtab.records.tracking import Energy, Load
from trimtab.training.tracking import energy
from trimtab.training.tracking.gpu import Gpus, GpuUse
from trimtab.training.tracking.processes import machine_busy, usage

_FIRST = 0.5
_SAMPLES = 500
"""After _FIRST seconds each the samples grow further apart, so that there are about so many in the end."""


@dataclass(frozen=True)
class Used:
    """What a training used. `samples` are (microseconds since 1970, name, value): `cpu` in busy cores, `memory` in
    bytes, and with a GPU `gpu` (share of time that it was busy) and `gpu_memory` (bytes)."""

    started: datetime
    seconds: float
    load: Load
    energy: Energy
    samples: Sequence[tuple[int, str, float]]


class Meter:
    """Told of the worker several times a second, over as many workers as a training takes. `wall` and `elapsed` are
    clocks, in seconds."""

    def __init__(self, gpus: Gpus | None) -> None:
        self._gpus = gpus
        self._began = time.monotonic()
        self._wall = datetime.now(UTC)
        self._packages = energy.counters()
        self._busy = machine_busy()
        self._gpu_first = self._gpu_last = gpus.use() if gpus is not None else None
        self._pid = 0
        self._before = 0.0
        self._cpu = 0.0
        self._base = 0.0
        self._peak = 0
        self._memory = 0.0
        self._readings = 0
        self._gpu_busy: list[float] = []
        self._gpu_peak = 0
        self._samples: list[tuple[int, str, float]] = []
        self._next = 0.0
        self._last = (0.0, 0.0)

    def look(self, pid: int) -> int:
        """Read what worker `pid` and its descendants use now; its resident bytes."""
        found = usage(pid)
        if pid != self._pid:
            # A worker may have been started long before: what its imports took is not the training's.
            self._before += self._cpu
            self._pid, self._base, self._cpu = pid, found.cpu_seconds, 0.0
        self._cpu = max(self._cpu, found.cpu_seconds - self._base)  # a child that ended without a wait takes its own
        self._peak = max(self._peak, found.resident)
        self._memory += found.resident
        self._readings += 1
        elapsed = time.monotonic() - self._began
        if elapsed >= self._next:
            self._sample(elapsed, found.resident)
        return found.resident

    def _sample(self, elapsed: float, resident: int) -> None:
        self._next = elapsed + max(_FIRST, elapsed / _SAMPLES)
        at = time.time_ns() // 1000
        cpu = self._before + self._cpu
        then, before = self._last
        if elapsed > then:
            self._samples.append((at, "cpu", (cpu - before) / (elapsed - then)))
        self._last = elapsed, cpu
        self._samples.append((at, "memory", float(resident)))
        if self._gpus is not None and (use := self._gpus.use()) is not None:
            self._gpu_last = use
            self._gpu_busy.append(use.busy)
            self._gpu_peak = max(self._gpu_peak, use.memory)
            self._samples += [(at, "gpu", use.busy), (at, "gpu_memory", float(use.memory))]

    def end(self) -> Used:
        """What it all came to."""
        seconds = time.monotonic() - self._began
        cpu = self._before + self._cpu
        memory = self._memory / max(1, self._readings)
        busy = machine_busy()
        if self._gpus is not None:
            self._gpu_last = self._gpus.use()
        estimate = energy.estimated(
            cpu_seconds=cpu,
            seconds=seconds,
            memory=memory,
            package_joules=energy.since(self._packages, energy.counters()) if self._packages else None,
            machine_busy=None if busy is None or self._busy is None else busy - self._busy,
            gpu_joules=_joules(self._gpu_first, self._gpu_last),
            has_gpu=self._gpus is not None,
        )
        load = Load(
            cpu_seconds=cpu,
            cores_busy=cpu / seconds if seconds > 0 else 0.0,
            memory_mean=memory,
            memory_peak=float(self._peak),
            gpu_busy=sum(self._gpu_busy) / len(self._gpu_busy) if self._gpu_busy else None,
            gpu_memory_peak=float(self._gpu_peak) if self._gpu_busy else None,
        )
        return Used(self._wall, seconds, load, estimate, self._samples)


def _joules(first: GpuUse | None, last: GpuUse | None) -> float | None:
    if first is None or last is None or first.joules is None or last.joules is None:
        return None
    return max(0.0, last.joules - first.joules)
