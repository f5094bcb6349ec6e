"""Starts the processes that serve together, replaces one that dies, passes signals on, and ends when it is asked to.

It serves nothing itself. It holds the listening socket, so that a connection that waits in its queue outlives any
process that might have taken it, and the locks, which its children hold with it. They are copies of it
(fork): what it has imported is in memory once for all of them, and one that takes another's place need not import it.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from subprocess import TimeoutExpired
from types import FrameType

from trimtab.errors import PermanentError
from trimtab.records.layout import Layout
from trimtab.records.owner import ensure_owner_token
from trimtab.records.server import ServerConfig, ServerInfo
from trimtab.serving.processes.address import announce, bind, hold, read_info
from trimtab.serving.processes.board import new_board
from trimtab.serving.processes.child import Child, fork
from trimtab.serving.processes.marks import new_marks
from trimtab.serving.processes.notify import notify, reloading
from trimtab.serving.processes.seat import Seat
from trimtab.serving.processes.tally import Tally, tally_name

_LOG = logging.getLogger("trimtab.serving")
_LOOK = 0.2
_SOON = 0.01
_STEADY = 10.0  # seconds that a process must have run for its death to be no part of a series
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_GRACE = 35.0
_LOOKS = 10  # a process whose loop has stood still for so many looks is killed


class _Post:
    """One seat: the process on it, and how often in a row one has ended soon after its start."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.process: Child | None = None
        self.since = 0.0
        self.due = 0.0
        self.failures = 0
        self.pulse = 0
        self.still = 0


class Supervisor:
    """Looks after `count` processes that serve the `systems` in `layouts` at the address of `config`. `parent`: the
    process to end with (0: none). A process that hangs for `patience` seconds is killed. Raises PermanentError when the
    address or a state folder is taken."""

    def __init__(  # noqa: PLR0917 - each is one thing
        self,
        config: ServerConfig,
        layouts: Sequence[Layout],
        systems: Sequence[str],
        count: int,
        parent: int = 0,
        patience: float = 60.0,
    ) -> None:
        self._every = patience / _LOOKS
        self._looked = time.monotonic()
        self._config = config
        self._layouts = layouts
        self._systems = tuple(systems)
        self._parent = parent
        self._locks = tuple(hold(layout) for layout in layouts)
        for layout in layouts:
            ensure_owner_token(layout.owner_token)
        before = read_info(layouts[0].server)
        self._listening = bind(config, before.port if before is not None else 0)
        self._listening.listen(1024)
        self._grpc = _reserve(config, (before and before.grpc_port) or 0)
        self._board = new_board(count)
        self._marks = new_marks(count)
        self._born, self._began = time.time_ns(), time.monotonic_ns()
        self._posts = [_Post(slot) for slot in range(count)]
        self._over = self._asked = False
        self._announced = False
        self._ready = False
        folder = layouts[0].serve / "processes"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._tally = Tally(folder)
        self._tally.clear()

    def run(self, become: Callable[[Seat], int]) -> int:
        """Runs until it is told to end; 0 after an orderly end, 1 when processes cannot start. `become` is called in
        each process, on its seat, and returns with what it ends with."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._ask)
        signal.signal(signal.SIGCHLD, _nothing)
        self._become = become
        self._own = (woken, wake) if self._grpc is None else (woken, wake, self._grpc.fileno())
        try:
            while not self._over:
                if self._asked:
                    self._asked = False
                    self._read_again()
                if not self._tend():
                    return 1
                select.select([woken], [], [], self._pause())
                with suppress(BlockingIOError):
                    os.read(woken, 4096)
                if self._parent and os.getppid() != self._parent:
                    _LOG.warning("process %d has ended, and so does this server", self._parent)
                    break
        finally:
            self._stop()
        _LOG.info("all processes have ended")
        return 0

    def _tend(self) -> bool:
        """Looks after every seat. False when the server cannot even start."""
        now = time.monotonic()
        for post in self._posts:
            if post.process is not None and post.process.poll() is not None:
                if (post.process.returncode or 0) > 0 and not self._announced:
                    _LOG.error("process %d cannot start, and so neither can the server", post.slot)
                    return False
                self._ended(post, now)
            if post.process is None and now >= post.due:
                self._start(post, now)
        if now - self._looked > self._every:
            self._looked = now
            self._look()
        serving = self._board.serving()
        if serving and not self._announced:
            self._announced = True
            self._announce()
        if len(serving) == len(self._posts) and not self._ready:
            self._ready = True
            notify("READY=1")
        return True

    def _look(self) -> None:
        """Kills what hangs. It is looks that are counted, not seconds: on a machine that sleeps, nobody has hung."""
        for post in self._posts:
            pulse = self._board.pulse(post.slot)
            post.still = post.still + 1 if pulse == post.pulse and post.process is not None else 0
            post.pulse = pulse
            if post.still > _LOOKS and post.process is not None:
                _LOG.error("process %d (pid %d) hangs: it is killed", post.slot, post.process.pid)
                post.process.kill()
                post.still = 0

    def _start(self, post: _Post, now: float) -> None:
        seat = Seat(
            slot=post.slot,
            count=len(self._posts),
            turn=self._board.starts(post.slot) + 1,
            born=self._born,
            began=self._began,
            listening=self._listening.fileno(),
            board=self._board.descriptor,
            marks=self._marks.descriptor,
            held=self._locks,
            grpc_port=0 if self._grpc is None else self._grpc.getsockname()[1],
        )
        self._board.enter(post.slot)
        try:
            post.process = fork(lambda: self._hand_over(seat), close=self._own)
        except OSError as error:  # no room for another process, or no memory: the others serve on
            self._board.leave(post.slot)
            pause = self._put_off(post, now)
            _LOG.error("process %d cannot be started: %s; tried again in %g s", post.slot, error.strerror, pause)
            return
        self._board.name(post.slot, post.process.pid)
        post.since, post.still = now, 0

    def _hand_over(self, seat: Seat) -> int:
        """In the new process."""
        self._listening.detach()  # the seat's now
        os.environ.pop("NOTIFY_SOCKET", None)  # the service manager hears from the supervisor
        return self._become(seat)

    def _ended(self, post: _Post, now: float) -> None:
        """Clears the seat of a process that has ended, and says when it is taken again."""
        assert post.process is not None
        code, pid, turn = post.process.wait(), post.process.pid, self._board.starts(post.slot)
        post.process = None
        self._board.leave(post.slot)
        self._tally.fold(tally_name(post.slot, turn))
        if now - post.since >= _STEADY:
            post.failures, post.due, pause = 0, now, 0.0
        else:
            pause = self._put_off(post, now)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"has ended with {code}"
        told = "at once" if not pause else f"in {pause:g} s"
        _LOG.warning("process %d (pid %d) %s; another takes its place %s", post.slot, pid, how, told)

    def _put_off(self, post: _Post, now: float) -> float:
        """Once more it did not do for long: seconds until it is tried again."""
        post.failures += 1
        pause = pause_after(post.failures)
        post.due = now + pause
        return pause

    def _announce(self) -> None:
        host, port = self._listening.getsockname()[:2]
        info = ServerInfo(
            pid=os.getpid(),
            host=host,
            port=port,
            started=datetime.now(UTC),
            tls=bool(self._config.tls_cert),
            grpc_port=None if self._grpc is None else self._grpc.getsockname()[1],
            systems=self._systems,
        )
        announce(self._layouts, info)
        _LOG.info("%d processes share %s", len(self._posts), info.url)

    def _pause(self) -> float:
        """How long to wait for a signal, in seconds."""
        if not self._ready:
            return _SOON
        pauses = [max(post.due - time.monotonic(), 0.0) for post in self._posts if post.process is None]
        return min([*pauses, _LOOK if self._parent else self._every])

    def _stop(self) -> None:
        """Ends all processes, in order within the time-out, by force after it."""
        self._over = True
        notify("STOPPING=1")
        self._listening.close()  # from here on it is the processes' alone: the last one to close it closes the address
        self._pass_on(signal.SIGTERM)
        until = time.monotonic() + _GRACE
        for post in self._posts:
            if post.process is None:
                continue
            try:
                post.process.wait(max(until - time.monotonic(), 0.0))
            except TimeoutExpired:
                _LOG.error("process %d (pid %d) does not end: it is killed", post.slot, post.process.pid)
                post.process.kill()
                post.process.wait()

    def _end(self, _: int, __: FrameType | None) -> None:
        self._over = True

    def _ask(self, _: int, __: FrameType | None) -> None:
        """Settings are to be read again: noted, since a signal comes at any moment, and one at which a process is being
        looked after is none to send it something."""
        self._asked = True

    def _read_again(self) -> None:
        reloading()
        self._pass_on(signal.SIGHUP)
        notify("READY=1")

    def _pass_on(self, number: signal.Signals) -> None:
        for post in self._posts:
            if post.process is not None:
                post.process.send_signal(number)


def pause_after(failures: int) -> float:
    """Seconds until a process is started again after so many failures in a row."""
    return float(min(_FIRST_PAUSE * 2 ** min(failures - 1, 60), _LONGEST_PAUSE))


def _nothing(_: int, __: FrameType | None) -> None:
    """A child has ended: that the wait was interrupted is all that is wanted."""


def _reserve(config: ServerConfig, before: int) -> socket.socket | None:
    """A socket that keeps gRPC's port for the processes, which all bind it; for port 0 the port `before` where it is
    free. Nobody listens on this one."""
    if config.grpc_port is None:
        return None
    wanted = config.grpc_port
    for port in (before, 0) if wanted == 0 and before else (wanted,):
        sock = socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            sock.bind((config.host, port))
        except OSError:
            sock.close()
        else:
            return sock
    raise PermanentError(
        f"cannot listen at {config.host}:{wanted} for gRPC", hint="is another server there? see grpc_port"
    )
