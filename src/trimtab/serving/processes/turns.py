"""Who of several processes takes the next connection, so that none does the work of all while the others are idle.

Connections that stay are evened out by how many each process has; those that come and go with a request, by how many
each took lately. One that is ahead lets a turn go by, some milliseconds, until another has taken what waits. A turn
that nobody used is a shorter one the next time, and none soon: a process that hangs, or has no time, costs callers
a few milliseconds five times a second and not a turn for each connection.
"""

from __future__ import annotations

from trimtab.serving.processes.board import SERVING, Board

STEP = 0.001  # seconds after which one that lets others go first looks again
_LONGEST = 4  # steps of a turn: the others may have to be woken first
_BRIEF = 0.1  # seconds: a connection that ends sooner evens itself out
_CHURN = 16  # brief connections since the last look: above it they are counted as they are taken
_LEAD = 16  # brief connections, and half as many as another took, that one may be ahead: where all are busy it is luck
_MANY = 8  # the same of the connections there are, some of which may stay
_LASTING = 5  # looks, a second: who has too many connections for so long asks some callers to come again
_AT_ONCE = 8
_WHOLE = 0xFFFFFFFF


class Turns:
    """Those of the process on seat `slot`. It belongs to its event loop."""

    def __init__(self, board: Board, slot: int) -> None:
        self._board = board
        self._slot = slot
        self._patience = self._left = _LONGEST
        self._brief = 0
        self._uneven = 0
        self._since = [board.taken(seat) for seat in range(board.count)]
        self._elsewhere = 0

    @property
    def churns(self) -> bool:
        """Whether callers come with a connection for each request."""
        return self._brief >= _CHURN

    def leaves(self, here: int) -> bool:
        """Whether to leave a connection that waits to the others for a step. `here`: connections there are."""
        if not self._patience or not self._ahead(here):
            return False
        self._left = self._patience
        self._elsewhere = self._taken_elsewhere()
        return True

    def goes_on(self, here: int) -> bool:
        """After a step: whether to wait for another."""
        self._left -= 1
        if self._taken_elsewhere() != self._elsewhere:
            self._patience = _LONGEST
            return False
        if not self._left:
            self._patience //= 2
        return self._left > 0 and self._ahead(here)

    def ended(self, age: float) -> None:
        """A connection has ended, after `age` seconds."""
        if age < _BRIEF:
            self._brief += 1

    def look(self, here: int) -> int:
        """To be called about five times a second; how many of the connections `here` should move to others."""
        churned, self._brief, self._patience = self.churns, 0, _LONGEST
        for seat in range(self._board.count):
            self._since[seat] = (self._board.taken(seat) - self._lately(seat) // 2) & _WHOLE
        share = self._board.fair_share()
        extra = here - share - (share // 4 if churned else 0)  # those that come and go are never quite even
        self._uneven = self._uneven + 1 if extra > 0 else 0
        return min(extra, _AT_ONCE) if self._uneven >= _LASTING else 0

    def _ahead(self, here: int) -> bool:
        fewest = self._board.fewest_elsewhere(self._slot)
        if not self.churns:
            return here > fewest
        least = self._least_lately()
        return self._lately(self._slot) > least + least // 2 + _LEAD or here > fewest + fewest // 2 + _MANY

    def _lately(self, seat: int) -> int:
        return (self._board.taken(seat) - self._since[seat]) & _WHOLE

    def _least_lately(self) -> int:
        board = self._board
        others = [seat for seat in range(board.count) if seat != self._slot and board.state(seat) == SERVING]
        return min(map(self._lately, others), default=_WHOLE)

    def _taken_elsewhere(self) -> int:
        return sum(self._board.taken(seat) for seat in range(self._board.count) if seat != self._slot)
