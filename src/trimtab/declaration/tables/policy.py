"""`[policy]`: when to train again, and how a release makes its way; and the `--policy` argument of a backtest."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from trimtab.data.spec import DatasetSpec
from trimtab.declaration.problems import Problems, did_you_mean
from trimtab.declaration.reading import Table
from trimtab.declaration.requirements.catalog import metrics, nearest_metric
from trimtab.declaration.system import CauseName, Policy, ReleaseStep, Trigger
from trimtab.declaration.units import parse_duration, parse_quantity
from trimtab.errors import DeclarationError
from trimtab.records.metric import Task
from trimtab.records.requirement import Requirement
from trimtab.training.spec import ModelSpec

TRIGGERS: tuple[CauseName, ...] = tuple(
    cause
    for cause in get_args(CauseName)
    if cause not in ("no_model", "person_forgotten", "training_interrupted")  # these always count
)
_EXAMPLES = {"schedule": "schedule:30 d", "new_rows": "new_rows:50000"}
_STAGES = ("shadow", "canary", "live")
_LEAST_WEIGHT = 0.0001  # traffic is shared out in ten thousandths
_DAY = 86_400.0
_WHOLE = re.compile(r"\d+(?:_\d+)*", re.ASCII)


def parse_trigger(text: str) -> Trigger:
    """One line of `retrain_on`: a cause, `:amount` for `schedule` and `new_rows`, and for `requirement_broken` the
    `:metric` of one requirement if only that one counts. DeclarationError if not."""
    cause, colon, amount = (part.strip() for part in text.partition(":"))
    if cause not in TRIGGERS:
        allowed = ", ".join(_EXAMPLES.get(name, name) for name in TRIGGERS)
        raise DeclarationError(f'"{text}" is not a cause{did_you_mean(cause, TRIGGERS)}', hint=f"allowed: {allowed}")
    name = cause
    if name == "requirement_broken" and colon:
        return _broken(text, amount)
    if name not in _EXAMPLES:
        if colon:
            raise DeclarationError(f'"{text}": {name} takes no amount', hint=f'write "{name}"')
        return Trigger(cause=name, text=name)
    if not amount:
        raise DeclarationError(f'"{text}" has no amount', hint=f'write "{_EXAMPLES[name]}"')
    value, relative = (_interval(amount), False) if name == "schedule" else _growth(amount)
    return Trigger(cause=name, amount=value, relative=relative, text=f"{name}:{amount}")


def _broken(text: str, metric: str) -> Trigger:
    known = metrics().get(metric)
    if known is None:
        meant = nearest_metric(metric)
        suggestion = f'; did you mean "requirement_broken:{meant}"?' if meant else ""
        raise DeclarationError(f'"{text}": nothing measures "{metric}"{suggestion}')
    if "live" not in known.places:
        raise DeclarationError(f'"{text}": {metric} is not measured live, so it cannot break there')
    return Trigger(cause="requirement_broken", metric=metric, text=f"requirement_broken:{metric}")


def parse_step(text: str) -> ReleaseStep:
    """One line of `release`: `shadow:500`, `canary:10%:1000` or `live`. DeclarationError when it is none of these."""
    stage, *arguments = (part.strip() for part in text.split(":"))
    match stage, arguments:
        case "live", []:
            return ReleaseStep(stage="live")
        case "shadow", [rows]:
            return ReleaseStep(stage="shadow", rows=_rows(rows, text))
        case "canary", [weight, rows]:
            return ReleaseStep(stage="canary", rows=_rows(rows, text), weight=_weight(weight, text))
    meant = did_you_mean(stage, _STAGES) if stage not in _STAGES else ""
    raise DeclarationError(
        f'"{text}" is not a release step{meant}', hint='write "shadow:500", "canary:10%:1000" or "live"'
    )


def parse_policy_argument(text: str, base: Policy) -> Policy:
    """The policy that `--policy` names: `declared` (`base`), `never` or `every:30d`.

    `never` trains no second model. `every:30d` trains by the calendar alone and releases whatever comes, at once and
    ungated: the fixed schedule that a backtest compares with. Neither looks at the truth between two trainings. What is
    declared is kept of `gate` (with the steps of `release`) and `recalibrate` where `+` and its name stand behind it,
    as in `every:30d+gate`. DeclarationError for any other text.
    """
    plain, *kept = (part.strip() for part in text.split("+"))
    if plain == "declared" and not kept:
        return base
    if kept:
        return _keeping(parse_policy_argument(plain, base), kept, text, base)
    head, _, rest = (part.strip() for part in text.partition(":"))
    base = msgspec.structs.replace(base, recalibrate=None)
    if text.strip() == "never":
        return msgspec.structs.replace(base, retrain_on=())
    if head == "every" and rest:
        trigger = Trigger(cause="schedule", amount=_interval(rest), text=f"schedule:{rest}")
        live = (ReleaseStep(stage="live"),)
        return msgspec.structs.replace(base, retrain_on=(trigger,), cooldown=0.0, gate=False, release=live)
    raise DeclarationError(
        f'"{text}" is not a policy{did_you_mean(head, ("declared", "never", "every"))}',
        hint="write declared, never, or every: with a duration, such as every:30d",
    )


def _keeping(policy: Policy, kept: list[str], text: str, base: Policy) -> Policy:
    for what in kept:
        if what == "gate":
            policy = msgspec.structs.replace(policy, gate=base.gate, release=base.release)
        elif what == "recalibrate" and base.recalibrate is not None:
            policy = msgspec.structs.replace(policy, recalibrate=base.recalibrate)
        elif what == "recalibrate":
            raise DeclarationError(f'"{text}": [policy] declares no recalibrate', hint='recalibrate = "1 d" does')
        else:
            raise DeclarationError(
                f'"{text}": nothing of [policy] is kept by "{what}"{did_you_mean(what, ("gate", "recalibrate"))}',
                hint="write +gate, +recalibrate or both",
            )
    return policy


def read_policy(table: Table, task: Task | None) -> Policy:
    """`[policy]`; what is wrong is recorded, and the defaults stand for what is missing."""
    changes: dict[str, Any] = {}
    triggers = _each(table, "retrain_on", parse_trigger, '["concept_drift", "schedule:30 d"]')
    if triggers is not None:
        _check_triggers(table, triggers)
        changes["retrain_on"] = triggers
    steps = _each(table, "release", parse_step, '["shadow:500", "canary:10%:1000", "live"]')
    if steps:
        _check_steps(table, steps)
        changes["release"] = steps
    elif steps is not None:
        table.problems.add(table.key("release"), "there is no step", hint='write release = ["live"] at least')
    changes["window"] = table.duration("window", '"7 d"')
    changes["cooldown"] = table.duration("cooldown", '"3 d"', zero=True)
    changes["watch"] = table.duration("watch", '"7 d"', zero=True)
    changes["recalibrate"] = _recalibrate(table, task)
    changes["approve"] = table.one_of("approve", ("auto", "human"))
    changes["canary_by"] = table.text("canary_by", '"customer"')
    if changes["canary_by"] and not any(step.stage == "canary" for step in steps or ()):
        table.problems.add(
            table.key("canary_by"), "no step is a canary", hint='release = ["canary:10%:1000", "live"] has one'
        )
    table.close()
    return msgspec.structs.replace(Policy(), **{key: value for key, value in changes.items() if value is not None})


def _recalibrate(table: Table, task: Task | None) -> float | None:
    half_life = table.duration("recalibrate", '"1 d"')
    if half_life is None:
        return None
    if task not in (None, "binary_classification"):
        table.problems.add(
            table.key("recalibrate"),
            f"answers of {task} are not shifted",
            hint='only task = "binary_classification" has the log odds to do it by',
        )
    if half_life < _DAY:
        table.problems.add(
            table.key("recalibrate"),
            "is shorter than a day",
            hint='rows of one day move together: write "1 d" or longer',
        )
    return half_life


def check_triggers(problems: Problems, policy: Policy, requirements: Sequence[Requirement]) -> None:
    """Record every `requirement_broken:metric` about which nothing is required."""
    required = list(dict.fromkeys(requirement.metric for requirement in requirements))
    for position, trigger in enumerate(policy.retrain_on):
        if trigger.metric is not None and trigger.metric not in required:
            message = f'"{trigger.text}": nothing is required of it{did_you_mean(trigger.metric, required)}'
            problems.add(("policy", "retrain_on", position), message, hint=f"required: {', '.join(required)}")


def check_canary_by(problems: Problems, policy: Policy, model: ModelSpec, data: Sequence[DatasetSpec]) -> None:
    """Record a `canary_by` that callers do not send: a column that the model does not take."""
    column = policy.canary_by
    hidden = [name for spec in data if spec.label is not None for name in (*spec.key, spec.time, spec.label)]
    if column and model.inputs and column not in model.inputs:
        message = f'the model has no input "{column}"{did_you_mean(column, model.inputs)}'
        problems.add(("policy", "canary_by"), message, hint=f"inputs: {', '.join(model.inputs)}")
    elif column and column in hidden and not model.inputs:
        problems.add(("policy", "canary_by"), f'"{column}" is not sent with a prediction', hint="name an input column")


def _each(table: Table, key: str, parse: Any, example: str) -> Any:
    """Parse each text of a list, recording what is wrong at its own line; None when the key is missing or no list."""
    if not table.has(key):
        return None
    found = table.values[key]
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        table.wrong(key, "a list of texts", hint=f"write {key} = {example}")
        return None
    parsed = []
    for position, item in enumerate(found):
        with table.problems.at(table.key(key, position)):
            parsed.append(parse(item))
    return tuple(parsed) if len(parsed) == len(found) else None


def _check_triggers(table: Table, triggers: tuple[Trigger, ...]) -> None:
    for position, trigger in enumerate(triggers):
        earlier = [other for other in triggers[:position] if other.cause == trigger.cause]
        if any((other.relative, other.metric) == (trigger.relative, trigger.metric) for other in earlier):
            table.problems.add(table.key("retrain_on", position), f'"{trigger.text}": {trigger.cause} is named twice')


def _check_steps(table: Table, steps: tuple[ReleaseStep, ...]) -> None:
    stages = [step.stage for step in steps]
    hint = 'shadow, canary and live in this order, each at most once, such as ["shadow:500", "canary:10%:1000", "live"]'
    if stages[-1] != "live":
        table.problems.add(table.key("release"), 'the last step is not "live"', hint=hint)
    for position, stage in enumerate(stages[1:], start=1):
        if _STAGES.index(stage) <= _STAGES.index(stages[position - 1]):
            table.problems.add(table.key("release", position), f"{stage} after {stages[position - 1]}", hint=hint)


def _interval(amount: str) -> float:
    seconds = parse_duration(amount)
    if seconds <= 0:
        raise DeclarationError(f'"{amount}" is no time between two trainings', hint='write a duration such as "30 d"')
    return seconds


def _growth(amount: str) -> tuple[float, bool]:
    if amount.endswith("%"):
        growth = parse_quantity(amount, "ratio")[0]
        if 0 < growth < math.inf:
            return growth, True
    elif _WHOLE.fullmatch(amount) and int(amount.replace("_", "")) > 0:
        return float(amount.replace("_", "")), False
    raise DeclarationError(
        f'"{amount}" is neither a number of rows nor a growth', hint='write "new_rows:50000" or "new_rows:50%"'
    )


def _rows(text: str, step: str) -> int:
    if _WHOLE.fullmatch(text) and int(text.replace("_", "")) > 0:
        return int(text.replace("_", ""))
    raise DeclarationError(
        f'"{step}": "{text}" is not a number of labelled rows', hint="write a whole number above zero"
    )


def _weight(text: str, step: str) -> float:
    weight = parse_quantity(text, "ratio")[0]
    if _LEAST_WEIGHT <= weight < 1:
        return weight
    raise DeclarationError(
        f'"{step}": a canary answers at least 0.01% and less than all of the traffic', hint='write "canary:10%:1000"'
    )
