"""What the processes of one server can see of each other at a glance: a page of memory that they share."""

from __future__ import annotations

import mmap
from typing import Literal

from trimtab.serving.processes.shared_memory import shared_memory

State = Literal["empty", "starting", "serving", "ending"]
EMPTY, STARTING, SERVING, ENDING = range(4)
STATES: tuple[State, ...] = ("empty", "starting", "serving", "ending")
_WIDTH = 6
_STATE, _CONNECTIONS, _STARTS, _PID, _BEAT, _TAKEN = range(_WIDTH)


class Board:
    """A line a seat: what its process is doing, how many connections it has and how many were taken there, how often
    one has been started, its pid, and a number that changes for as long as it is well. A process writes its own line;
    the supervisor clears that of one that has ended. Reading asks for no lock: a number that is a moment old does no
    harm."""

    def __init__(self, descriptor: int, count: int) -> None:
        self.descriptor = descriptor
        self.count = count
        self._map = mmap.mmap(descriptor, _size(count))
        self._numbers = memoryview(self._map).cast("I")

    def enter(self, slot: int) -> None:
        """A process is about to be started on that seat."""
        place = slot * _WIDTH
        self._numbers[place + _CONNECTIONS] = 0
        self._numbers[place + _STARTS] += 1
        self._numbers[place + _STATE] = STARTING

    def name(self, slot: int, pid: int) -> None:
        """That is the process."""
        self._numbers[slot * _WIDTH + _PID] = pid

    def leave(self, slot: int) -> None:
        """The process on that seat has ended."""
        self._numbers[slot * _WIDTH + _STATE] = EMPTY
        self._numbers[slot * _WIDTH + _PID] = 0

    def tell(self, slot: int, state: int) -> None:
        """What the process is doing now."""
        self._numbers[slot * _WIDTH + _STATE] = state

    def beat(self, slot: int) -> None:
        """The process is well."""
        place = slot * _WIDTH + _BEAT
        self._numbers[place] = (self._numbers[place] + 1) & 0xFFFFFFFF

    def pulse(self, slot: int) -> int:
        """A number that changes for as long as the process is well."""
        return self._numbers[slot * _WIDTH + _BEAT]

    def count_connections(self, slot: int, connections: int) -> None:
        """How many connections it has now."""
        self._numbers[slot * _WIDTH + _CONNECTIONS] = connections

    def take(self, slot: int) -> None:
        """The process took a connection."""
        place = slot * _WIDTH + _TAKEN
        self._numbers[place] = (self._numbers[place] + 1) & 0xFFFFFFFF

    def taken(self, slot: int) -> int:
        """How many connections were taken on that seat, modulo 2^32."""
        return self._numbers[slot * _WIDTH + _TAKEN]

    def state(self, slot: int) -> int:
        """What the process on that seat is doing."""
        return self._numbers[slot * _WIDTH + _STATE]

    def connections(self, slot: int) -> int:
        """How many connections it has."""
        return self._numbers[slot * _WIDTH + _CONNECTIONS]

    def starts(self, slot: int) -> int:
        """How often a process was started on that seat."""
        return self._numbers[slot * _WIDTH + _STARTS]

    def pid(self, slot: int) -> int:
        """Its process, 0 while it is empty."""
        return self._numbers[slot * _WIDTH + _PID]

    def serving(self) -> list[int]:
        """The seats whose processes take connections."""
        return [slot for slot in range(self.count) if self.state(slot) == SERVING]

    def fair_share(self) -> int:
        """Connections that each serving process has when all have the same, rounded up."""
        serving = self.serving()
        return -(-sum(self.connections(slot) for slot in serving) // max(1, len(serving)))

    def fewest_elsewhere(self, slot: int) -> int:
        """The least number of connections that another serving process has; as many as can be where there is none."""
        numbers, least = self._numbers, 0xFFFFFFFF
        for other in range(self.count):
            place = other * _WIDTH
            if other != slot and numbers[place] == SERVING and numbers[place + _CONNECTIONS] < least:
                least = numbers[place + _CONNECTIONS]
        return least


def new_board(count: int) -> Board:
    """A board of empty seats, in memory that child processes may inherit."""
    return Board(shared_memory("trimtab-board", _size(count)), count)


def _size(count: int) -> int:
    return count * _WIDTH * 4
