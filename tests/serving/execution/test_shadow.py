"""Shadow releases: whatever they do, nobody who asks notices."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from pathlib import Path

import msgspec
import pytest
from tests.serving import models
from tests.serving.execution.inside import REGRESSION, Inside, Listener, row, told

from trimtab.records.model import Route
from trimtab.serving.execution import shadow
from trimtab.serving.execution.lane import Limits
from trimtab.serving.telemetry.segments import ANSWERED, MAGIC, Scored, frames, read_seal

BURNS = """
import time
def features(rows):
    until = time.perf_counter() + 0.01 * rows.height
    while time.perf_counter() < until:
        pass
    return rows
"""
HANGS = """
import time
def features(rows):
    while rows["distance"].max() > 0:
        time.sleep(0.01)
    return rows
"""
FAILS = """
def features(rows):
    if (rows["distance"] == 3).any():
        raise OSError("no three")
    return rows
"""


def _route(inside: Inside, name: str, bias: float, stage: str = "shadow", code: str | None = None) -> Route:
    made = models.bundle(inside.blobs, models.linear([1.0, 0.0], bias), REGRESSION, code)
    return models.route(name, made, stage)


async def _settled(inside: Inside, seconds: float = 10.0) -> None:
    until = time.perf_counter() + seconds
    while inside.shadows.backlog:
        assert time.perf_counter() < until, f"{inside.shadows.backlog} rows still wait for a shadow"
        await asyncio.sleep(0.005)


def test_every_row_is_scored_by_every_shadow_however_it_came(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        own = "def features(rows):\n    return rows\n"
        inside.route(_route(inside, "r1", 1.0, "live"), _route(inside, "r2", 2.0), _route(inside, "r3", 3.0, code=own))
        asked, number = [], 0
        for size in (1, 1, 3, 700, 1, 2000, 40):
            asked.append(inside.ask([row(float(number + place)) for place in range(size)]))
            number += size
        await told(asked)
        await _settled(inside)
        frame = inside.reader().predictions()
        assert len(frame) == 3 * number
        for name, bias in (("r1", 1.0), ("r2", 2.0), ("r3", 3.0)):
            scores = frame.filter(release=name)["score"].to_list()
            assert sorted(scores) == [place + bias for place in range(number)]
        live = dict(frame.filter(release="r1").select("id", "score").rows())
        other = dict(frame.filter(release="r2").select("id", "score").rows())
        assert other == {name: score + 1.0 for name, score in live.items()}
        assert inside.shadows.backlog == 0
        inside.close()

    asyncio.run(main())


def test_a_shadow_that_burns_the_processor_rests_while_answers_are_given(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(_route(inside, "r1", 1.0, "live"), _route(inside, "r2", 2.0, code=BURNS))
        asked = []
        until = time.perf_counter() + 1.0
        while time.perf_counter() < until:  # as many answers as one caller after the other can get
            one = inside.ask([row(5.0)])
            await told([one])
            asked.append(one)
        assert all(one.scores == [6.0] for one in asked)
        owed = inside.shadows.backlog
        assert owed > len(asked) / 2  # it gave way: what it owes it does later
        follower = next(iter(inside.shadows._followers.values()))
        assert follower.rest > 0.05
        assert len(asked) - owed < 40  # of the hundred there was time for
        inside.close()

    asyncio.run(main())


def test_a_shadow_that_hangs_or_fails_holds_up_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path, limits=Limits(run=0.1))
        inside.route(
            _route(inside, "r1", 1.0, "live"),
            _route(inside, "r2", 2.0, code=HANGS),
            _route(inside, "r3", 3.0, code=FAILS),
            _route(inside, "r4", 4.0),
        )
        asked = []
        for number in range(1, 11):
            asked.append(inside.ask([row(float(number))]))
            await told(asked)
        assert [one.scores for one in asked] == [[number + 1.0] for number in range(1, 11)]
        await _settled(inside)
        reader = inside.reader()
        frame = reader.predictions()
        assert len(frame.filter(release="r2")) == 0
        assert sorted(frame.filter(release="r3")["score"]) == [number + 3.0 for number in range(1, 11) if number != 3]
        assert len(frame.filter(release="r4")) == 10
        metrics = inside.book.metrics
        assert metrics.of("r2").failed + metrics.shadow_dropped == 10
        assert metrics.of("r3").failed == 1
        assert "OSError: no three" in reader.failures().filter(release="r3")["error"][0]
        inside.close()

    asyncio.run(main())


def test_what_may_wait_for_a_shadow_is_bounded_and_the_rest_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "_MOST_ROWS", 100)

    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(_route(inside, "r1", 1.0, "live"), _route(inside, "r2", 2.0, code=BURNS))
        asked = [inside.ask([row(1.0)] * 30) for _ in range(10)]
        await told(asked)
        assert inside.shadows.backlog <= 100
        dropped = inside.book.metrics.shadow_dropped
        assert dropped >= 180
        await _settled(inside)
        assert len(inside.reader().predictions().filter(release="r2")) == 300 - dropped
        inside.close()

    asyncio.run(main())


def test_segments_are_sealed_though_a_shadow_never_catches_up(tmp_path: Path) -> None:
    """Each as soon as its own rows were scored, in their order: never one that still owes."""

    async def main() -> None:
        inside = Inside(tmp_path, segment_bytes=1)
        inside.route(_route(inside, "r1", 1.0, "live"), _route(inside, "r2", 2.0, code=BURNS))
        asked: list[Listener] = []
        until = time.perf_counter() + 60.0
        while inside.telemetry.sealed < 10:
            assert time.perf_counter() < until
            while inside.shadows.backlog < 100:  # a second of work
                asked.append(inside.ask([row(float(len(asked)))]))
                await told(asked[-1:])
            await asyncio.sleep(0.005)
            inside.telemetry.tend()
            assert inside.shadows.backlog > 0
        sealed = [one for one in sorted(inside.telemetry.folder.glob("*.seg")) if read_seal(one) is not None]
        scored = set(inside.reader().predictions().filter(stage="shadow")["id"])
        for path in sealed:
            for frame in frames(path.read_bytes()[len(MAGIC) :]):
                if frame.kind == ANSWERED:
                    assert scored.issuperset(msgspec.msgpack.decode(frame.meta, type=Scored).ids)
        await _settled(inside, 60.0)
        assert not inside.book.owes()
        inside.close()
        assert len(inside.reader().predictions()) == 2 * len(asked)

    asyncio.run(main())


def test_what_a_shadow_will_never_score_is_owed_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path, segment_bytes=1)
        inside.route(_route(inside, "r1", 1.0, "live"), _route(inside, "r2", 2.0, code=FAILS))
        await told([inside.ask([row(3.0)]), inside.ask([row(1.0)])])
        await _settled(inside)
        inside.telemetry.tend()
        assert inside.telemetry.sealed == len(list(inside.telemetry.folder.glob("*.seg")))
        inside.close()

    asyncio.run(main())


def test_what_was_in_shadow_is_in_memory_no_longer_than_it_owes(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        live = _route(inside, "r1", 1.0, "live")
        slow = "import time\ndef features(rows):\n    time.sleep(0.02)\n    return rows\n"
        inside.route(live, _route(inside, "r2", 2.0), _route(inside, "r3", 2.0, code=slow))
        cores = [weakref.ref(one.core) for one in inside.fleet.shadows]
        await told([inside.ask([row(1.0)]) for _ in range(5)])
        inside.route(live)
        await _settled(inside)
        assert inside.book.metrics.of("r2").rows["shadow"] == 5
        assert inside.book.metrics.of("r3").rows["shadow"] == 5
        await asyncio.sleep(0.5)
        gc.collect()
        assert [core() for core in cores] == [None, None]
        inside.close()

    asyncio.run(main())
