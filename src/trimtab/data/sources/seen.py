"""What a source of files remembers of each of them: the cursor that lies behind a page."""

from __future__ import annotations

import msgspec
from blake3 import blake3

_FORMAT = 1


class Seen(msgspec.Struct, array_like=True):
    """How far one file was read. A *pass* goes through it and gives the rows up to a moment; rows later than that are
    left for another pass.

    `at` is where the pass stands (bytes of text, or rows), `digest` of what lies before it (text only), `mark` the
    file's when that was so; empty when something was left at its end. `passed` is the end of what the passes before
    went through, giving every row up to `given`; the earliest they left is `later`, in the piece that begins at
    `start`. `now_...` is the same for the pass under way. Moments are in microseconds.
    """

    mark: str = ""
    at: int = 0
    digest: str = ""
    done: bool = False
    passed: int = 0
    given: int = 0
    later: int | None = None
    start: int = 0
    now_given: int = 0
    now_later: int | None = None
    now_start: int = 0

    def begin(self, at: int, until: int) -> None:
        """Begin a pass at a place before which nothing is left, or nothing that is asked for."""
        carried = at >= self.passed and self.later is not None
        self.at, self.done, self.now_given = at, False, until
        self.now_later, self.now_start = (self.later, self.start) if carried else (None, 0)

    def left(self, later: int, start: int) -> None:
        """The piece that begins at `start` has rows later than is asked for, the first of them at `later`."""
        if self.now_later is None:
            self.now_start = start  # pieces come in their order, and what is carried over lies before them
        self.now_later = later if self.now_later is None else min(later, self.now_later)

    def finish(self, mark: str) -> None:
        """The pass came to the end of the file."""
        self.mark, self.done, self.passed, self.given = mark, True, self.at, self.now_given
        self.later, self.start = self.now_later, self.now_start


class Memory:
    """Every file that was read, by a hash of its name."""

    def __init__(self, cursor: str) -> None:
        self._files: dict[str, Seen] = {}
        self._keys: dict[str, str] = {}
        try:
            version, files = msgspec.json.decode(cursor, type=tuple[int, dict[str, Seen]])
            self._files = files if version == _FORMAT else {}
        except msgspec.MsgspecError:
            pass  # nothing, or what another version wrote: from the beginning

    def of(self, name: str) -> Seen | None:
        """What is remembered of a file."""
        return self._files.get(self._key(name))

    def put(self, name: str, seen: Seen) -> None:
        """Remember a file."""
        self._files[self._key(name)] = seen

    def forget_all_but(self, names: list[str]) -> int:
        """Let go of files that are no longer there; says how many."""
        there = set(map(self._key, names))
        gone = [key for key in self._files if key not in there]
        for key in gone:
            del self._files[key]
        return len(gone)

    @property
    def cursor(self) -> str:
        """All of it as text."""
        return msgspec.json.encode((_FORMAT, self._files)).decode()

    def _key(self, name: str) -> str:
        if name not in self._keys:
            self._keys[name] = blake3(name.encode()).hexdigest()[:16]
        return self._keys[name]
