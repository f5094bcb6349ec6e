"""Do what was planned. Each action can be done twice without harm, and says what it came to as facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from trimtab.declaration.system import System
from trimtab.errors import DeclarationError, PermanentError
from trimtab.loop.passes.gate import Gate
from trimtab.loop.passes.jobs import job_of
from trimtab.loop.passes.observe import Observer
from trimtab.loop.passes.offsets import SMALLEST_STEP, offset_in_force
from trimtab.loop.passes.plan import BY_HAND, next_step, not_to_learn
from trimtab.loop.ports import Datasets, PartlyCollected
from trimtab.loop.releases import Releases, ReleaseState, fold
from trimtab.monitoring.profile import profile_rows
from trimtab.records.facts import PlannedAction, Recalibrated, ReleaseMoved, TrainingFailed, TrainingTried
from trimtab.records.journal import Draft
from trimtab.records.ledger import Ledger
from trimtab.records.metric import is_answered
from trimtab.records.model import Stage
from trimtab.training.job import TrainingJob
from trimtab.training.split import split
from trimtab.training.trainer import Trained, Trainer


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What an action came to; `facts` go into the ledger together with its outcome."""

    outcome: Literal["done", "refused", "failed"]
    summary: str
    facts: tuple[Draft, ...] = ()


@dataclass
class Actor:
    """Carries out the verbs of a plan."""

    system: System
    ledger: Ledger
    datasets: Datasets
    observer: Observer
    trainer: Trainer
    gate: Gate
    warm: bool = False
    """Start the next training's worker early, for loops that train often; where models are found trained, there is none
    to come."""

    def do(self, action: PlannedAction, name: str, now: datetime) -> Result:
        """Do one action, called `name`, at `now`."""
        verbs: dict[str, Callable[[PlannedAction, str, datetime], Result]] = {
            "collect": self._collect,
            "recalibrate": self._recalibrate,
            "train": self._train,
            "gate": self._gate,
            "move": self._move,
            "promote": self._promote,
            "rollback": self._rollback,
            "force": self._force,
            "propose": self._propose,
        }
        if action.verb not in verbs:
            raise PermanentError(f"the loop does not know how to {action.verb!r}", hint=f"it knows {', '.join(verbs)}")
        return verbs[action.verb](action, name, now)

    def _releases(self) -> Releases:
        return fold((entry.at, entry.fact) for entry in self.ledger.entries(ReleaseMoved))

    def _named(self, name: str) -> ReleaseState:
        found = self._releases().named(name)
        if found is None:
            raise PermanentError(
                f"no release is called {name!r}", hint="`trimtab status` and `trimtab models list` name them"
            )
        return found

    def _collect(self, _: PlannedAction, __: str, now: datetime) -> Result:
        trouble = ""
        try:
            commits = self.datasets.collect(now)
        except PartlyCollected as error:
            commits, trouble = error.commits, error.in_one_line()
        facts = tuple(Draft(key=f"data:{c.dataset}:{c.version}", fact=c, at=now) for c in commits)
        added = sum(c.added for c in commits)
        bad = sum(sum(c.quarantined.values()) for c in commits)
        refused = f", {bad:,} quarantined" if bad else ""
        notes = "".join(f"; {note}" for note in self.datasets.notes())
        where = f" in {len(commits)} datasets" if len(commits) > 1 else ""
        said = (
            f"{added:,} new row{'s' if added != 1 else ''}{where}{refused}{notes}"
            if commits
            else f"nothing is new{notes}"
        )
        if trouble:
            return Result(outcome="failed", summary=f"{trouble}; {said}" if commits else trouble, facts=facts)
        return Result(outcome="done", summary=said, facts=facts)

    def _recalibrate(self, _: PlannedAction, name: str, now: datetime) -> Result:
        before, found = offset_in_force(self.ledger), self.observer.recalibration(now)
        if abs(found.offset - before) < SMALLEST_STEP and (found.offset or not before):
            return Result(outcome="done", summary=f"stays at {before:+.3f} in log odds")
        fact = Recalibrated(
            offset=found.offset, rows=found.rows, why=found.reason, gain=found.gain, low=found.low, high=found.high
        )
        drafts = (Draft(key=f"recalibrated:{name}", fact=fact, at=now),)
        return Result(outcome="done", summary=f"answers are shifted by {found.reason}", facts=drafts)

    def _train(self, action: PlannedAction, name: str, now: datetime) -> Result:
        if "by_hand" in action.arguments and (why_not := self._not_now(now)):
            return Result(outcome="refused", summary=why_not)
        code, params = self.observer.code()  # before: it may be edited while the training runs
        known, _ = self.datasets.known(now)
        try:
            result, model = self._trained(self.system.model.code, action.why, name, now)
        except (PermanentError, DeclarationError) as error:
            # Too few rows, one class only, or code that does not parse: no worker was started.
            result, model = Result(outcome="failed", summary=f"training failed: {error.in_one_line()}"), ""
        tried = TrainingTried(action=name, code=code, params=params, known_rows=known, model=model)
        summary = result.summary if result.outcome != "failed" else f"{result.summary}; {_tried_again(result)}"
        facts = (Draft(key=f"tried:{name}", fact=tried, at=now), *result.facts)
        return msgspec.structs.replace(result, summary=summary, facts=facts)

    def _not_now(self, now: datetime) -> str:
        """Why a person may not have a model trained now; empty where it may be."""
        challenger = self._releases().challenger
        if challenger is not None:
            return f"{challenger.release} is on its way to live ({challenger.stage}): one at a time"
        return not_to_learn(self.datasets.verdicts(now))

    def _trained(self, code: str, why: str, name: str, now: datetime) -> tuple[Result, str]:
        """Train on what is known now; what it came to, and the model's identity."""
        system, spec = self.system, self.system.model
        rows = self.datasets.labelled(now)
        parts = split(rows, spec=system.labelled, now=now, window=spec.window, holdout=spec.holdout, task=system.task)
        job = self._job(code, name, now)
        train, valid = parts.train, parts.valid
        if is_answered(system.task):
            train, valid = (self.datasets.contents(rows) for rows in (train, valid))
        result = self.trainer.train(job, train, valid, profile=profile_rows)
        if self.warm and not (isinstance(result, Trained) and result.again):
            self.trainer.warm()
        model = result.fact.identity.id
        if not isinstance(result, Trained):
            failed = Draft(key=f"training_failed:{model}:{name}", fact=result.fact, at=now, measured=result.measured)
            summary = f"training failed: {result.fact.reason}"
            return Result(outcome="failed", summary=summary, facts=(failed,)), model
        if self.ledger.get(f"model:{model}") is not None:
            summary = f"model {model} was already made of the same code, hyper-parameters and data"
            return Result(outcome="refused", summary=summary), model
        release = self._releases().next_name()
        facts = (
            Draft(key=f"model:{model}", fact=result.fact, at=now, measured=result.measured),
            Draft(
                key=f"release:{release}:candidate:1",
                fact=ReleaseMoved(release=release, model=model, source=None, to="candidate", why=why),
                at=now,
            ),
        )
        summary = f"model {model} on {result.fact.rows:,} rows became candidate {release}"
        return Result(outcome="done", summary=summary, facts=facts), model

    def _job(self, code: str, name: str, now: datetime) -> TrainingJob:
        job = job_of(self.system, self.datasets.version(now), name)
        return msgspec.structs.replace(job, code=str(Path(self.system.folder) / code), refit=True)

    def _gate(self, action: PlannedAction, name: str, now: datetime) -> Result:
        release = self._named(action.arguments["release"])
        releases = self._releases()
        champion = self.observer.model(releases.live.model) if releases.live else None
        if not self.system.policy.gate:
            return self._live(release, releases, "the policy has no gate", now)
        decision, facts = self.gate.judge(release, self.observer.model(release.model), champion, name, now)
        if not decision.passed:
            moved = self._step(release, "rejected", decision.why, now)
            return Result(
                outcome="refused", summary=f"{release.release} rejected: {decision.why}", facts=(*facts, moved)
            )
        step = next_step(self.system.policy, "candidate", champion=champion is not None)
        if step.stage == "live":
            result = self._live(release, releases, decision.why, now)
            return Result(outcome="done", summary=result.summary, facts=(*facts, *result.facts))
        moved = self._step(release, step.stage, decision.why, now)
        return Result(
            outcome="done", summary=f"{release.release} goes to {step.stage}: {decision.why}", facts=(*facts, moved)
        )

    def _move(self, action: PlannedAction, _: str, now: datetime) -> Result:
        release = self._named(action.arguments["release"])
        to: Stage = msgspec.convert(action.arguments["to"], Stage)
        moved = self._step(release, to, action.why, now)
        return Result(outcome="done", summary=f"{release.release} is now {to}: {action.why}", facts=(moved,))

    def _promote(self, action: PlannedAction, _: str, now: datetime) -> Result:
        release = self._named(action.arguments["release"])
        if release.stage == "live":
            return Result(outcome="refused", summary=f"{release.release} is live already")
        return self._live(release, self._releases(), action.why, now)

    def _live(self, release: ReleaseState, releases: Releases, why: str, now: datetime) -> Result:
        """Make a release live. The former one stands by in shadow as long as the policy watches."""
        facts = []
        if releases.standby is not None and releases.standby.release != release.release:
            facts.append(self._step(releases.standby, "retired", f"{release.release} takes over", now))
        if releases.live is not None:
            stands_by = self.system.policy.watch > 0 and self.system.policy.gate
            stage: Stage = "shadow" if stands_by else "retired"
            words = f"stands by while {release.release} is new" if stands_by else f"{release.release} took its place"
            facts.append(self._step(releases.live, stage, words, now))
        facts.append(self._step(release, "live", why, now))
        return Result(outcome="done", summary=f"{release.release} is live: {why}", facts=tuple(facts))

    def _rollback(self, action: PlannedAction, _: str, now: datetime) -> Result:
        releases = self._releases()
        live = releases.live
        if live is None:
            return Result(outcome="refused", summary="nothing is live, so there is nothing to roll back")
        wanted = action.arguments.get("back_to", "")
        former = self._named(wanted) if wanted else releases.standby or _before(releases)
        if former is None or former.release == live.release:
            return Result(outcome="refused", summary=f"there is no release to go back to from {live.release}")
        facts = (
            self._step(live, "rolled_back", action.why, now),
            self._step(former, "live", f"back in place of {live.release}", now),
        )
        return Result(
            outcome="done", summary=f"{live.release} rolled back to {former.release}: {action.why}", facts=facts
        )

    def _propose(self, action: PlannedAction, name: str, now: datetime) -> Result:
        """Train other code as a challenger: the next pass takes it through the gates."""
        trained, _ = self._trained(action.arguments["code"], action.why, name, now)
        return trained

    def _force(self, action: PlannedAction, name: str, now: datetime) -> Result:
        """Train other code and make it live past the gates: what a person can do, and the loop must undo. It is no
        training of the loop's own, so nothing counts from it."""
        trained, _ = self._trained(action.arguments["code"], action.why, name, now)
        moved = next((d.fact for d in trained.facts if isinstance(d.fact, ReleaseMoved)), None)
        if trained.outcome != "done" or moved is None:
            return trained
        new = ReleaseState(release=moved.release, model=moved.model, stage="candidate", since=now)
        live = self._live(new, self._releases(), action.why, now)
        return Result(outcome="done", summary=live.summary, facts=(*trained.facts, *live.facts))

    def _step(self, release: ReleaseState, to: Stage, why: str, now: datetime) -> Draft:
        """A release's move to another stage; the key counts its visits there."""
        moves = self.ledger.entries(ReleaseMoved, prefix=f"release:{release.release}:")
        visit = 1 + sum(entry.fact.to == to for entry in moves)
        fact = ReleaseMoved(release=release.release, model=release.model, source=release.stage, to=to, why=why)
        return Draft(key=f"release:{release.release}:{to}:{visit}", fact=fact, at=now)


def _tried_again(failed: Result) -> str:
    """When a training that failed is tried again."""
    ended = next((draft.fact for draft in failed.facts if isinstance(draft.fact, TrainingFailed)), None)
    if ended is not None and ended.outside is True:
        return "it is begun again by itself, after a while"
    by_hand = f", or by {BY_HAND}" if ended is not None else ""  # without a worker it could not even begin
    return f"it is tried again when code, hyper-parameters or rows change{by_hand}"


def _before(releases: Releases) -> ReleaseState | None:
    retired = [r for r in releases.all if r.stage == "retired"]
    return max(retired, key=lambda r: r.since) if retired else None
