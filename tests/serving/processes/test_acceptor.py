"""Connections from a socket that processes share: what happens when one cannot be taken."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from trimtab.serving.processes.acceptor import Acceptor
from trimtab.serving.processes.board import SERVING, new_board


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process may open none."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open(os.devnull, os.O_RDONLY)  # the lowest number that is free
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, before[1]))
    os.close(spare)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("here", [0, 9], ids=["behind", "ahead"])
def test_one_that_has_no_room_for_a_connection_says_so_once_and_takes_it_later(
    caplog: pytest.LogCaptureFixture, here: int
) -> None:
    made: list[asyncio.Protocol] = []

    def make() -> asyncio.Protocol:
        made.append(asyncio.Protocol())
        return made[-1]

    async def main() -> None:
        board = new_board(2)
        for slot in (0, 1):
            board.tell(slot, SERVING)
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        acceptor = Acceptor(listening, make, board, 0, lambda: here, move=lambda _: None)
        with socket.create_connection(listening.getsockname()):
            with no_more_files():
                acceptor.open()
                await asyncio.sleep(0.3)
                said = [one for one in caplog.records if one.levelno == logging.ERROR]
                assert len(said) == 1, f"{len(said)} lines in 0.3 s"
                assert "a connection cannot be taken" in said[0].message
            await asyncio.sleep(1.0)
            assert len(made) == 1
        acceptor.close()

    asyncio.run(main())
