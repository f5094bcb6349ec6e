"""A process that is a copy of this one: it shares all memory that neither of the two writes to."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from subprocess import TimeoutExpired

_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_LOOK = 0.01


class Child:
    """One that was forked. `returncode` is None while it runs, or is not known to have ended; negative for a signal."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """`returncode`, after a look."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its code, once it has ended. Raises TimeoutExpired after `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() >= until:
                raise TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(_LOOK)
        return code

    def kill(self) -> None:
        """Ends it by force."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal, unless it is known to have ended: its number may be another's by then."""
        if self.poll() is None:
            os.kill(self.pid, number)


def fork(work: Callable[[], int], close: Iterable[int] = ()) -> Child:
    """Does `work` in a copy of this process, which ends with the code that it returns; the descriptors `close` are not
    the copy's. This process must have no other thread. The copy's signals are as in a process that just began, and
    none that comes before that is lost; but that SIGHUP does not end it. Raises OSError when the system has no room
    for another process."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return Child(pid)
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in _HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # to read settings again: it has not read them yet
        for descriptor in close:
            os.close(descriptor)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        code = work()
    except BaseException:  # there is nobody above: what is above belongs to the other process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # nothing of the other process is to be unwound or flushed here
