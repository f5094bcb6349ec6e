"""GPUs as NVIDIA's management library tells of them: what there is, how busy, how much memory, which energy.

It tells of whole devices: of two trainings on one GPU each sees what both do.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from trimtab.records.tracking import Gpu

_DEVICE = Path("/dev/nvidiactl")


class GpuUse(NamedTuple):
    """Over all GPUs: the mean share of time that one was busy of late, bytes of memory in use, and joules since the
    driver was loaded (None where the devices do not count them)."""

    busy: float
    memory: int
    joules: float | None


class Gpus:
    """The GPUs of this machine; made by `Gpus.found`."""

    def __init__(self, library: Any, handles: list[Any]) -> None:
        self._library = library
        self._handles = handles

    @classmethod
    def found(cls) -> Gpus | None:
        """None where there is none, or `nvidia-ml-py` is not installed."""
        if not _DEVICE.exists():
            return None
        try:
            import pynvml  # here: only where there is a GPU
        except ModuleNotFoundError:
            return None
        try:
            pynvml.nvmlInit()
            handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError:
            return None
        return cls(pynvml, handles) if handles else None

    def described(self) -> tuple[Gpu, ...]:
        """Each by its name, memory and driver."""
        library = self._library
        with suppress(library.NVMLError):
            driver = _text(library.nvmlSystemGetDriverVersion())
            return tuple(
                Gpu(
                    name=_text(library.nvmlDeviceGetName(each)),
                    memory=int(library.nvmlDeviceGetMemoryInfo(each).total),
                    driver=driver,
                )
                for each in self._handles
            )
        return ()

    def use(self) -> GpuUse | None:
        """As of now; None where the driver does not tell."""
        library = self._library
        try:
            busy = [library.nvmlDeviceGetUtilizationRates(each).gpu / 100 for each in self._handles]
            memory = sum(int(library.nvmlDeviceGetMemoryInfo(each).used) for each in self._handles)
        except library.NVMLError:
            return None
        try:
            joules = sum(library.nvmlDeviceGetTotalEnergyConsumption(each) for each in self._handles) / 1000
        except library.NVMLError:  # before Volta
            joules = None
        return GpuUse(sum(busy) / len(busy), memory, joules)

    def close(self) -> None:
        """Let go of the driver's library."""
        with suppress(self._library.NVMLError):
            self._library.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
