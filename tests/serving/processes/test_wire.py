"""Questions between processes: answered in any order, over folders of any depth, failing when the other side ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from trimtab.errors import TemporaryError
from trimtab.serving.processes.seat import Seat
from trimtab.serving.processes.siblings import Siblings
from trimtab.serving.processes.wire import Folder, Line, listen


async def echo(verb: str, body: bytes) -> bytes:
    if verb == "slow":
        await asyncio.sleep(0.2)
    elif verb == "wrong":
        raise LookupError("nothing of that kind")
    return verb.encode() + b":" + body


def test_many_questions_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        folder = Folder(tmp_path / ("deep" * 20) / ("deeper" * 20))  # longer than any socket's path may be
        server = await listen(folder, "0.sock", echo)
        line = Line(folder, "0.sock")
        bodies = [bytes([number]) * number * 1000 for number in range(1, 200)]
        slow = asyncio.create_task(line.ask("slow", b"x"))
        answers = await asyncio.gather(*(line.ask("quick", body) for body in bodies))
        assert not slow.done()
        assert answers == [b"quick:" + body for body in bodies]
        assert await slow == b"slow:x"
        with pytest.raises(OSError, match="nothing of that kind"):
            await line.ask("wrong", b"")
        line.close()
        server.close()

    asyncio.run(work())


def test_who_ends_leaves_nobody_waiting(tmp_path: Path) -> None:
    async def work() -> None:
        folder = Folder(tmp_path)
        line = Line(folder, "0.sock")
        with pytest.raises(OSError):
            await line.ask("quick", b"")
        server = await listen(folder, "0.sock", echo)
        assert await line.ask("quick", b"1") == b"quick:1"
        asked = asyncio.create_task(line.ask("slow", b""))
        await asyncio.sleep(0.05)
        server.close()
        line.close()
        with pytest.raises(OSError):
            await asked
        again = await listen(folder, "0.sock", echo)  # another takes its place
        assert await line.ask("quick", b"2") == b"quick:2"
        again.close()
        line.close()

    asyncio.run(work())


def test_siblings_are_asked_all_or_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.serving.processes.siblings._PATIENCE", 0.3)

    async def work() -> None:
        folder = Folder(tmp_path)
        some = [Siblings(Seat(slot=slot, count=3), folder) for slot in range(3)]
        await some[0].open(echo)
        await some[1].open(echo)
        assert await some[0].ask("quick", b"x") == {1: b"quick:x"}  # 2 is not there
        with pytest.raises(TemporaryError, match="process 2 of this server does not answer"):
            await some[0].ask_each("quick", b"x")
        waiting = asyncio.create_task(some[0].ask_each("quick", b"y"))
        await asyncio.sleep(0.1)
        await some[2].open(echo)
        assert await waiting == [b"quick:y", b"quick:y"]
        for one in some:
            one.close()

    asyncio.run(work())
