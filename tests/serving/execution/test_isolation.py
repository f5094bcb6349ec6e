"""Models that hang, fail or are slow: their own callers notice, and nobody else's."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.serving import models
from tests.serving.execution.inside import REGRESSION, Inside, row, told

from trimtab.serving.execution.crew import MOST_GIVEN_UP
from trimtab.serving.execution.lane import Limits

SLEEPS = """
import time
def features(rows):
    if (rows["distance"] == 666).any():
        time.sleep(60)
    return rows
"""
SPINS = SLEEPS.replace("time.sleep(60)", "\n        while True: pass")
ALWAYS = """
import time, os
def features(rows):
    while (rows["distance"] > 0).any():
        time.sleep(0.005)
    return rows
"""
QUICK = Limits(run=0.2)


def _linear(inside: Inside, name: str, bias: float, stage: str = "live", weight: float = 0.0, code: str | None = None):
    made = models.bundle(inside.blobs, models.linear([1.0, 0.0], bias), REGRESSION, code)
    return models.route(name, made, stage, weight)


def test_a_row_that_hangs_takes_only_itself(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path, limits=QUICK)
        inside.route(_linear(inside, "r1", 1.0, code=SLEEPS))
        lane = inside.batcher.lane(inside.fleet.live)
        hanging = inside.ask([row(666.0)])
        await asyncio.sleep(0.02)
        others = [inside.ask([row(float(number))]) for number in range(20)]
        await told(others)
        assert [one.scores for one in others] == [[number + 1.0] for number in range(20)]
        await told([hanging])
        assert hanging.status == 504
        assert "no answer within 0.2 s" in hanging.error.message
        counts = inside.book.metrics.of("r1")
        assert counts.failed == 1
        while not lane.ready:
            await asyncio.sleep(0.01)  # it finds out by itself that the model still answers
        again = inside.ask([row(7.0)])
        await told([again])
        assert again.scores == [8.0]
        assert inside.batcher.waiting == 0
        inside.close()

    asyncio.run(main())


def test_python_code_that_spins_does_not_stop_the_loop(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path, limits=QUICK)
        inside.route(_linear(inside, "r1", 1.0, code=SPINS))
        hanging = inside.ask([row(666.0)])
        await asyncio.sleep(0.02)
        other = inside.ask([row(1.0)])
        await told([other])
        assert not hanging.told
        await told([hanging])
        lane = inside.batcher.lane(inside.fleet.live)
        while lane.status(inside.book.metrics.of("r1")).given_up:
            await asyncio.sleep(0.01)  # the thread was stopped, and has ended
        inside.close()

    asyncio.run(main())


def test_a_model_that_hangs_for_good_says_so_at_once_and_leaves_others_alone(tmp_path: Path) -> None:
    async def main() -> None:
        bad, good = Inside(tmp_path / "bad", limits=QUICK), Inside(tmp_path / "good", limits=QUICK)
        bad.route(_linear(bad, "bad", 1.0, code="import threading\nFREE = threading.Event()\n" + ALWAYS))
        good.route(_linear(good, "good", 2.0, code=SLEEPS))
        lane = bad.batcher.lane(bad.fleet.live)
        threads = threading.active_count()
        hung = [bad.ask([row(5.0)]) for _ in range(4)]
        took: list[float] = []
        refused = None
        until = time.perf_counter() + 10
        while refused is None:
            assert time.perf_counter() < until
            start = time.perf_counter()
            one = good.ask([row(3.0)])
            await told([one])
            assert one.scores == [5.0]
            took.append(time.perf_counter() - start)
            if lane.ready:
                hung.append(bad.ask([row(5.0)]))
            else:
                asked = bad.ask([row(5.0)])
                refused = asked if asked.told else None
            await asyncio.sleep(0.01)
        assert refused.status == 503
        assert "release bad does not answer" in refused.error.message
        assert refused.error.retry_after > 0
        await told(hung)
        assert {one.status for one in hung} <= {503, 504}
        # a fifth of a second is what the other's threads hang for; a busy machine may stop anybody once
        assert sorted(took)[len(took) // 2] < 0.15
        assert threading.active_count() - threads <= MOST_GIVEN_UP + 4
        assert bad.book.metrics.of("bad").failed
        assert not good.book.metrics.of("good").failed
        bad.close()
        good.close()

    asyncio.run(main())


def test_a_canary_that_hangs_leaves_its_rows_to_the_live_release(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path, limits=QUICK)
        inside.route(_linear(inside, "r1", 1.0), _linear(inside, "r2", 2.0, "canary", 0.5, code=ALWAYS))
        asked = [inside.ask([row(3.0)], [f"id-{number}"]) for number in range(40)]
        until = time.perf_counter() + 10.0
        while sum(one.told for one in asked) <= 5 and time.perf_counter() < until:
            await asyncio.sleep(0.005)
        # the live release's rows do not wait for the canary's, none of which has been given up by then
        assert (inside.book.metrics.of("r2").failed, all(one.told for one in asked)) == (0, False)
        await told(asked)
        assert {tuple(one.releases) for one in asked} == {("r1",)}
        assert {tuple(one.scores) for one in asked} == {(4.0,)}
        assert inside.book.metrics.of("r2").failed
        lane = inside.batcher.lane(inside.fleet.canaries[0])
        assert not lane.ready
        failed = inside.book.metrics.of("r2").failed
        mixed = inside.ask([row(3.0)] * 20)
        await told([mixed])
        assert inside.book.metrics.of("r2").failed == failed  # it is known to hang: nobody waits for it any more
        assert mixed.releases == ["r1"] * 20
        inside.close()

    asyncio.run(main())


def test_a_slow_canary_does_not_slow_the_live_release(tmp_path: Path) -> None:
    code = "import time\ndef features(rows):\n    time.sleep(0.1)\n    return rows\n"

    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(_linear(inside, "r1", 1.0), _linear(inside, "r2", 2.0, "canary", 0.5, code=code))
        start = time.perf_counter()
        asked = [inside.ask([row(3.0)], [f"id-{number}"]) for number in range(40)]
        await told(asked)
        times = {name: [one.at - start for one in asked if one.releases == [name]] for name in ("r1", "r2")}
        assert max(times["r1"]) < 0.09 <= min(times["r2"])
        assert {tuple(one.scores) for one in asked if one.releases == ["r2"]} == {(5.0,)}
        inside.close()

    asyncio.run(main())


def test_a_model_that_turns_out_slow_leaves_the_loop(tmp_path: Path) -> None:
    async def main() -> None:
        inside = Inside(tmp_path)
        inside.route(models.route("r1", models.bundle(inside.blobs, _looping(), REGRESSION)))
        lane = inside.batcher.lane(inside.fleet.live)
        assert lane.choice.kind == "inline"  # zeros cost nothing
        for _ in range(12):
            one = inside.ask([row(20_000.0)])
            await told([one])
            assert one.scores == [20_000.0]
        assert lane.choice.kind == "threads"
        assert "slow on the loop" in lane.choice.reason
        asked = [inside.ask([row(100.0)]) for _ in range(50)]
        await told(asked)
        assert {one.scores[0] for one in asked} == {100.0}
        inside.close()

    asyncio.run(main())


def _looping() -> bytes:
    """ONNX: adds 1 as many times as the largest distance of a batch says: the time it takes is in the data."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Add", ["sum", "one"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, [None, 1]),
        ],
        [numpy_helper.from_array(np.float32(1), "one")],
    )
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Gemm", ["input", "none"], ["zeros"]),
        helper.make_node("Loop", ["turns", "yes", "zeros"], ["scores"], body=body),
    ]
    graph = helper.make_graph(
        nodes,
        "looping",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1])],
        [
            numpy_helper.from_array(np.zeros((2, 1), np.float32), "none"),
            numpy_helper.from_array(np.array(True), "yes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model.SerializeToString()
