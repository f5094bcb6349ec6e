"""Why the loop would act: named causes, each with its evidence. Pure functions of an observation and the policy."""

from __future__ import annotations

from collections.abc import Callable

from trimtab.declaration.system import Policy, Trigger
from trimtab.loop.passes.observation import Observation
from trimtab.records.facts import Cause

FORGOTTEN = "person_forgotten"
INTERRUPTED = "training_interrupted"
"""These two count whatever the policy lists."""
_RETRAINING_HELPS = ("quality.", "value.")


def diagnose(seen: Observation, policy: Policy) -> tuple[Cause, ...]:
    """The causes to retrain that the policy names and the observation shows; `no_model`, `person_forgotten` and
    `training_interrupted` are always among them."""
    if seen.releases.live is None:
        return (Cause(name="no_model", evidence="no release is live"),)
    found = [Cause(name=FORGOTTEN, evidence=seen.forgotten)] if seen.forgotten else []
    last = seen.last_training
    if last is not None and last.outside and (seen.code, seen.params) == (last.code, last.params):
        found.append(Cause(name=INTERRUPTED, evidence="somebody else ended the last training"))
    for trigger in policy.retrain_on:
        evidence = _CHECKS[trigger.cause](seen, trigger)
        if evidence:
            found.append(Cause(name=trigger.cause, evidence=evidence))
    return tuple(found)


def _data_drift(seen: Observation, _: Trigger) -> str:
    drifted = sorted((d for d in seen.drift if d.drifted), key=lambda d: -d.effect)
    if not drifted:
        return ""
    named = ", ".join(f"{d.column} ({d.statistic} {d.effect:.2f})" for d in drifted[:3])
    more = f" and {len(drifted) - 3} more" if len(drifted) > 3 else ""
    return f"{len(drifted)} of {len(seen.drift)} columns drifted: {named}{more}"


def _concept_drift(seen: Observation, _: Trigger) -> str:
    return seen.concept


def _requirement_broken(seen: Observation, trigger: Trigger) -> str:
    def counts(metric: str) -> bool:
        return metric == trigger.metric if trigger.metric else metric.startswith(_RETRAINING_HELPS)

    broken = [v for v in seen.live if v.status == "broken" and counts(v.metric)]
    return "; ".join(f"{v.metric} broken: {v.reason}" for v in broken)


def _schedule(seen: Observation, trigger: Trigger) -> str:
    if seen.last_training is None or trigger.amount is None:
        return ""
    age = (seen.now - seen.last_training.at).total_seconds()
    return f"last trained {age / 86400:.1f} d ago" if age >= trigger.amount else ""


def _new_rows(seen: Observation, trigger: Trigger) -> str:
    if seen.last_training is None or trigger.amount is None:
        return ""
    before, now = seen.last_training.rows, seen.known_rows
    enough = now - before >= (trigger.amount * before if trigger.relative else trigger.amount)
    return f"{now - before:,} labelled rows since the last training on {before:,}" if enough else ""


def _code_changed(seen: Observation, _: Trigger) -> str:
    last = seen.last_training
    if last is None or (seen.code, seen.params) == (last.code, last.params):
        return ""
    what = " and ".join(
        name
        for name, old, new in (("code", last.code, seen.code), ("hyper-parameters", last.params, seen.params))
        if old != new
    )
    return f"{what} changed since the last training"


def _schema_changed(seen: Observation, _: Trigger) -> str:
    return seen.schema


def _no_model(_: Observation, __: Trigger) -> str:
    return ""


_CHECKS: dict[str, Callable[[Observation, Trigger], str]] = {
    "data_drift": _data_drift,
    "concept_drift": _concept_drift,
    "schema_changed": _schema_changed,
    "requirement_broken": _requirement_broken,
    "schedule": _schedule,
    "new_rows": _new_rows,
    "code_changed": _code_changed,
    "no_model": _no_model,
    FORGOTTEN: _no_model,
    INTERRUPTED: _no_model,
}
