"""Observations: one that is easy to vary for tables, and generated ones for properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from trimtab.declaration.system import CauseName, Policy, ReleaseStep, Trigger
from trimtab.loop.passes.observation import LastTraining, Observation, Progress
from trimtab.loop.releases import Releases, ReleaseState
from trimtab.records.facts import ColumnDrift, Compared
from trimtab.records.model import Stage
from trimtab.records.requirement import Verdict

NOW = datetime(2024, 3, 1, tzinfo=UTC)
DAY = 86_400.0
STEPS = (
    ReleaseStep(stage="shadow", rows=100),
    ReleaseStep(stage="canary", rows=50, weight=0.2),
    ReleaseStep(stage="live"),
)
POLICY = Policy(
    retrain_on=(Trigger(cause="schedule", amount=10 * DAY), Trigger(cause="code_changed")),
    release=STEPS,
    cooldown=3 * DAY,
    watch=7 * DAY,
)


def release(name: str, stage: Stage, *, days: float = 1.0, standby: bool = False) -> ReleaseState:
    """A release that entered its stage so many days ago."""
    since = NOW - timedelta(days=days)
    return ReleaseState(release=name, model=f"model-{name}", stage=stage, since=since, standby=standby)


LIVE = release("r-001", "live", days=30)


def compared(verdict: str, name: str = "r-002", place: str = "shadow") -> Compared:
    """A comparison that came out so."""
    middle = {"better": 1.0, "worse": -1.0, "no_difference": 0.0}[verdict]
    return msgspec.convert(
        {
            "kind": "compared",
            "release": name,
            "challenger": f"model-{name}",
            "champion": "model-r-001",
            "place": place,
            "metric": "quality.log_loss",
            "difference": middle,
            "low": middle - 0.5,
            "high": middle + 0.5,
            "rows": 200,
            "verdict": verdict,
        },
        Compared,
    )


def verdict(metric: str, status: str, **known: Any) -> Verdict:
    """A verdict that came out so."""
    made = {"comparison": ">=", "limit": 0.7, "place": "live", "reason": f"it is {status}", **known}
    return msgspec.convert({"metric": metric, "status": status, **made}, Verdict)


def trained(
    days: float, *, rows: int = 1000, code: str = "code", params: str = "params", failed: bool = False, outside: int = 0
) -> LastTraining:
    """A training so many days ago."""
    at = NOW - timedelta(days=days)
    return LastTraining(at=at, rows=rows, code=code, params=params, failed=failed or outside > 0, outside=outside)


def seen(*others: ReleaseState, live: ReleaseState | None = LIVE, **known: Any) -> Observation:
    """An observation on the second turn of a pass; nothing is due unless it is said."""
    settled: dict[str, Any] = {
        "known_rows": 1200,
        "code": "code",
        "params": "params",
        "last_training": trained(5),
    }
    everything = (live, *others) if live is not None else others
    return Observation(now=NOW, turn=2, releases=Releases(all=everything), **{**settled, **known})


_days = st.floats(0.0, 60.0)
_verdicts = st.lists(
    st.builds(
        verdict,
        st.sampled_from(["quality.roc_auc", "value.per_1000", "serving.error_rate", "serving.latency_p95"]),
        st.sampled_from(["met", "broken", "unknown"]),
    ),
    max_size=4,
).map(tuple)
_comparisons = st.none() | st.builds(compared, st.sampled_from(["better", "worse", "no_difference"]))
_progress = st.none() | st.builds(Progress, rows=st.integers(0, 300), compared=_comparisons, verdicts=_verdicts)
_drifts = st.lists(
    st.builds(
        ColumnDrift,
        column=st.sampled_from(["a", "b", "c"]),
        statistic=st.just("ks"),
        effect=st.floats(0, 1),
        low=st.just(0.0),
        high=st.just(1.0),
        rows=st.just(100),
        drifted=st.booleans(),
    ),
    max_size=3,
).map(tuple)


@st.composite
def _releases(draw: st.DrawFn) -> Releases:
    """Some that are over, at most one live, at most one that stands by, at most one on its way."""
    made: list[ReleaseState] = []

    def add(stage: Stage, *, standby: bool = False) -> None:
        made.append(release(f"r-{len(made) + 1:03d}", stage, days=draw(_days), standby=standby))

    for stage in draw(st.lists(st.sampled_from(["retired", "rejected", "rolled_back"]), max_size=2)):
        add(stage)
    if draw(st.booleans()):
        add("shadow", standby=True)
    if draw(st.integers(0, 4)):
        add("live")
    for stage in draw(st.lists(st.sampled_from(["candidate", "shadow", "canary"]), max_size=1)):
        add(stage)
    return Releases(all=tuple(made))


@st.composite
def observations(draw: st.DrawFn, turn: int | None = None) -> Observation:
    """Anything that a pass may see."""
    training = st.none() | st.builds(
        trained,
        _days,
        rows=st.integers(0, 2000),
        code=st.sampled_from(["code", "other"]),
        params=st.sampled_from(["params", "other"]),
        failed=st.booleans(),
        outside=st.integers(0, 8),
    )
    return Observation(
        now=NOW,
        turn=turn if turn is not None else draw(st.integers(1, 3)),
        releases=draw(_releases()),
        offset=draw(st.sampled_from([0.0, 0.2])),
        known_rows=draw(st.integers(0, 2000)),
        code=draw(st.sampled_from(["code", "other"])),
        params=draw(st.sampled_from(["params", "other"])),
        last_training=draw(training),
        data=draw(_verdicts),
        live=draw(_verdicts),
        drift=draw(_drifts),
        concept=draw(st.sampled_from(["", "the loss rose"])),
        challenger=draw(_progress),
        standby=draw(_progress),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any policy that the loader would let pass."""
    listed = [cause for cause in get_args(CauseName) if cause not in ("no_model", "training_interrupted")]
    causes = draw(st.lists(st.sampled_from(listed), unique=True))
    amounts = {"schedule": draw(_days) * DAY, "new_rows": float(draw(st.integers(1, 1000)))}
    kept = draw(st.tuples(st.booleans(), st.booleans()))
    return Policy(
        retrain_on=tuple(Trigger(cause=cause, amount=amounts.get(cause)) for cause in causes),
        release=tuple(step for step, keep in zip(STEPS, (*kept, True), strict=True) if keep),
        cooldown=draw(_days) * DAY,
        watch=draw(_days) * DAY,
        approve=draw(st.sampled_from(["auto", "human"])),
        recalibrate=draw(st.sampled_from([None, DAY])),
    )
