"""The training process: `python -m trimtab.training.worker JOBDIR [library ...]`.

It imports the libraries, waits for a line on its standard input, then works on JOBDIR/job.json and leaves
JOBDIR/result.json. Whatever the user's code prints goes to JOBDIR/log.txt, which is its standard output.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import sys
import threading
import traceback
from pathlib import Path

import msgspec

from trimtab.records.durable import write_atomically
from trimtab.training.job import WorkRefused

_HEADROOM = 2 * 2**30  # address space that threads and allocators set aside without using it
_GPU = "/dev/nvidiactl"


def main(arguments: list[str]) -> int:
    """Work on one job; the exit status is 0 when there is a result, be it a refusal."""
    parent = os.getppid()
    _die_with(parent)
    folder = Path(arguments[0])
    try:
        # Ready before it is needed: these imports are most of a small training's time.
        from trimtab.training import work
    except ModuleNotFoundError as error:
        _refuse(folder, error)
        return 1
    for library in arguments[1:]:
        try:
            importlib.import_module(library)
        except Exception:  # the user's code will say so if it needs it
            traceback.print_exc()
    if not sys.stdin.buffer.readline():
        return 1  # the trainer ended
    threading.Thread(target=_end_with_input, daemon=True).start()
    status = 1
    try:
        order = work.read_order(folder)
        if not (order.torch and Path(_GPU).exists()):  # CUDA sets aside more addresses than any limit leaves
            _limit_address_space(order.job.memory_limit)
        work.carry_out(order, folder)
        status = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads and exit handlers of the user's libraries must not hold the result back, and the thread that reads the
    # pipe would abort an ordinary end of the interpreter.
    os._exit(status)


def _refuse(folder: Path, error: ModuleNotFoundError) -> None:
    reason = f"a library that training needs is not installed: {error.name}"
    refusal = WorkRefused(reason=reason, hint="pip install 'trimtab[train]'")
    write_atomically(folder / "result.json", msgspec.json.encode(refusal))


def _die_with(parent: int) -> None:
    """Have Linux kill this process when its parent dies, be it by kill -9."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def _end_with_input() -> None:
    """When the trainer dies its end of the pipe closes: then end this process and all that it started."""
    while sys.stdin.buffer.readline():
        pass
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _limit_address_space(memory_limit: float) -> None:
    """Refuse single allocations far beyond the limit at once; the trainer watches what is really used."""
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return
    limit = used + 2 * int(memory_limit) + _HEADROOM
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
