"""Threads that are given up: real threads that really hang."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from trimtab.serving.execution.crew import MOST_GIVEN_UP, Crew, Job


class Heard:
    """What became of jobs."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.lost = 0
        self.returned = 0

    def job(self, run: Callable[[], Any]) -> Job:
        return Job(run, lambda result, _: self.done.append(result), self._lose)

    def back(self) -> None:
        self.returned += 1

    def _lose(self) -> None:
        self.lost += 1


async def _until(done: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.perf_counter() + seconds
    while not done():
        assert time.perf_counter() < end, "it did not come to pass in time"
        await asyncio.sleep(0.01)


def _spin() -> None:
    while True:  # Python code that never ends
        pass


def test_jobs_are_done_by_at_most_so_many_threads() -> None:
    async def main() -> None:
        heard = Heard()
        crew = Crew(asyncio.get_running_loop(), "test", 2, 10.0, heard.back)
        running, most, lock = 0, 0, threading.Lock()

        def work() -> int:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1
            return 7

        for _ in range(10):
            crew.give(heard.job(work))
        assert len(crew) == 10
        await _until(lambda: len(heard.done) == 10)
        assert heard.done == [7] * 10
        assert most == 2
        assert len(crew) == 0
        crew.close()

    asyncio.run(main())


def test_a_thread_in_a_library_is_given_up_and_replaced() -> None:
    async def main() -> None:
        heard, free = Heard(), threading.Event()
        crew = Crew(asyncio.get_running_loop(), "test", 1, 0.05, heard.back)
        crew.give(heard.job(lambda: free.wait(30)))
        crew.give(heard.job(lambda: "next"))
        await _until(lambda: heard.done == ["next"])
        assert (heard.lost, crew.given_up) == (1, 1)
        free.set()
        await _until(lambda: crew.given_up == 0)
        assert heard.returned == 1
        assert heard.done == ["next"]  # what it came to in the end is told to nobody
        crew.close()

    asyncio.run(main())


def test_python_code_that_never_ends_is_stopped() -> None:
    async def main() -> None:
        heard = Heard()
        crew = Crew(asyncio.get_running_loop(), "spinning", 1, 0.05, heard.back)
        crew.give(heard.job(_spin))
        await _until(lambda: heard.returned == 1)
        assert (heard.lost, crew.given_up) == (1, 0)
        assert not any(thread.name == "spinning" for thread in threading.enumerate())
        crew.give(heard.job(lambda: "fine"))
        await _until(lambda: heard.done == ["fine"])
        crew.close()

    asyncio.run(main())


def test_no_more_than_so_many_threads_hang() -> None:
    async def main() -> None:
        heard, free = Heard(), threading.Event()
        crew = Crew(asyncio.get_running_loop(), "hanging", 2, 0.03, heard.back)
        for _ in range(20):
            crew.give(heard.job(lambda: free.wait(30)))
        await _until(lambda: heard.lost == 20)
        assert crew.stuck
        assert MOST_GIVEN_UP <= crew.given_up <= MOST_GIVEN_UP + 1
        assert sum(thread.name == "hanging" for thread in threading.enumerate()) == crew.given_up
        free.set()
        await _until(lambda: not crew.stuck and crew.given_up == 0)
        crew.give(heard.job(lambda: "again"))
        await _until(lambda: heard.done == ["again"])
        crew.close()

    asyncio.run(main())
