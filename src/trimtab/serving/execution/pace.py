"""How fast a model turns out to be in operation, against what its profile promised."""

from __future__ import annotations

from trimtab.serving.execution.choice import longest
from trimtab.serving.routing.profile import Profile

_SMOOTH = 0.1
_SLOW = 0.001  # a batch on the loop is slow when it takes longer than this, and than four times what was promised
_TIMES = 4.0
_KNOWN = 4.0  # a model that takes longer than so many times what was promised is another than was measured
_LEAST_SLOW = 4
_WINDOW = 256
_CALM = 512  # batches in threads, as fast as promised, before a model that was moved there goes back to the loop


class Pace:
    """`drain`: seconds in which what waits gets shorter by one where much waits, all threads counted, and all that
    comes between. `batch`: the most rows of one batch, so that it is bounded in time also where the profile promised
    too much, and `span` the seconds that it takes a thread, as of late. `patience`: seconds that may be waited, which
    are `wait`, or for a slow model what a few batches take. `slow`: so many of the last batches on the loop were slow
    that the model should leave it. `calm`: a model that was moved to threads has been as fast as promised for long
    enough to go back; each move asks for twice as long the next time."""

    def __init__(self, profile: Profile, wait: float) -> None:
        self.drain = self.span = 0.0
        self.batch, self.patience = 1, wait
        self.slow = False
        self.calm = False
        self._profile = profile
        self._wait = wait
        self._largest = 1
        self._times = 1.0  # what batches take of late, as a share of what was promised for their size
        self._cost = 0.0  # seconds that a row takes of late
        self._turns = self._late = self._fast = self._moves = 0
        self._rows = self._time = self._since = 0.0
        self._row = 1.0  # seconds that a row of a full batch was promised to take

    def start(self, row: float, threads: int, largest: int, *, moved: bool) -> None:
        """It runs elsewhere now, in so many threads and batches of at most `largest` rows, where a row should take
        `row` seconds; `moved`: it was too slow for the loop."""
        self.drain = row / threads
        self._largest, self._times, self._cost = largest, 1.0, row
        self._reckon()
        self._rows = self._time = self._since = 0.0
        self.slow = self.calm = False
        self._turns = self._late = self._fast = 0
        self._moves += moved

    def ran_inline(self, rows: int, seconds: float) -> None:
        """A batch was scored on the loop."""
        self._turns += 1
        if seconds > _SLOW and seconds > _TIMES * self._profile.time(rows):
            self._late += 1
            self.slow = self._late >= _LEAST_SLOW and 4 * self._late >= self._turns
        if self._turns >= _WINDOW:
            self._turns //= 2
            self._late //= 2

    def ran(self, rows: int, seconds: float, now: float = 0.0, *, waiting: bool = False) -> None:
        """A batch was scored in a thread, and is back at `now`; `waiting`: more was there to be scored."""
        promised = self._profile.time(rows)
        self._times += _SMOOTH * (seconds / promised - self._times)
        self._cost += _SMOOTH * (seconds / rows - self._cost)
        self._reckon()
        if self._since:
            # the rows of a full batch in the time of this one: more would have been done
            full = promised / self._row if self._times <= _KNOWN else rows
            self._rows += full - _SMOOTH * self._rows
            self._time += now - self._since - _SMOOTH * self._time
            self.drain = self._time / self._rows
        self._since = now if waiting else 0.0
        if self._moves:
            fast = seconds <= max(_SLOW, _TIMES / 2 * promised)
            self._fast = self._fast + 1 if fast else self._fast // 2
            self.calm = self._fast >= _CALM << (self._moves - 1)

    def _reckon(self) -> None:
        if self._times > _KNOWN:  # nor is it sure that many rows cost what they were promised to beside one
            self.batch = min(self._largest, max(1, int(longest(self._profile) / self._cost)))
            self.span = self.batch * self._cost
        else:
            self.batch, self.span = self._promised()
            self._row = self._profile.time(self.batch) / self.batch
        self.patience = max(self._wait, 4 * self.span)

    def _promised(self) -> tuple[int, float]:
        """The most rows of a batch and its seconds, where the profile holds but for the times that all takes longer."""
        most, batch = longest(self._profile, self._times), self._largest
        span = self._times * self._profile.time(batch)
        while batch > 1 and span > most:
            beyond, batch = span, batch // 2
            span = self._times * self._profile.time(batch)
            if span <= most < beyond:  # somewhere between the two
                batch += int(batch * (most - span) / (beyond - span))
                span = self._times * self._profile.time(batch)
                break
        return batch, span
