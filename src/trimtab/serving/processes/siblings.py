"""What a process asks the others that serve with it."""

from __future__ import annotations

import asyncio

import msgspec

from trimtab.errors import TemporaryError
from trimtab.serving.processes.seat import Seat
from trimtab.serving.processes.wire import Answer, Folder, Line, listen

AGAIN = "again"  # whether a process knows the answer to a question with ids of its own
_SILENT = 2.0
_PATIENCE = 5.0
_PAUSE = 0.05


class Siblings:
    """The other processes of this server."""

    def __init__(self, seat: Seat, folder: Folder) -> None:
        self._seat = seat
        self._folder = folder
        self._lines = {slot: Line(folder, f"{slot}.sock") for slot in range(seat.count) if slot != seat.slot}
        self._listening: asyncio.Server | None = None

    async def open(self, answer: Answer) -> None:
        """Answers the others from here on."""
        self._listening = await listen(self._folder, f"{self._seat.slot}.sock", answer)

    def close(self) -> None:
        """Neither asks nor answers any more."""
        if self._listening is not None:
            self._listening.close()
        for line in self._lines.values():
            line.close()

    async def ask(self, verb: str, body: bytes = b"") -> dict[int, bytes | None]:
        """Answers by seat. A process that is not there is left out; None stands for one that says nothing in time."""

        async def one(slot: int, line: Line) -> tuple[int, bytes | None] | None:
            try:
                async with asyncio.timeout(_SILENT):
                    return slot, await line.ask(verb, body)
            except TimeoutError:
                return slot, None
            except OSError:
                return None

        found = await asyncio.gather(*(one(slot, line) for slot, line in self._lines.items()))
        return dict(answer for answer in found if answer is not None)

    async def ask_one(self, slot: int, verb: str, body: bytes, patience: float) -> bytes | None:
        """The answer of one of them; None where it is not there, does not know, or says nothing for `patience`
        seconds."""
        try:
            async with asyncio.timeout(patience):
                return await self._lines[slot].ask(verb, body)
        except (OSError, TimeoutError):
            return None

    async def ask_each(self, verb: str, body: bytes) -> list[bytes]:
        """The answers of all of them; one that has died is waited for until another has its seat. Raises TemporaryError
        when one does not answer in time."""

        async def one(slot: int, line: Line) -> bytes:
            try:
                async with asyncio.timeout(_PATIENCE):
                    while True:
                        try:
                            return await line.ask(verb, body)
                        except OSError:
                            await asyncio.sleep(_PAUSE)
            except TimeoutError:
                raise TemporaryError(f"process {slot} of this server does not answer", delay=1.0) from None

        return await asyncio.gather(*(one(slot, line) for slot, line in self._lines.items()))


async def asked_again(siblings: Siblings, system: str, slot: int, mark: bytes, patience: float) -> bytes | None:
    """What the process on a seat knows of a question, as its `Elsewhere` tells it."""
    return await siblings.ask_one(slot, AGAIN, msgspec.msgpack.encode((system, mark)), patience)
