"""One worker process: started early or at once, watched while it works, ended with all that it started."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trimtab.records.scratch import sweep_scratch

POLL = 0.05


@dataclass(frozen=True)
class Ended:
    """How a worker ended: `code` is its exit status (below 0: the signal), `killed` why it was ended before its time;
    `seconds` of wall time and the `peak` resident bytes of it and its children together, as sampled."""

    code: int
    killed: str
    seconds: float
    peak: int


class WorkerProcess:
    """A worker in its own session. It waits for a line on its standard input before it works, and ends with it.

    On Linux it also dies with the *thread* that started it, so start it from one that lives as long as the loop.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], preload: Sequence[str] = ()) -> None:
        self.folder = folder
        self._over = False
        with (folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trimtab.training.worker", str(folder), *preload],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self._process.poll() is None

    def work(self, time_limit: float, memory_limit: float, look: Callable[[int], int]) -> Ended:
        """Let it work on the order in its folder, and wait for its end. `look` is asked several times a second for the
        resident bytes of a process, given its number, and its descendants."""
        started = time.monotonic()
        killed, peak = "", look(self._process.pid)
        with suppress(BrokenPipeError):  # it died before: its exit status tells
            assert self._process.stdin is not None
            self._process.stdin.write(b"go\n")
            self._process.stdin.flush()
        try:
            with _Exit(self._process.pid) as ended:
                while not ended.within(POLL) and self._process.poll() is None:
                    peak = max(peak, look(self._process.pid))
                    if peak > memory_limit:
                        killed = f"it used more memory than its limit of {memory_limit / 2**20:,.0f} MiB"
                    elif time.monotonic() - started > time_limit:
                        killed = f"it was still running after its time limit of {time_limit:g} s"
                    if killed:
                        break
        finally:
            self.end()
        return Ended(code=self._process.returncode, killed=killed, seconds=time.monotonic() - started, peak=peak)

    def end(self) -> None:
        """End it and everything in its session's process group; once, as its number may be given to another later."""
        if self._over:
            return
        self._over = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()


class _Exit:
    """Waits for a process's end without polling, where the system has descriptors for processes."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descriptor = -1

    def __enter__(self) -> _Exit:
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self._descriptor = os.pidfd_open(self._pid)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def within(self, seconds: float) -> bool:
        """True when it ended within that time."""
        if self._descriptor < 0:
            time.sleep(seconds)
            return False
        return bool(select.select([self._descriptor], [], [], seconds)[0])


def sweep(work: Path) -> None:
    """Remove the folders and locks below `work` of trainers whose process is gone."""
    if not work.is_dir():
        return
    sweep_scratch(work, "training")
    for lock in work.glob("*.lock"):  # what a killed trainer held; one that is held now is left alone
        with suppress(OSError), lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.unlink(missing_ok=True)
