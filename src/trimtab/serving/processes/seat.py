"""The place of one process among those that serve together."""

from __future__ import annotations

import time

from trimtab.records.base import Record


class Seat(Record, kw_only=True):
    """Seat `slot` of `count`, taken for the `turn`-th time (from 1) since the server was started, which was at `born`
    (nanoseconds since 1970; `began` by the clock that nobody sets). The others are descriptors that the supervisor
    hands down: the `listening` socket, the `board`, the `marks` of questions with ids of their own, and `held`, which
    keep the server's locks for as long as any of its processes lives. `grpc_port` is the port for gRPC, 0 where there
    is none."""

    slot: int = 0
    count: int = 1
    turn: int = 1
    born: int = 0
    began: int = 0
    listening: int = -1
    board: int = -1
    marks: int = -1
    held: tuple[int, ...] = ()
    grpc_port: int = 0

    @property
    def alone(self) -> bool:
        """Whether this is the server's only process."""
        return self.count == 1

    def new_run(self) -> int:
        """A number for what this process is going to write, unlike any other's: it tells the seat, too. Later ones are
        higher, also where the machine's clock is set back while the server runs."""
        now = self.born + time.monotonic_ns() - self.began if self.born else time.time_ns()
        return now - now % self.count + self.slot

    def inherits(self, run: int) -> bool:
        """Whether what `run` left behind, should it have died, is for this process to take up: what its own
        predecessors on this seat left; and for the first seat, what is from before this server was started."""
        return self.slot == (run % self.count if run >= self.born else 0)
