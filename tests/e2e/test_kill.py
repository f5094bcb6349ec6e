"""kill -9 of the loop, the worker and the server at random instants: run again, a replay ends in the same facts."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.e2e.caller import Asked, OutsideCaller
from tests.e2e.disturbing import Disturbance, Victim, blows, disturb
from tests.e2e.replaying import OUTSIDE, Outcome, ReplayProcess, outcome_of, same

from trimtab.experiments.trainings import curves_of, training_of
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.layout import Layout
from trimtab.records.ledger import Ledger
from trimtab.serving.telemetry.reading.reader import TelemetryReader

KILLS = 50
_EACH: list[Victim] = ["loop", "server", "worker", "loop", "server", "worker"]
_MOST_REPLAYS = 25


class Undisturbed(NamedTuple):
    """What a replay leaves that nobody disturbs, how far it went, and the seconds it took."""

    outcome: Outcome
    until: str
    seconds: float


def left_alone(folder: Path, until: str = "") -> Undisturbed:
    replay = ReplayProcess(folder / "state", until)
    started = time.monotonic()
    replay.start()
    try:
        assert replay.wait(240) == 0, replay.last_words()
    finally:
        replay.end()
    return Undisturbed(outcome_of(replay.state), until, time.monotonic() - started)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The whole replay."""
    return left_alone(tmp_path_factory.mktemp("undisturbed"))


def struck_replay(
    state: Path, dice: random.Random, victims: list[Victim], wanted: Undisturbed
) -> tuple[Disturbance, Counter[str]]:
    """One replay that is struck and must end as the undisturbed one did; with what became of questions from outside."""
    replay = ReplayProcess(state, wanted.until)
    caller = OutsideCaller(state)
    caller.start()
    try:
        done = disturb(replay, blows(dice, victims, wanted.seconds))
    finally:
        caller.stop()
        replay.end()
    assert not list(Layout(state).work.iterdir()), "something is left of what was killed"
    try:
        same(outcome_of(state), wanted.outcome)
        tracked(state)
        found = answered(caller.asked, done, state)
    except AssertionError as error:
        raise AssertionError(f"after {done.struck} and {done.starts} starts: {error}") from error
    return done, found


def tracked(state: Path) -> None:
    """No model is without what its training left: the record is kept first."""
    layout = Layout(state)
    blobs = Blobs(layout.blobs)
    with Ledger.open(layout.ledger, create=False) as ledger:
        models = [entry.fact.identity.id for entry in ledger.entries(ModelTrained)]
    assert models
    for model in models:
        training = training_of(blobs, model)
        assert training.outcome == "trained"
        assert {curve.name for curve in curves_of(blobs, training, ["system"])} >= {"memory"}


def answered(asked: list[Asked], done: Disturbance, state: Path) -> Counter[str]:
    """Every question that the server took in was answered, but for those in flight when it was killed itself; and every
    answer stands in the telemetry."""
    reader = TelemetryReader(Layout(state).telemetry)
    reader.refresh()
    kept = {name for name in reader.predictions()["id"].to_list() if name.startswith(OUTSIDE)}
    told = {one.id for one in asked if one.status == 200}
    assert told, "nobody from outside was answered"
    assert told <= kept, f"answered and not in the telemetry: {sorted(told - kept)[:5]}"
    killed = {one.pid: one.at for one in done.struck if one.victim == "server"}
    lost = [one for one in asked if one.id in kept - told]
    for one in lost:
        assert one.pid in killed, f"taken in and not answered, though nobody killed that server: {one}"
        assert one.sent <= killed[one.pid] + 0.1, f"sent after the kill: {one}"
    refused = Counter(one.status for one in asked if one.status not in (0, 200, 503))
    assert not refused, f"refused: {refused}"
    return Counter(answered=len(told), lost_at_a_kill=len(lost), never_taken_in=len(asked) - len(told) - len(lost))


@pytest.mark.timeout(240)
def test_a_replay_that_is_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """The short form: half of the replay, and up to six kills."""
    wanted = left_alone(tmp_path, until="2024-02-13T00:00:00Z")
    done, _ = struck_replay(tmp_path / "struck", random.Random(5), _EACH, wanted)
    assert len(done.struck) >= 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_kills_leave_the_same_facts(whole: Undisturbed, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for number in range(_MOST_REPLAYS):
        done, found = struck_replay(tmp_path / f"state-{number}", random.Random(1000 + number), _EACH, whole)
        counts += done.counts
        asked += found
        print(f"replay {number}: {dict(done.counts)}; in all {dict(counts)}, asked {dict(asked)}", flush=True)
        if counts.total() >= KILLS:
            break
    assert counts.total() >= KILLS, f"only {counts} in {_MOST_REPLAYS} replays"
    assert min(counts["loop"], counts["server"], counts["worker"]) >= KILLS // 10, f"unevenly spread: {counts}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_loop_that_is_killed_between_any_two_durable_steps(whole: Undisturbed, tmp_path: Path) -> None:
    """Every life of the loop ends exactly before or after something it leaves behind; the last one is spared."""
    dice = random.Random(77)
    replay = ReplayProcess(tmp_path / "state")
    steps = []
    try:
        while len(steps) < 60:
            steps.append(dice.randint(2, 40))  # a training alone takes some 26
            replay.start(brittle=steps[-1])
            code = replay.wait(120)
            if code == 0:
                break
            assert code == -9, f"after {steps}: ended with {code}\n{replay.last_words()}"
        assert code == 0, f"not done after {steps}"
        assert len(steps) > 10
    finally:
        replay.end()
    print(f"{len(steps)} lives: {steps}", flush=True)
    same(outcome_of(replay.state), whole.outcome)
