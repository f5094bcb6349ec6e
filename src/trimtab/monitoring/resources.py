"""What a process, or this machine, uses: processor, memory, and the graphics card where there is one."""

from __future__ import annotations

import shutil
import subprocess

import psutil

from trimtab.errors import PermanentError
from trimtab.records.base import Record

_GPU_FIELDS = "index,name,utilization.gpu,memory.used,memory.total"


class ProcessUse(Record, frozen=True, kw_only=True):
    """One process with its children: processor `cpu_seconds` since its start, resident `memory` in bytes, `threads`."""

    pid: int
    cpu_seconds: float
    memory: int
    threads: int
    processes: int


class GpuUse(Record, frozen=True, kw_only=True):
    """One graphics card: `busy` is the share of time it computed (None: not told), memory in bytes."""

    index: int
    name: str
    busy: float | None
    memory: int
    memory_total: int


class MachineUse(Record, frozen=True, kw_only=True):
    """This machine: `load` is the one-minute load average over its `cpus`; memory in bytes."""

    cpus: int
    load: float
    memory: int
    memory_total: int
    gpus: tuple[GpuUse, ...] = ()


def process_use(pid: int) -> ProcessUse:
    """Measure a process and its children now; PermanentError when it is gone or may not be looked at."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
        root.memory_info()
    except psutil.Error as error:
        raise PermanentError(f"process {pid} cannot be measured: {error}", hint="is it still running?") from error
    seconds, memory, threads, count = 0.0, 0, 0, 0
    for process in family:
        try:
            times = process.cpu_times()
            memory += process.memory_info().rss
            threads += process.num_threads()
        except psutil.NoSuchProcess:
            continue  # a child that ended between the two looks
        seconds += times.user + times.system
        count += 1
    return ProcessUse(pid=pid, cpu_seconds=seconds, memory=memory, threads=threads, processes=count)


def machine_use() -> MachineUse:
    """Measure this machine now."""
    memory = psutil.virtual_memory()
    cpus = psutil.cpu_count() or 1
    return MachineUse(
        cpus=cpus,
        load=psutil.getloadavg()[0] / cpus,
        memory=memory.total - memory.available,
        memory_total=memory.total,
        gpus=gpu_use(),
    )


def gpu_use(timeout: float = 5.0) -> tuple[GpuUse, ...]:
    """What nvidia-smi tells of each card; nothing where there is no card, or it does not answer within `timeout` s."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        answer = subprocess.run(
            [tool, f"--query-gpu={_GPU_FIELDS}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(answer.stdout)


def parse_gpus(text: str) -> tuple[GpuUse, ...]:
    """Read nvidia-smi's lines `index, name, busy %, used MiB, total MiB`; what a card does not tell reads `[N/A]`."""
    cards: list[GpuUse] = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != len(_GPU_FIELDS.split(",")) or not (parts[0] + parts[3] + parts[4]).isdigit():
            continue
        busy = float(parts[2]) / 100 if parts[2].isdigit() else None
        used, total = int(parts[3]) * 2**20, int(parts[4]) * 2**20
        cards.append(GpuUse(index=int(parts[0]), name=parts[1], busy=busy, memory=used, memory_total=total))
    return tuple(cards)
