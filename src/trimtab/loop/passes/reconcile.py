"""Passes: look, name causes, plan, write the plan down, act, write the outcome down.

A pass that is killed is simply run again. What it meant to do stands in the ledger before it does anything, each action
can be done twice without harm, and an action's facts and its outcome are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from trimtab.declaration.system import System
from trimtab.errors import DeclarationError, PermanentError, TrimtabError
from trimtab.loop.belonging import require_own
from trimtab.loop.passes.act import Actor, Result
from trimtab.loop.passes.causes import diagnose
from trimtab.loop.passes.observe import Observer
from trimtab.loop.passes.offsets import generation_of, offset_in_force
from trimtab.loop.passes.plan import Plan, make_plan
from trimtab.loop.ports import Serving
from trimtab.loop.releases import Releases, fold
from trimtab.records.facts import (
    ActionFinished,
    ActionIntended,
    ModelTrained,
    PassFinished,
    PassPlanned,
    PlannedAction,
    ReleaseMoved,
    SystemDeclared,
)
from trimtab.records.journal import Draft
from trimtab.records.ledger import Ledger
from trimtab.records.model import Route, Routes

Watcher = Callable[[str, str], None]
"""Told of each action: its verb, and why it begins or what it came to."""

_MOST_PASSES = 40


def stamp(moment: datetime) -> str:
    """A moment as it stands in keys: UTC to the second, and finer where it is not a whole one."""
    utc = moment.astimezone(UTC)
    part = f".{utc.microsecond:06d}" if utc.microsecond else ""
    return f"{utc:%Y-%m-%dT%H:%M:%S}{part}Z"


class Loop:
    """One system's controller. It holds no state of its own: everything it knows stands in the ledger."""

    def __init__(
        self,
        *,
        system: System,
        ledger: Ledger,
        serving: Serving,
        observer: Observer,
        actor: Actor,
        watch: Watcher,
        publish: Callable[[datetime], None] | None = None,
    ) -> None:
        """`publish` makes the features of that moment known to whoever serves, before a release that needs them."""
        self._system = system
        self._ledger = ledger
        self._serving = serving
        self._observer = observer
        self._actor = actor
        self._watch = watch
        self._publish = publish

    def settle(self, now: datetime) -> list[PassFinished]:
        """Run passes at `now` until one finds nothing to do; returns them. Afterwards the routes are in force."""
        self._declare(now)
        passes = [self.finish_interrupted()] if self._interrupted() is not None else []
        self.serve(now)
        while not passes or passes[-1] is None or passes[-1].actions:
            if len(passes) > _MOST_PASSES:
                raise PermanentError(f"the loop does not settle at {stamp(now)}", hint="`trimtab log` shows its passes")
            passes.append(self.one_pass(now))
            self.serve(now)
        return [done for done in passes if done is not None]

    def one_round(self, now: datetime) -> list[PassFinished]:
        """Collect at `now`, then one pass that decides; returns both. What a killed pass left over comes before."""
        self._declare(now)
        left = self.finish_interrupted()
        passes = [self.one_pass(now)]
        if passes[0].actions[:1] == ("collect",):
            passes.append(self.one_pass(now))
        self.serve(now)
        return passes if left is None else [left, *passes]

    def preview(self, now: datetime) -> Plan:
        """What a pass at `now` would do with what is collected already. Nothing is written."""
        seen, _ = self._observer.look(now, 2, "preview")
        return make_plan(seen, diagnose(seen, self._system.policy), self._system.policy)

    def outcomes(self, done: PassFinished) -> list[ActionFinished]:
        """What the actions of a pass came to, in order."""
        return [entry.fact for entry in self._ledger.entries(ActionFinished, prefix=f"outcome:{done.number}.")]

    def one_pass(self, now: datetime) -> PassFinished:
        """One turn at `now`."""
        turn = 1 + sum(1 for _ in self._ledger.entries(PassFinished, prefix=f"pass:{stamp(now)}/"))
        number = f"{stamp(now)}/{turn}"
        seen, facts = self._observer.look(now, turn, number)
        causes = diagnose(seen, self._system.policy)
        plan = make_plan(seen, causes, self._system.policy)
        if not plan.actions:
            done = PassFinished(number=number, causes=plan.causes, actions=(), reason=plan.reason)
            self._ledger.append_all([*facts, Draft(key=f"pass:{number}", fact=done, at=now)])
            return done
        planned = PassPlanned(number=number, causes=plan.causes, actions=plan.actions, reason=plan.reason)
        intents = [
            Draft(
                key=f"intent:{number}.{i}",
                fact=ActionIntended(action=f"{number}.{i}", verb=a.verb, why=a.why, arguments=a.arguments),
                at=now,
            )
            for i, a in enumerate(plan.actions, 1)
        ]
        self._ledger.append_all([*facts, Draft(key=f"planned:{number}", fact=planned, at=now), *intents])
        return self._carry_out(planned, now)

    def _carry_out(self, planned: PassPlanned, now: datetime) -> PassFinished:
        number = planned.number
        for i, action in enumerate(planned.actions, 1):
            name = f"{number}.{i}"
            if self._ledger.get(f"outcome:{name}") is None:
                self._act(action, name, now)
        verbs = tuple(action.verb for action in planned.actions)
        done = PassFinished(number=number, causes=planned.causes, actions=verbs, reason=planned.reason)
        self._ledger.append(f"pass:{number}", done, at=now)
        return done

    def _act(self, action: PlannedAction, name: str, now: datetime) -> None:
        self._watch(action.verb, action.why)
        try:
            result = self._actor.do(action, name, now)
        except (PermanentError, DeclarationError) as error:
            result = Result(outcome="failed", summary=error.in_one_line())
        finished = ActionFinished(action=name, verb=action.verb, outcome=result.outcome, summary=result.summary)
        self._ledger.append_all([*result.facts, Draft(key=f"outcome:{name}", fact=finished, at=now)])
        self._watch(result.outcome, result.summary)

    def by_hand(self, action: PlannedAction, name: str, now: datetime) -> ActionFinished:
        """Do what a person asked for, as an action of its own: intent before, outcome after, never twice. What a killed
        pass left over comes before it, so that the person's word is the last."""
        done = self._ledger.get(f"outcome:{name}")
        if done is None:
            self.finish_interrupted()
            self._ledger.append(
                f"intent:{name}",
                ActionIntended(action=name, verb=action.verb, why=action.why, arguments=action.arguments),
                at=now,
            )
            self._act(action, name, now)
            self.serve(now)
        finished = self._ledger.get(f"outcome:{name}")
        if finished is None or not isinstance(finished.fact, ActionFinished):
            raise PermanentError(f"{name} left no outcome in the ledger", hint="run `trimtab log --verify`")
        return finished.fact

    def _interrupted(self) -> PassPlanned | None:
        entry = self._ledger.last(PassPlanned)
        if entry is None or self._ledger.get(f"pass:{entry.fact.number}") is not None:
            return None
        return entry.fact

    def finish_interrupted(self) -> PassFinished | None:
        """Carry out what a killed pass had planned, at that pass's own moment; None when there is nothing left over."""
        planned = self._interrupted()
        if planned is None:
            return None
        entry = self._ledger.get(f"planned:{planned.number}")
        if entry is None:  # it was just read; only another writer could have done this
            raise TrimtabError(f"pass {planned.number} is gone from the ledger", hint="run `trimtab log --verify`")
        return self._carry_out(planned, entry.at)

    def serve(self, now: datetime) -> None:
        """Put the routes that the ledger asks for in force, if they are not."""
        if self._publish is not None:
            self._publish(now)
        wanted = generation_of(self._ledger)
        if wanted and self._serving.generation() != wanted:
            self._serving.apply(wanted_routes(self._system, self._ledger, wanted, now))

    def _declare(self, now: datetime) -> None:
        require_own(self._system, self._ledger)
        last = self._ledger.last(SystemDeclared)
        if last is None or last.fact.digest != self._system.digest:
            fact = SystemDeclared(name=self._system.name, digest=self._system.digest, text=self._system.text)
            again = sum(1 for _ in self._ledger.entries(SystemDeclared, prefix=f"system:{self._system.digest}"))
            suffix = f":{again + 1}" if again else ""
            self._ledger.append(f"system:{self._system.digest}{suffix}", fact, at=now)


def releases_of(ledger: Ledger) -> Releases:
    """Where every release stands."""
    return fold((entry.at, entry.fact) for entry in ledger.entries(ReleaseMoved))


def wanted_routes(system: System, ledger: Ledger, generation: int, now: datetime) -> Routes:
    """What the server should answer with, told from the ledger."""
    canary = next((step for step in system.policy.release if step.stage == "canary"), None)
    routes = []
    for release in releases_of(ledger).all:
        if release.stage not in ("live", "canary", "shadow"):
            continue
        entry = ledger.get(f"model:{release.model}")
        if entry is None or not isinstance(entry.fact, ModelTrained):
            raise PermanentError(
                f"release {release.release} stands on model {release.model}, which the ledger does not know",
                hint="run `trimtab log --verify`",
            )
        weight = canary.weight if release.stage == "canary" and canary else 0.0
        routes.append(
            Route(
                release=release.release,
                model=release.model,
                bundle=entry.fact.bundle,
                stage=release.stage,
                weight=weight,
            )
        )
    shared = sum(route.weight for route in routes)
    routes = [
        Route(release=r.release, model=r.model, bundle=r.bundle, stage=r.stage, weight=1.0 - shared)
        if r.stage == "live"
        else r
        for r in routes
    ]
    by = system.policy.canary_by
    return Routes(
        generation=generation,
        system=system.name,
        routes=tuple(routes),
        written=now,
        canary_by=by,
        offset=offset_in_force(ledger),
    )
