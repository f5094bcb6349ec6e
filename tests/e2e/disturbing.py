"""Kills the processes of a replay at random instants, with SIGKILL, and starts it again until it has ended."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import psutil
from tests.e2e.replaying import ReplayProcess

Victim = Literal["loop", "worker", "server"]
_PATIENCE = 240.0


class Blow(NamedTuple):
    """Whom to kill, and how many seconds after the blow before; for a worker: after the next one has begun."""

    victim: Victim
    after: float


class Struck(NamedTuple):
    """A process that was killed."""

    victim: Victim
    pid: int
    at: float


@dataclass
class Disturbance:
    """What was done to one replay."""

    struck: list[Struck] = field(default_factory=list)
    starts: int = 1

    @property
    def counts(self) -> Counter[str]:
        return Counter(one.victim for one in self.struck)


def blows(dice: random.Random, victims: list[Victim], seconds: float) -> list[Blow]:
    """These victims in a random order, at random instants of a run that takes about so many seconds.

    Workers come early: there are few trainings, and none at the end.
    """
    order = sorted(victims, key=lambda victim: dice.random() * (0.5 if victim == "worker" else 1.0))
    apart = 1.6 * seconds / (len(victims) + 1)
    return [Blow(victim, dice.uniform(0.0, 1.5 if victim == "worker" else apart)) for victim in order]


def disturb(replay: ReplayProcess, planned: list[Blow]) -> Disturbance:
    """Runs the replay to its end and deals it the blows on the way; those left when it has ended are not dealt.

    Fails when the replay ends in any other way than by a kill or with exit code 0.
    """
    done = Disturbance()
    until = time.monotonic() + _PATIENCE
    replay.start()
    for blow in planned:
        pid = _await(replay, blow, until)
        if pid is None:
            break
        try:
            psutil.Process(pid).kill()
        except psutil.NoSuchProcess:
            continue
        done.struck.append(Struck(blow.victim, pid, time.monotonic()))
        if blow.victim == "loop":
            assert replay.wait(10) == -9, replay.last_words()
            replay.start()  # at once: its server and its worker may not know yet
            done.starts += 1
    code = replay.wait(max(1.0, until - time.monotonic()))
    assert code == 0, f"the replay ended with {code} after {done.struck}:\n{replay.last_words()}"
    return done


def _await(replay: ReplayProcess, blow: Blow, until: float) -> int | None:
    """The process to kill, once its instant has come; None when the replay has ended before."""
    if blow.victim == "worker":
        while not (found := replay.busy_workers()):
            if _over(replay, until):
                return None
            time.sleep(0.005)
        if not _passed(replay, blow.after, until):
            return None
        return found[0].pid
    if not _passed(replay, blow.after, until):
        return None
    if blow.victim == "loop":
        return replay.pid
    while not (found := replay.children("trimtab.serving")):
        if _over(replay, until):
            return None
        time.sleep(0.005)
    return found[0].pid


def _passed(replay: ReplayProcess, seconds: float, until: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if _over(replay, until):
            return False
        time.sleep(min(0.005, max(0.0, end - time.monotonic())))
    return not _over(replay, until)


def _over(replay: ReplayProcess, until: float) -> bool:
    assert time.monotonic() < until, f"the replay did not end:\n{replay.last_words()}"
    return replay.code is not None
