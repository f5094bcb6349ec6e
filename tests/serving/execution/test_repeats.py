"""The same question asked again: the same answer, kept and counted once, as long as it is remembered."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving import models
from tests.serving.execution.inside import REGRESSION, Inside, Listener, row, told

from trimtab.serving.execution.questions import Answers, Question
from trimtab.serving.execution.repeats import Repeats, mark_of
from trimtab.serving.refusals import RefusalError

SLOW = "import time\ndef features(rows):\n    time.sleep(0.05)\n    return rows\n"


def _made(inside: Inside, bias: float, code: str | None = None) -> models.ModelBundle:
    return models.bundle(inside.blobs, models.linear([1.0, 0.0], bias), REGRESSION, code)


def test_a_retry_gets_the_answer_it_missed(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(models.route("r1", _made(inside, 1.0)))
        rows, ids = [row(1.0), row(2.0)], ["a", "b"]
        first = inside.ask(rows, ids)
        await told([first])
        inside.route(models.route("r2", _made(inside, 5.0)))  # another release is live meanwhile
        again = inside.ask(rows, ids)
        assert again.body == first.body
        assert again.releases == ["r1", "r1"]
        assert len(inside.reader().predictions()) == 2
        assert inside.book.metrics.of("r1").rows["live"] == 2
        assert inside.book.metrics.repeated == 2
        assert inside.batcher.waiting == 0
        inside.close()

    asyncio.run(main())


def test_other_rows_under_an_old_id_are_a_question_of_their_own(tmp_path: Path) -> None:
    """A flight that is asked about every hour keeps its id: what is known of it changes, and so may the answer."""

    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(models.route("r1", _made(inside, 1.0)))
        morning = inside.ask([row(1.0)], ["flight-7"])
        noon = inside.ask([row(2.0)], ["flight-7"])
        await told([morning, noon])
        assert (morning.scores, noon.scores) == ([2.0], [3.0])
        assert inside.book.metrics.repeated == 0
        assert inside.reader().predictions()["score"].to_list() == [2.0]  # the telemetry keeps an id once: the first
        inside.close()

    asyncio.run(main())


def test_a_retry_that_overtakes_its_answer_is_kept_once(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path, threads=2)
        inside.route(models.route("r1", _made(inside, 1.0, SLOW)))
        asked: list[Listener] = []
        for _ in range(5):
            asked.append(inside.ask([row(1.0)], ["a"]))
            await asyncio.sleep(0.01)
        await told(asked)
        assert all(one.body == asked[0].body for one in asked)
        assert inside.book.metrics.of("r1").rows["live"] == 1
        assert inside.book.metrics.repeated == 4
        frame = inside.reader()
        assert len(frame.predictions()) == 1
        assert frame.duplicates == 0  # not even on disk
        inside.close()

    asyncio.run(main())


def test_two_of_the_same_in_one_batch_are_kept_once(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(models.route("r1", _made(inside, 1.0)))
        asked = [inside.ask([row(float(number % 3))], [f"id-{number % 3}"]) for number in range(9)]
        await told(asked)
        assert [one.scores for one in asked] == [[number % 3 + 1.0] for number in range(9)]
        assert inside.book.metrics.of("r1").rows["live"] == 3
        assert inside.book.metrics.repeated == 6
        assert inside.reader().duplicates == 0
        inside.close()

    asyncio.run(main())


def test_a_release_with_other_code_is_no_reason_to_score_it_again(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(models.route("r1", _made(inside, 1.0, SLOW)))
        first = inside.ask([row(1.0)], ["a"])
        await told([first])
        inside.route(models.route("r2", _made(inside, 5.0, SLOW.replace("0.05", "0.04"))))
        again = inside.ask([row(1.0)], ["a"])
        await told([again])
        assert again.body == first.body
        assert inside.book.metrics.of("r2").rows["live"] == 0
        inside.close()

    asyncio.run(main())


def test_a_version_asked_for_by_name_is_another_question(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(models.route("r1", _made(inside, 1.0)), models.route("r2", _made(inside, 5.0), "canary", 0.0))
        usual = inside.ask([row(1.0)], ["a"])
        await told([usual])
        canary = inside.fleet.canaries[0]
        named = inside.ask([row(1.0)], ["a"], target=canary, pinned=True)
        await told([named])
        assert (usual.scores, named.scores) == ([2.0], [6.0])
        inside.close()

    asyncio.run(main())


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4), st.floats(0, 5)), max_size=60))
def test_memory_is_bounded_in_bytes_and_time(asked: list[tuple[int, int, float]]) -> None:
    now = 0.0
    repeats = Repeats(room=8_000, age=10.0, clock=lambda: now)
    kept: dict[int, tuple[float, int]] = {}
    for name, count, pause in asked:
        now += pause
        question = _marked(name, count)
        found = repeats.recall(question.mark)
        if found is not None:
            assert now - kept[name][0] <= 10.0
            assert len(found.scores) == kept[name][1]
            continue
        repeats.keep(question, Answers([b"1"] * count, [b""] * count, []), 0)
        kept[name] = now, count
        assert 0 < repeats.size <= 8_000
        assert repeats.recall(question.mark) is not None
    now += 11.0
    repeats.forget()
    assert repeats.size == 0


def test_what_a_caller_missed_is_told_for_half_a_minute_at_least() -> None:
    now = 0.0
    repeats = Repeats(clock=lambda: now)
    for second in range(200):
        now = float(second)
        repeats.keep(_marked(second), _one_row(), 0)
        assert repeats.recall(_marked(max(second - 30, 0)).mark) is not None
        assert repeats.recall(_marked(second - 61).mark) is None


def test_remembering_takes_no_more_memory_than_it_says() -> None:
    """A hundred thousand questions of one row, and large outputs of a model of the user's own."""
    repeats, answers = Repeats(), _one_row()
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(100_000):
            question = _marked(0)
            question.mark = number.to_bytes(16, "little")
            repeats.keep(question, answers, 0)
        taken = tracemalloc.get_traced_memory()[0]
        assert 2_000_000 < repeats.size <= 4 * 2**20
        assert taken < 5 * 2**20
        for number in range(300):
            mask = Answers([b""], [b""], [answers.releases[0]], [{"mask": np.zeros((200, 200), np.float32)}])
            repeats.keep(_marked(number), mask, 0)
        assert repeats.recall(_marked(299).mark).named[0]["mask"].shape == (200, 200)  # type: ignore[union-attr, index]
        assert tracemalloc.get_traced_memory()[0] < 5 * 2**20
    finally:
        tracemalloc.stop()


def test_an_answer_that_would_take_all_the_room_is_not_remembered() -> None:
    repeats, few = Repeats(), _one_row()
    repeats.keep(_marked(1), few, 0)
    large = Answers([b""], [b""], [few.releases[0]], [{"mask": np.zeros((1000, 1000), np.float32)}])
    repeats.keep(_marked(2), large, 0)
    assert repeats.recall(_marked(2).mark) is None
    assert repeats.recall(_marked(1).mark) is not None


def _marked(name: int, count: int = 1) -> Question:
    question = Question.__new__(Question)
    question.mark, question.count = name, count
    return question


def _one_row() -> Answers:
    class Named:
        def by_name(self) -> Named:
            return self

    return Answers(None, [b'"late"'], [Named()], None, np.array([0.25], np.float32))  # type: ignore[list-item]


def test_marks_tell_questions_apart(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(models.route("r1", _made(inside, 1.0)))
        live = inside.fleet.live

        def mark(rows: list[dict[str, object]], ids: list[str], sticky: str | None = None) -> object:
            question = Question(Listener(), inside.fleet, live, lambda *_: b"", 0.0)
            question.ask(rows)
            question.identify(ids, "ids")
            question.sticky = sticky
            return mark_of(question)

        same = [mark([row(1.0), row(2.0)], ["a", "b"]) for _ in range(2)]
        assert same[0] == same[1]
        others = [
            mark([row(2.0), row(1.0)], ["a", "b"]),
            mark([row(1.0), row(2.0)], ["b", "a"]),
            mark([row(1.0), row(2.0)], ["a", "b"], "someone"),
            mark([row(1.0)], ["a"]),
            mark([row(1.0, "UA"), row(2.0)], ["a", "b"]),
        ]
        assert len({same[0], *others}) == 6
        many = [row(float(number)) for number in range(400)]  # not encoded when it is asked
        ids = [f"{number}" for number in range(400)]
        assert mark(many, ids) == mark(list(many), ids)
        assert mark(many, ids) != mark([*many[:-1], row(0.5)], ids)
        inside.close()

    asyncio.run(main())


def test_what_is_remembered_keeps_no_model_in_memory(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(models.route("r1", _made(inside, 1.0)))
        core = weakref.ref(inside.fleet.live.core)
        first = inside.ask([row(1.0)], ["a"])
        await told([first])
        inside.route(models.route("r2", _made(inside, 5.0)))
        again = inside.ask([row(1.0)], ["a"])
        await told([again])
        assert again.scores == first.scores == [2.0]
        del first, again
        await asyncio.sleep(0.1)
        gc.collect()
        assert core() is None
        inside.close()

    asyncio.run(main())


def test_an_id_that_is_given_twice_among_very_many_is_found_at_once() -> None:
    question = Question.__new__(Question)
    question.count = 10_000
    ids = [f"prediction-{number:09}" for number in range(9_999)]
    begun = time.process_time()
    with pytest.raises(RefusalError, match="'prediction-000009998' is given twice"):
        question.identify([*ids, ids[-1]], "ids")
    assert time.process_time() - begun < 0.25, "everybody else waits meanwhile"
