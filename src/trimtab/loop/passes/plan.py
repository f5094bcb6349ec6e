"""What to do about what was seen: a pure function of observation, causes and policy that gives actions, or a reason."""

from __future__ import annotations

from trimtab.declaration.system import Policy, ReleaseStep
from trimtab.loop.passes.observation import LastTraining, Observation, Progress
from trimtab.loop.releases import ReleaseState
from trimtab.measures.judge import acceptable
from trimtab.records.base import Record
from trimtab.records.facts import Cause, Compared, PlannedAction
from trimtab.records.requirement import Verdict

_OPERATIONAL = ("serving.", "resources.")
_NOT_TO_LEARN = frozenset({"data.personal_patterns", "data.forbidden_columns"})
"""While these are broken no model learns from the rows: what it learned could not be taken back."""
_URGENT = frozenset({"no_model", "code_changed"})
BY_HAND = "`trimtab train`"
"""How a person asks for a training."""
_PAUSE = 600.0
_TRIES = 6
"""After so many seconds, and each time after twice as many, a training that was ended from outside is begun again, so
many times: what hinders it is over within half a day, or somebody has to look."""
_LOOKS = 1.4
"""A watched release is looked at every day of a week: its 95% interval, stretched so that seven looks together err no
more often than one (Bonferroni: 2.69 standard errors instead of 1.96)."""


class Plan(Record, kw_only=True):
    """The actions of one pass, in order; `reason` says why there are none."""

    causes: tuple[Cause, ...] = ()
    actions: tuple[PlannedAction, ...] = ()
    reason: str = ""


def make_plan(seen: Observation, causes: tuple[Cause, ...], policy: Policy) -> Plan:
    """Decide one pass.

    The order is the order of urgency: collect first, then undo harm, then carry on the release in flight, then let the
    former model go, and only then train anew.
    """
    if seen.turn == 1:
        return _take_in(seen, causes, policy)
    for decide in (_undo_harm, _carry_on):
        plan = decide(seen, causes, policy)
        if plan is not None:
            return plan
    retired = _let_go(seen, causes, policy)
    return retired if retired is not None else _train(seen, causes, policy)


def _take_in(seen: Observation, causes: tuple[Cause, ...], policy: Policy) -> Plan:
    """Collect, and have the newest truth shift the answers where that is declared, or was until now."""
    actions = [PlannedAction(verb="collect", why="every pass begins with what is new")]
    if policy.recalibrate is not None and seen.releases.live is not None:
        why = f"truth counts half after {policy.recalibrate / 86400:g} d"
        actions.append(PlannedAction(verb="recalibrate", why=why))
    elif policy.recalibrate is None and seen.offset:
        actions.append(PlannedAction(verb="recalibrate", why="the policy does not shift answers any more"))
    return Plan(causes=causes, actions=tuple(actions))


def next_step(policy: Policy, stage: str, *, champion: bool) -> ReleaseStep:
    """The release step after `stage`. Without a champion there is nothing to shadow or to share traffic with: live."""
    if not champion:
        return policy.release[-1]
    stages = [step.stage for step in policy.release]
    position = stages.index(stage) if stage in stages else -1
    return policy.release[position + 1]


def _undo_harm(seen: Observation, causes: tuple[Cause, ...], _: Policy) -> Plan | None:
    live, standby = seen.releases.live, seen.releases.standby
    if live is None or standby is None or seen.standby is None:
        return None
    if standby.model in seen.tainted and live.model not in seen.tainted:
        return None  # it learned from someone who was forgotten: however good, it is not what to go back to
    found = seen.standby.comparisons
    better = [c for c in found if c.difference - _LOOKS * (c.difference - c.low) > 0]
    if better and all(c.difference > 0 for c in found):
        said = "; ".join(say_difference(c) for c in better)
        why = f"{standby.release} does better than {live.release} on the same rows: {said}"
        return _rollback(live, standby, why, causes)
    held = {(v.metric, v.limit, v.slice) for v in seen.standby.verdicts if acceptable(v)}
    lost = [v for v in seen.standby.beside if v.status == "broken" and (v.metric, v.limit, v.slice) in held]
    if lost and all(c.difference > 0 for c in found):
        said = "; ".join(f"{v.metric} broken: {v.reason}" for v in lost)
        why = f"{live.release} breaks what {standby.release} holds on the same rows: {said}"
        return _rollback(live, standby, why, causes)
    failing = [v for v in seen.live if v.status == "broken" and v.metric == "serving.error_rate"]
    if failing:
        return _rollback(live, standby, f"{live.release} fails to answer: {failing[0].reason}", causes)
    return None


def _rollback(live: ReleaseState, standby: ReleaseState, why: str, causes: tuple[Cause, ...]) -> Plan:
    return _act("rollback", why, causes=causes, release=live.release, back_to=standby.release)


def _carry_on(  # noqa: PLR0911 - one line for each way it can go
    seen: Observation, causes: tuple[Cause, ...], policy: Policy
) -> Plan | None:
    challenger = seen.releases.challenger
    if challenger is None:
        return None
    if challenger.stage == "candidate":
        return _act("gate", f"{challenger.release} is a candidate", causes=causes, release=challenger.release)
    # The declaration may have changed on the way: a stage that it no longer has is over.
    wanted = next((step.rows for step in policy.release if step.stage == challenger.stage), 0)
    progress = seen.challenger or Progress(rows=0)
    refusal = _refusal(challenger, progress)
    if refusal:
        verb = "rolled_back" if challenger.stage == "canary" else "rejected"
        return _act("move", refusal, causes=causes, release=challenger.release, to=verb)
    if progress.rows < wanted:
        unit = "labelled shadow rows" if challenger.stage == "shadow" else "canary answers"
        return Plan(
            causes=causes,
            reason=f"{challenger.release} is in {challenger.stage}: {progress.rows:,} of {wanted:,} {unit}",
        )
    worse = [c for c in progress.comparisons if c.verdict == "worse" and not seen.forgotten]
    if worse:
        why = f"worse than the live model in {challenger.stage}: {'; '.join(say_difference(c) for c in worse)}"
        return _act("move", why, causes=causes, release=challenger.release, to="rejected")
    following = next_step(policy, challenger.stage, champion=seen.releases.live is not None)
    if following.stage == "live" and policy.approve == "human":
        return Plan(
            causes=causes,
            reason=f"{challenger.release} waits for a person: `trimtab promote {challenger.release}` makes it live",
        )
    why = _passed(challenger, progress)
    verb = "promote" if following.stage == "live" else "move"
    return _act(verb, why, causes=causes, release=challenger.release, to=following.stage)


def _refusal(challenger: ReleaseState, progress: Progress) -> str:
    failing = [v for v in progress.verdicts if v.status == "broken" and v.metric.startswith(_OPERATIONAL)]
    if not failing:
        return ""
    return f"{challenger.release} breaks {failing[0].metric} in {challenger.stage}: {failing[0].reason}"


def _passed(challenger: ReleaseState, progress: Progress) -> str:
    evidence = "".join(f"; {say_difference(c)}" for c in progress.comparisons)
    unit = "labelled rows" if challenger.stage == "shadow" else "answers"
    return f"{challenger.release} passed {challenger.stage} over {progress.rows:,} {unit}{evidence}"


def _let_go(seen: Observation, causes: tuple[Cause, ...], policy: Policy) -> Plan | None:
    standby = seen.releases.standby
    if standby is None or (seen.now - standby.since).total_seconds() < policy.watch:
        return None
    why = f"its successor has held for {policy.watch / 86400:g} d"
    return _act("move", why, causes=causes, release=standby.release, to="retired")


def not_to_learn(data: tuple[Verdict, ...]) -> str:
    """Why no model may learn from the rows, by their verdicts; empty where it may."""
    leaking = [v for v in data if v.status == "broken" and v.metric in _NOT_TO_LEARN]
    return f"{leaking[0].metric} is broken: {leaking[0].reason}" if leaking else ""


def _train(  # noqa: PLR0911 - one line for each reason not to
    seen: Observation, causes: tuple[Cause, ...], policy: Policy
) -> Plan:
    if not causes:
        return Plan(reason=_settled(seen))
    why = "; ".join(f"{cause.name}: {cause.evidence}" for cause in causes)
    last = seen.last_training
    if forbidden := not_to_learn(seen.data):
        return Plan(causes=causes, reason=f"would train, but {forbidden}")
    if seen.forgotten and seen.unanswered and seen.known_rows:
        return _act("train", why, causes=causes)
    same = last is not None and (seen.code, seen.params) == (last.code, last.params)
    if last is not None and last.outside and same and seen.known_rows:
        return _again(seen, causes, last, why)
    if last is not None and seen.known_rows <= last.rows and same:
        failed = f", which failed: {BY_HAND} tries it again" if last.failed else ""
        reason = f"would train, but no source gave new labelled rows since the last training{failed}"
        return Plan(causes=causes, reason=reason)
    if last is not None and not _URGENT.intersection(cause.name for cause in causes):
        waited = (seen.now - last.at).total_seconds()
        if waited < policy.cooldown:
            left = (policy.cooldown - waited) / 86400
            return Plan(causes=causes, reason=f"would train ({why}), but the cooldown lasts {left:.1f} d more")
    if not seen.known_rows:
        return Plan(causes=causes, reason="would train, but no labelled row is known yet")
    return _act("train", why, causes=causes)


def _again(seen: Observation, causes: tuple[Cause, ...], last: LastTraining, why: str) -> Plan:
    """What somebody else ended is begun again by itself, each time after twice as long, and in the end by hand."""
    if last.outside > _TRIES:
        reason = f"would train, but the last {last.outside} trainings were ended from outside: {BY_HAND} tries again"
        return Plan(causes=causes, reason=reason)
    left = _PAUSE * 2 ** (last.outside - 1) - (seen.now - last.at).total_seconds()
    if left > 0:
        return Plan(
            causes=causes, reason=f"trains again in {max(1.0, left / 60):.0f} min, as the last was ended from outside"
        )
    return _act("train", why, causes=causes)


def _settled(seen: Observation) -> str:
    live = seen.releases.live
    broken = [v for v in (*seen.data, *seen.live) if v.status == "broken"]
    if broken:
        return f"{len(broken)} requirement(s) broken, but the policy names no cause to act on"
    return f"nothing to do: {live.release} is live and no declared cause holds" if live else "nothing to do"


def say_difference(compared: Compared) -> str:
    """A comparison in words, with its interval and rows."""
    return (
        f"{compared.metric} {compared.difference:+.4g} ({compared.low:+.4g}..{compared.high:+.4g}, "
        f"{compared.rows:,} rows)"
    )


def _act(verb: str, why: str, *, causes: tuple[Cause, ...], **arguments: str) -> Plan:
    return Plan(causes=causes, actions=(PlannedAction(verb=verb, why=why, arguments=arguments),))
