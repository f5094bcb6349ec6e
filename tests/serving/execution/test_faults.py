"""A fault of ours in one question: its caller is told, and nobody else notices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.serving import models
from tests.serving.execution.inside import REGRESSION, Inside, row, told

from trimtab.serving.telemetry.writing.commits import GroupCommit

CODE = "def features(rows):\n    return rows\n"


def _broken(*_: object) -> bytes:
    raise ZeroDivisionError("a fault of ours")


@pytest.mark.parametrize("code", [None, CODE])
def test_an_answer_that_cannot_be_put_together_spoils_no_other(tmp_path: Path, code: str | None) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        made = models.bundle(inside.blobs, models.linear([1.0, 0.0]), REGRESSION, code)
        inside.route(models.route("r1", made))
        asked = [inside.ask([row(float(number))]) for number in range(5)]
        spoilt = inside.ask([row(9.0)], render=_broken)
        asked += [inside.ask([row(float(number))]) for number in range(5, 10)]
        await told([*asked, spoilt])
        assert spoilt.status == 500
        assert [one.scores for one in asked] == [[float(number)] for number in range(10)]
        assert inside.batcher.waiting == 0
        inside.close()

    asyncio.run(main())


@pytest.mark.parametrize("synced", [False, True], ids=["at once", "once on the disk"])
def test_what_was_kept_and_cannot_be_answered_is_told_and_may_be_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: bool
) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(models.route("r1", models.bundle(inside.blobs, models.linear([1.0, 0.0]), REGRESSION)))
        if synced:
            inside.book.commits = GroupCommit(asyncio.get_running_loop(), inside.telemetry.sync)
        monkeypatch.setattr("trimtab.serving.execution.settling.answers_of", _broken)
        asked = [inside.ask([row(3.0)], ["a"]), inside.ask([row(3.0)], ["a"]), inside.ask([row(4.0)])]
        await told(asked, 2.0)
        assert [one.status for one in asked] == [500] * 3
        assert [one.times for one in asked] == [1] * 3
        monkeypatch.undo()
        again = inside.ask([row(3.0)], ["a"])
        await told([again], 2.0)
        assert again.scores == [3.0]
        assert inside.batcher.waiting == 0
        if inside.book.commits is not None:
            inside.book.commits.close()
        inside.close()

    asyncio.run(main())


@pytest.mark.parametrize("code", [None, CODE])
def test_a_fault_on_the_way_is_told_to_whom_it_concerns(
    tmp_path: Path, code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        made = models.bundle(inside.blobs, models.linear([1.0, 0.0]), REGRESSION, code)
        inside.route(models.route("r1", made))
        monkeypatch.setattr(inside.book, "answered", _broken)
        asked = [inside.ask([row(float(number))]) for number in range(5)]
        await told(asked)
        assert {one.status for one in asked} == {500}
        assert {one.times for one in asked} == {1}
        monkeypatch.undo()
        fine = inside.ask([row(3.0)])
        await told([fine])
        assert fine.scores == [3.0]
        assert inside.batcher.waiting == 0
        inside.close()

    asyncio.run(main())
