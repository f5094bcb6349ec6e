"""Everybody who is connected to a process, and how much memory their requests may take together."""

from __future__ import annotations

from itertools import islice
from typing import Protocol

from trimtab.records.server import ServerConfig
from trimtab.serving.access.seldom import Seldom
from trimtab.serving.refusals import RefusalError

_LATELY = 1.0  # seconds: who waits for longer is idle


class Guest(Protocol):
    """One who is connected. `since` is when its present wait began (0: since the last sweep), `parts` whether it was
    asked to come again, `gone` whether its last answer has been sent."""

    since: float
    parts: bool

    @property
    def gone(self) -> bool:
        """Whether an answer would reach nobody."""
        ...

    def part(self) -> None:
        """Asks the caller to come again with another connection: the next answer says that it ends this one."""
        ...

    def sweep(self, now: float) -> None:
        """Closes what has waited too long; called a few times a second."""
        ...

    def drain(self) -> None:
        """The server is going: closes the connection once nothing is due."""
        ...


class Crowd:
    """`connections` are all there are, and `most` how many there may be; `seldom` tells the log of those who are at the
    wrong port. Belongs to the event loop."""

    def __init__(self, config: ServerConfig) -> None:
        self.connections: set[Guest] = set()
        self.most = config.max_connections
        self.seldom = Seldom()
        self._config = config
        self._room = max(config.max_held, config.max_body)
        self._of: dict[str, int] = {}

    @property
    def room(self) -> int:
        """Bytes that large bodies may still take."""
        return self._room

    def enter(self, connection: Guest, address: str) -> None:
        """One more, from that address. Raises RefusalError (503) when there are too many; it counts until it leaves all
        the same."""
        self.connections.add(connection)
        of = self._of[address] = self._of.get(address, 0) + 1
        config = self._config
        if len(self.connections) > self.most:
            raise RefusalError(503, f"more than {self.most:,} connections", retry_after=1.0)
        if of > config.max_connections_per_address:
            most = config.max_connections_per_address
            raise RefusalError(503, f"more than {most:,} connections from {address}", retry_after=1.0)

    @property
    def overrun(self) -> bool:
        """Whether so many are told that there are too many that not even that can be told to more."""
        return len(self.connections) > self.most + self.most // 4 + 1

    def leave(self, connection: Guest, address: str) -> None:
        """One less."""
        self.connections.discard(connection)
        if self._of[address] == 1:
            del self._of[address]
        else:
            self._of[address] -= 1

    def move(self, count: int, now: float) -> None:
        """Has so many callers come again, those that left included. Only who asks now: whoever is idle does no harm
        here."""
        count -= sum(one.parts for one in self.connections)
        asking = (one for one in self.connections if not one.since or now - one.since < _LATELY)
        for one in islice((one for one in asking if not (one.parts or one.gone)), max(0, count)):
            one.part()

    def reserve(self, size: int) -> bool:
        """Room for so many bytes of a body; false when there is none."""
        if size > self._room:
            return False
        self._room -= size
        return True

    def release(self, size: int) -> None:
        """They are no longer held."""
        self._room += size


def no_room() -> RefusalError:
    """What a caller is told whose body finds no room."""
    return RefusalError(503, "the bodies of other requests take all the room there is", retry_after=1.0)
