"""Takes connections from one listening socket that several processes share, so that each has about as many.

The socket is inherited, not opened by each (SO_REUSEPORT): its queue belongs to all of them, so that a connection that
waits there is taken by whoever is free, also when a process dies, hangs or ends. Left to itself the kernel would give
most of a burst to the process that wakes first; therefore one that is ahead of another lets a turn go by (`turns.py`),
and takes the connection only when nobody has come for it. Where a process has more than its share for long all the
same, as after another has died, it asks some of its callers to come again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from ssl import SSLContext, SSLError

from trimtab.serving.processes.board import Board
from trimtab.serving.processes.turns import STEP, Turns

_LOG = logging.getLogger("trimtab.serving")
FAREWELL = 2.0  # seconds that a caller has to say goodbye over TLS
_MOST = 8  # connections that are taken in one go, after a turn
_FULL = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Acceptor:
    """Belongs to the event loop. `make` makes the protocol of a connection; `had` tells how many there are here, and
    `move` asks so many of their callers to come again. `handshake` is how long a TLS handshake may take, in seconds."""

    def __init__(
        self,
        sock: socket.socket,
        make: Callable[[], asyncio.BaseProtocol],
        board: Board,
        slot: int,
        had: Callable[[], int],
        *,
        move: Callable[[int], None],
        ssl: SSLContext | None = None,
        handshake: float = 5.0,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._make = make
        self._board = board
        self._slot = slot
        self._had = had
        self._move = move
        self._turns = Turns(board, slot)
        self._ssl = ssl
        self._handshake = handshake
        self._open = self._full = False
        self._entering: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Takes connections from here on."""
        self._open = True
        self._listen()

    def close(self) -> None:
        """Takes what waits in the queue, and no more."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock.fileno())
            while self._take():
                pass
        self._sock.close()

    @property
    def entering(self) -> int:
        """Connections that were taken and have not begun yet."""
        return len(self._entering)

    def ended(self, age: float) -> None:
        """A connection has ended, after `age` seconds."""
        self._board.count_connections(self._slot, self._had())
        self._turns.ended(age)

    def look(self) -> None:
        """To be called about five times a second."""
        here = self._had()
        self._board.count_connections(self._slot, here)
        extra = self._turns.look(here)
        if extra:
            self._move(extra)

    def _listen(self) -> None:
        if self._open and not self._full:
            self._loop.add_reader(self._sock.fileno(), self._called)

    def _listen_again(self) -> None:
        self._full = False
        self._listen()

    def _called(self) -> None:
        if self._turns.leaves(self._here()):
            self._loop.remove_reader(self._sock.fileno())
            self._loop.call_later(STEP, self._passed)
        else:
            self._take()

    def _passed(self) -> None:
        """A step was let go by."""
        if not self._open:
            return
        if self._turns.goes_on(self._here()):
            self._loop.call_later(STEP, self._passed)
            return
        for _ in range(_MOST if self._turns.churns else 1):
            if not self._take():
                break
        self._listen()

    def _here(self) -> int:
        return self._had() + len(self._entering)

    def _take(self) -> bool:
        try:
            sock = self._sock.accept()[0]
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in _FULL or not self._open:
                return False
            _LOG.error("a connection cannot be taken: %s", error.strerror)
            self._full = True
            self._loop.remove_reader(self._sock.fileno())
            self._loop.call_later(1.0, self._listen_again)
            return False
        self._board.take(self._slot)
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._enter(sock))
        self._entering.add(task)
        task.add_done_callback(self._entered)
        return True

    async def _enter(self, sock: socket.socket) -> None:
        try:
            if self._ssl is None:
                await self._loop.connect_accepted_socket(self._make, sock)
            else:
                await self._loop.connect_accepted_socket(
                    self._make,
                    sock,
                    ssl=self._ssl,
                    ssl_handshake_timeout=self._handshake,
                    ssl_shutdown_timeout=FAREWELL,
                )
        except (OSError, SSLError, TimeoutError):
            sock.close()  # the caller went away, or speaks no TLS

    def _entered(self, task: asyncio.Task[None]) -> None:
        self._entering.discard(task)
        self._board.count_connections(self._slot, self._here())
