"""The script of a replay: every caller and every truth once, at its own time, however the steps fall."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.loop.conftest import BAKERY, Make

from trimtab.declaration.load import load
from trimtab.declaration.system import Replay
from trimtab.loop.past.history import ASKED_AT, KNOWN_AT, MOMENT
from trimtab.loop.replay.steps import Replayer, Script, between, row_ids, settled_at, steps
from trimtab.records.base import SimulatedClock
from trimtab.records.facts import PassFinished
from trimtab.records.ledger import Ledger

START = datetime(2024, 1, 21, 6, tzinfo=UTC)
DAY = timedelta(days=1)
SYSTEM = load(BAKERY)


@pytest.mark.parametrize(
    ("end", "step", "count"),
    [(START + 3 * DAY, 86_400.0, 4), (START + 3 * DAY, 50_000.0, 6), (START, 60.0, 1), (START + DAY, 90_000.0, 1)],
)
def test_steps_go_from_start_to_end(end: datetime, step: float, count: int) -> None:
    found = list(steps(Replay(start=START, end=end, step=step)))
    assert len(found) == count
    assert found[0] == START
    assert found[-1] <= end
    assert {b - a for a, b in pairwise(found)} <= {timedelta(seconds=step)}


moments = st.integers(-5 * 86_400, 60 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(after=moments, until=moments, column=st.sampled_from([MOMENT, KNOWN_AT]))
def test_between_is_after_and_up_to(history: pl.DataFrame, after: datetime, until: datetime, column: str) -> None:
    if until < after:
        after, until = until, after
    found = between(history, column, after, until)
    assert found.equals(history.filter((pl.col(column) > after) & (pl.col(column) <= until)))


def test_ids_are_keys(history: pl.DataFrame) -> None:
    ids = row_ids(history, SYSTEM)
    assert len(set(ids)) == history.height
    assert ids[0].split("/")[0] == history["shop"][0]
    assert ids[0].split("/")[1].startswith(f"{history['baked'][0]:%Y-%m-%d %H}")


class Heard:
    """Callers that write down what they did."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, datetime, datetime]] = []
        self.told: list[tuple[str, float, datetime]] = []
        self.life = 0

    def predict(self, rows: pl.DataFrame, ids: Sequence[str]) -> None:
        self.asked += zip(ids, rows[MOMENT].to_list(), rows[ASKED_AT].to_list(), strict=True)

    def truth(self, ids: Sequence[str], labels: Sequence[float], at: datetime) -> None:
        self.told += [(name, label, at) for name, label in zip(ids, labels, strict=True)]

    def incarnation(self) -> int:
        return self.life

    def drain(self) -> None: ...


class Resting:
    """A loop that notes when it was asked to settle, and settles at once."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.moments = ledger, list[datetime]()

    def settle(self, now: datetime) -> list[PassFinished]:
        done = PassFinished(number=f"{now:%m-%d %H:%M}", causes=(), actions=(), reason="nothing to do")
        self.ledger.append(f"pass:{done.number}", done, at=now)
        self.moments.append(now)
        return [done]


def replayer(history: pl.DataFrame, ledger: Ledger, traffic: Heard, **known: Any) -> tuple[Replayer, Resting]:
    span = Replay(start=START, end=known.pop("end", START + 4 * DAY), step=known.pop("step", 86_400.0))
    loop = Resting(ledger)
    made = Replayer(
        system=SYSTEM,
        span=span,
        script=Script(history, SYSTEM, span.start),
        loop=loop,  # type: ignore[arg-type]
        traffic=traffic,
        clock=SimulatedClock(span.start),
        ledger=ledger,
        **known,
    )
    return made, loop


@pytest.mark.parametrize(("chunk", "step"), [(3600.0, 86_400.0), (86_400.0, 86_400.0), (5000.0, 40_000.0)])
def test_everyone_asks_once_and_every_truth_is_told_once(history: pl.DataFrame, chunk: float, step: float) -> None:
    heard = Heard()
    with Ledger.open(None) as ledger:
        made, loop = replayer(history, ledger, heard, chunk=chunk, step=step)
        made.run(lambda *_: None)
        end = loop.moments[-1]
    rows = history.filter((pl.col(MOMENT) > START) & (pl.col(MOMENT) <= end))
    assert [name for name, *_ in heard.asked] == row_ids(rows, SYSTEM)
    for _, moment, asked_at in heard.asked:
        assert moment <= asked_at < moment + timedelta(hours=1)
        assert (asked_at - START) % timedelta(hours=1) == timedelta(0)
    known = rows.filter(pl.col(KNOWN_AT) <= end).drop_nulls("sold_out")
    assert [name for name, *_ in heard.told] == row_ids(known, SYSTEM)
    assert [label for _, label, _ in heard.told] == known["sold_out"].cast(float).to_list()
    for (_, _, at), known_at in zip(heard.told, known[KNOWN_AT], strict=True):
        assert known_at <= at <= known_at + timedelta(seconds=chunk)


def test_one_that_was_stopped_goes_on_after_what_had_settled(history: pl.DataFrame) -> None:
    whole, parts = Heard(), Heard()
    with Ledger.open(None) as ledger:
        replayer(history, ledger, whole)[0].run(lambda *_: None)
    with Ledger.open(None) as ledger:
        assert settled_at(ledger) is None
        replayer(history, ledger, parts, end=START + 2 * DAY)[0].run(lambda *_: None)
        assert settled_at(ledger) == START + 2 * DAY
        ticks: list[tuple[datetime, int, int]] = []
        again, loop = replayer(history, ledger, parts)
        again.run(lambda *tick: ticks.append(tick))
        assert loop.moments == [START + 3 * DAY, START + 4 * DAY]
        assert ticks == [(START + n * DAY, n, 4) for n in range(5)]
    assert (parts.asked, parts.told) == (whole.asked, whole.told)


def test_a_step_is_handed_over_again_to_a_server_that_was_restarted(history: pl.DataFrame) -> None:
    class Dying(Heard):
        """Is another one after the first step's truth was told."""

        def drain(self) -> None:
            self.life = max(self.life, 1)

    heard = Dying()
    with Ledger.open(None) as ledger:
        replayer(history, ledger, heard, end=START + DAY)[0].run(lambda *_: None)
    names = [name for name, *_ in heard.asked]
    assert names == 2 * names[: len(names) // 2]


def test_a_backtest_is_the_same_twice(make: Make) -> None:
    """Facts of two runs of one history are the same, to the last figure."""
    from trimtab.records.journal import comparable

    kept = []
    for _ in range(2):
        run = make()
        run.replay(START + 6 * DAY)
        kept.append([comparable(entry) for entry in run.ledger.entries()])
    assert kept[0] == kept[1]
    assert len(kept[0]) > 30


def test_an_incident_happens_once_at_its_step(make: Make) -> None:
    from trimtab.declaration.system import Incident
    from trimtab.records.facts import ActionFinished, ReleaseMoved

    run = make(policy={"retrain_on": ()})
    run.span = msgspec.structs.replace(run.span, incidents=(Incident(at=START + 1.5 * DAY, code="blunder.py"),))
    run.replay(START + 2 * DAY)
    run.replay(START + 3 * DAY)
    done = [e for e in run.ledger.entries(ActionFinished) if e.fact.verb == "force"]
    assert [(e.at, e.fact.outcome) for e in done] == [(START + 2 * DAY, "done")]
    live = [(e.at, e.fact.release) for e in run.ledger.entries(ReleaseMoved) if e.fact.to == "live"]
    assert live == [(START, "r-001"), (START + 2 * DAY, "r-002")]
