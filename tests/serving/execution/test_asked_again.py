"""The same question while its answer is due, here or in another process: scored, kept and counted once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.serving import models
from tests.serving.execution.inside import REGRESSION, Inside, Listener, row, told

from trimtab.serving.execution.lane import Limits
from trimtab.serving.processes.marks import Marks, new_marks
from trimtab.serving.telemetry.writing.commits import GroupCommit

SLOW = "import time\ndef features(rows):\n    time.sleep(0.4)\n    return rows\n"


def made(inside: Inside, code: str | None = None) -> models.ModelBundle:
    return models.bundle(inside.blobs, models.linear([1.0, 0.0], 1.0), REGRESSION, code)


def counted(inside: Inside, release: str = "r1") -> tuple[int, int]:
    """Rows that were scored and kept, and rows that were told again."""
    return inside.book.metrics.of(release).rows["live"], inside.book.metrics.repeated


def slowly_kept(inside: Inside, seconds: float) -> None:
    """An answer goes out once its row is on the disk, which takes so long."""

    def sync() -> None:
        time.sleep(seconds)
        inside.telemetry.sync()

    inside.book.commits = GroupCommit(asyncio.get_running_loop(), sync)


def stop(inside: Inside) -> None:
    assert inside.book.commits is not None
    inside.book.commits.close()


def test_a_retry_while_its_answer_is_brought_to_the_disk_is_kept_once(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        slowly_kept(inside, 0.3)
        inside.route(models.route("r1", made(inside)))
        asked = [inside.ask([row(1.0)], ["a"]) for _ in range(2)]
        for _ in range(3):
            await asyncio.sleep(0.01)
            asked.append(inside.ask([row(1.0)], ["a"]))
        assert not any(one.told for one in asked)
        await told(asked)
        assert all(one.body == asked[0].body for one in asked)
        assert counted(inside) == (1, 4)
        assert inside.reader().duplicates == 0
        assert inside.batcher.waiting == 0
        stop(inside)
        inside.close()

    asyncio.run(main())


def test_who_asks_again_hears_why_there_is_no_answer(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path, threads=2)
        inside.route(models.route("r1", made(inside, SLOW.replace("return rows", "raise ValueError('no')"))))
        asked = [inside.ask([row(1.0)], ["a"])]
        await asyncio.sleep(0.02)
        asked.append(inside.ask([row(1.0)], ["a"]))
        await told(asked)
        assert [one.status for one in asked] == [500, 500]
        assert inside.batcher.waiting == 0
        inside.close()

    asyncio.run(main())


def test_one_who_has_no_time_or_is_gone_leaves_the_answer_to_the_others(tmp_path: Path) -> None:
    """Whoever was first: the others are answered, and what was asked is kept once."""

    async def main() -> None:
        inside = Inside(tmp_path, threads=1, limits=Limits(wait=10.0))
        inside.route(models.route("r1", made(inside, SLOW)))
        before = inside.ask([row(9.0)])
        await asyncio.sleep(0.02)
        hasty = inside.ask([row(1.0)], ["a"], deadline=time.perf_counter() + 5.0)
        left, patient, late = (inside.ask([row(1.0)], ["a"]) for _ in range(3))
        assert inside.batcher.waiting == 5
        hasty.question.deadline = time.perf_counter() + 0.02
        left.gone = True
        quick = inside.ask([row(1.0)], ["a"], deadline=time.perf_counter() + 0.02)
        await told([before, hasty, patient, late, quick])
        assert [one.status for one in (hasty, quick)] == [504, 504]
        assert quick.at < before.at, "at its time, not when the model is free"
        assert patient.scores == late.scores == [2.0]
        assert patient.body == late.body
        assert [one.times for one in (hasty, patient, late, quick)] == [1] * 4
        assert counted(inside)[0] == 2
        assert inside.reader().duplicates == 0
        assert inside.batcher.waiting == 0
        inside.close()

    asyncio.run(main())


class Two:
    """Two processes of one server, but for the wire between them."""

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        self.those = [Inside(root / name, threads=1, limits=limits) for name in ("0", "1")]
        shared = new_marks(2)
        self.hangs = False
        self.told = [
            one.batcher.join(slot, Marks(shared.descriptor, 2), self._ask) for slot, one in enumerate(self.those)
        ]

    async def _ask(self, slot: int, mark: bytes, patience: float = 0.25) -> bytes | None:
        await asyncio.sleep(patience if self.hangs else 0.0)
        return None if self.hangs else self.told[slot].tell(mark)

    def close(self) -> None:
        for one in self.those:
            one.close()


def test_who_leaves_while_another_process_has_the_question_costs_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        two = Two(tmp_path)
        first, second = two.those
        for inside in two.those:
            inside.route(models.route("r1", made(inside)))
        slowly_kept(first, 0.4)
        asked = first.ask([row(1.0)], ["a"])
        await asyncio.sleep(0.02)
        again = second.ask([row(1.0)], ["a"])
        hasty = second.ask([row(1.0)], ["a"], deadline=time.perf_counter() + 0.03)
        again.gone = True
        await told([asked, hasty])
        assert hasty.status == 504
        assert hasty.at < asked.at
        await asyncio.sleep(0.05)
        assert counted(first) == (1, 0)
        assert counted(second) == (0, 0)
        assert second.book.metrics.of("r1").cancelled == 1
        assert second.batcher.waiting == 0
        stop(first)
        two.close()

    asyncio.run(main())


def test_a_process_that_says_nothing_takes_no_more_than_half_of_the_time(tmp_path: Path) -> None:
    async def main() -> None:
        two = Two(tmp_path)
        first, second = two.those
        for inside in two.those:
            inside.route(models.route("r1", made(inside)))
        await told([first.ask([row(1.0)], ["a"])])
        two.hangs = True
        again = second.ask([row(1.0)], ["a"], deadline=time.perf_counter() + 0.4)
        await told([again])
        assert again.scores == [2.0]
        two.close()

    asyncio.run(main())


def test_an_answer_of_a_release_that_was_never_in_force_here_is_told_all_the_same(tmp_path: Path) -> None:
    """The other process has its new model a moment, or for a large one seconds, sooner."""

    async def main() -> None:
        two = Two(tmp_path)
        first, second = two.those
        for inside in two.those:
            inside.route(models.route("r1", made(inside)))
        newer = models.bundle(first.blobs, models.linear([1.0, 0.0], 5.0), REGRESSION)
        first.route(models.route("r2", newer))
        asked = first.ask([row(1.0)], ["a"])
        await told([asked])
        again = second.ask([row(1.0)], ["a"])
        await told([again])
        assert again.body == asked.body
        assert again.releases == ["r2"]
        assert counted(second) == (0, 1)
        two.close()

    asyncio.run(main())


def test_an_answer_that_cannot_be_read_is_made_again(tmp_path: Path) -> None:
    async def main() -> None:
        two = Two(tmp_path)
        first, second = two.those
        for inside in two.those:
            inside.route(models.route("r1", made(inside)))
        await told([first.ask([row(1.0)], ["a"])])
        two.told[0].tell = lambda _: b"+\xc1"  # type: ignore[method-assign]
        asked: list[Listener] = [second.ask([row(1.0)], ["a"]) for _ in range(2)]
        await told(asked)
        assert [one.scores for one in asked] == [[2.0]] * 2
        assert counted(second) == (1, 1)
        assert second.batcher.waiting == 0
        two.close()

    asyncio.run(main())
