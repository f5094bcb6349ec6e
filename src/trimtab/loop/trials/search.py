"""Searches hyper-parameters: each trial a training like any other, judged by the requirements, kept in the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import blake3
import numpy as np
from msgspec import UNSET

from trimtab.declaration.system import System
from trimtab.declaration.tables.search import HOW_TO_DECLARE
from trimtab.errors import DeclarationError, PermanentError
from trimtab.loop.passes.jobs import job_of
from trimtab.loop.ports import Bench, Datasets
from trimtab.loop.trials.choice import choose, on_rows, oriented, signs_of
from trimtab.loop.trials.rungs import Rung, periods, rungs_of
from trimtab.loop.trials.trial import SECONDS, Attempt, Outcome, needs_server
from trimtab.loop.trials.tuned import declared_search, declared_values, tried_by, with_chosen
from trimtab.measures.front import expected_gain
from trimtab.records.base import canonical_json
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.ledger import Ledger
from trimtab.records.studies import SearchFinished, TrialFinished
from trimtab.training.search.pruning import Reached
from trimtab.training.search.sampling import Sampler
from trimtab.training.spec import SearchSpec
from trimtab.training.trainer import Trainer

Tell = Callable[[str, int, int], None]
"""The best so far in words, and how many trials of how many are done."""
MakeTrainer = Callable[[], Trainer]

_LEAST_TRIALS = 10
"""Before it is judged whether more can pay."""


def run_search(
    system: System,
    *,
    datasets: Datasets,
    now: datetime,
    ledger: Ledger,
    blobs: Blobs,
    trainer: MakeTrainer,
    bench: Callable[[], Bench],
    tell: Tell,
) -> SearchFinished:
    """Try hyper-parameters until the declared number of trials is reached or more of them cannot pay.

    Trial 0 is what is declared, so that the choice is never worse on the rows it is made by. These rows end before the
    holdout that the release gate judges by, which the search never sees. Each finished trial is a fact: a search that
    was killed goes on with the next one, and one that is done is done. A `bench` is asked for only where something is
    required of the server, or searched for, that nothing else shows.

    Raises PermanentError where there are too few rows, Optuna is missing, or nothing is declared to search.
    """
    if system.model.search is None:
        raise PermanentError("no search is declared", hint=HOW_TO_DECLARE)
    return _Search(system, system.model.search, datasets, now, ledger, blobs, trainer, bench, tell).run()


@dataclass
class _Search:
    system: System
    spec: SearchSpec
    datasets: Datasets
    now: datetime
    ledger: Ledger
    blobs: Blobs
    trainer: MakeTrainer
    bench: Callable[[], Bench]
    tell: Tell
    rungs: dict[float | None, list[Rung]] = field(default_factory=dict)
    splitting: threading.Lock = field(default_factory=threading.Lock)
    done: list[TrialFinished] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def run(self) -> SearchFinished:
        spec = self.spec
        self.rows, self.version = self.datasets.labelled(self.now), self.datasets.version(self.now)
        self.newest = next(rung.part for rung in self._rungs(self.system) if rung.whole)
        self.signs = signs_of(spec)
        bench = self.bench() if needs_server(self.system, spec) else None
        self.attempt = Attempt(self.system, spec, self.version, bench, self._reached)
        self.trainers = [self.trainer() for _ in range(spec.workers)]
        try:
            digest = self._digest()
            self._restore(digest)
            stopped = self._go_on(digest)
        finally:
            for trainer in self.trainers:
                trainer.close()
        return self._finished(digest, stopped)

    def _digest(self) -> str:
        """Of all that a trial follows from but its own hyper-parameters."""
        part = self.newest
        job = job_of(self.system, self.version, "search")
        identity, _ = self.trainers[0].identify(job, part.train, part.valid)
        said = canonical_json([identity.id, tried_by(self.spec), self.system.requirements])
        return blake3.blake3(said).hexdigest()[:16]

    def _restore(self, digest: str) -> None:
        entries = self.ledger.entries(TrialFinished, prefix=f"trial:{digest}:")
        found = sorted(entries, key=lambda entry: entry.fact.number)
        self.done = [entry.fact for entry in found]
        self.seconds = [entry.measured.get(SECONDS, 0.0) for entry in found]

    def _go_on(self, digest: str) -> str:
        """Run what is missing; why it ended."""
        spec = self.spec
        sampler = Sampler(spec, seed=self.system.model.seed, before=len(self.done))
        for trial in self.done:
            if trial.number or self._inside(trial.params):
                sampler.restore(trial.params, self._oriented(trial), trial.broken, self._given_up(trial))
        most = min(spec.trials, sampler.most + 1) if sampler.most is not None else spec.trials
        taken = {trial.number for trial in self.done}
        waiting = [number for number in range(most) if number not in taken]
        running: dict[Future[Outcome], tuple[int, Any, dict[str, Any], Trainer]] = {}
        free = list(self.trainers)
        stopped = ""
        with ThreadPoolExecutor(len(free)) as pool:
            while (waiting and not stopped) or running:
                while free and waiting and not stopped:
                    number = waiting.pop(0)
                    ticket, params = (
                        (None, declared_values(self.system, spec)) if number == 0 else sampler.ask(number - 1)
                    )
                    trainer = free.pop()
                    running[pool.submit(self._try, number, params, trainer)] = (number, ticket, params, trainer)
                    if number == 0 and not self.done:
                        break  # whatever else is wrong shows here first
                over, _ = wait(running, return_when=FIRST_COMPLETED)
                for each in over:
                    number, ticket, params, trainer = running.pop(each)
                    free.append(trainer)
                    trial = self._keep(digest, number, params, each.result())
                    if number == 0 and self._inside(params):
                        sampler.restore(params, self._oriented(trial), trial.broken)
                    sampler.tell(ticket, self._oriented(trial), trial.broken, self._given_up(trial))
                self.tell(self._best_in_words(), len(self.done), most)
                stopped = stopped or self._cannot_pay()
        return stopped or (
            f"all {most} combinations were tried" if sampler.most is not None else f"{most} trials were run"
        )

    def _keep(self, digest: str, number: int, params: dict[str, Any], outcome: Outcome) -> TrialFinished:
        trial = TrialFinished(
            search=digest,
            number=number,
            params=params,
            model=outcome.model,
            figures=outcome.figures,
            broken=outcome.broken,
            given_up=outcome.given_up,
            why=outcome.why,
            rungs=outcome.rungs or UNSET,
        )
        self.ledger.append(f"trial:{digest}:{number}", trial, at=self.now, measured={SECONDS: outcome.seconds})
        self.done.append(trial)
        self.seconds.append(outcome.seconds)
        return trial

    def _inside(self, params: Mapping[str, Any]) -> bool:
        """Whether the sampler's ranges hold these values."""
        return all(
            params[d.name] in d.choices if d.choices else d.low <= float(params[d.name]) <= d.high
            for d in self.spec.space
        )

    def _try(self, number: int, params: dict[str, Any], trainer: Trainer) -> Outcome:
        system = with_chosen(self.system, params)
        try:
            return self.attempt.run(number, system, self._rungs(system), trainer)
        except DeclarationError as error:  # another code that cannot be read, or does not parse
            return Outcome({}, {"trained": 1.0}, why=error.in_one_line())

    def _rungs(self, system: System) -> list[Rung]:
        """What a trial is measured on; only another window makes it other rows."""
        window = system.model.window
        with self.splitting:
            if window not in self.rungs:
                self.rungs[window] = rungs_of(periods(system, self.spec, self.rows, self.now), self.spec)
            return self.rungs[window]

    def _reached(self) -> list[Reached]:
        return [(t.number, t.rungs) for t in list(self.done) if isinstance(t.rungs, tuple)]

    def _oriented(self, trial: TrialFinished) -> list[float] | None:
        """The objectives' figures, greater is better; None without a model."""
        return oriented(self.signs, trial) if trial.figures else None

    def _given_up(self, trial: TrialFinished) -> Sequence[float] | None:
        """The figures at the rungs of a trial that was given up."""
        if not trial.given_up or not trial.figures:
            return None
        figures = trial.rungs if isinstance(trial.rungs, tuple) else (trial.figures[self.spec.objectives[0]],)
        return [self.signs[self.spec.objectives[0]] * figure for figure in figures]

    def _best_in_words(self) -> str:
        name, sign = next(iter(self.signs.items()))
        figures = [trial.figures[name] for trial in self.done if trial.feasible]
        return f"{name} {max(figures, key=lambda x: sign * x):.4g}" if figures else "none holds all requirements yet"

    def _cannot_pay(self) -> str:
        """Why another trial would cost more than it may be expected to earn; nothing where it may pay, or where answers
        or trainings have no price."""
        value, name = self.system.value, self.spec.objectives[0]
        if value is None or name != "value.per_1000" or value.per_training_minute >= 0:
            return ""
        trials = [trial for trial in self.done if trial.feasible]
        if len(trials) < _LEAST_TRIALS:
            return ""
        part = self.newest.valid
        span = self.spec.period or self.system.model.holdout
        predictions = part.height / span * self.spec.horizon
        gain = expected_gain([trial.figures[name] for trial in trials]) / 1000 * predictions
        cost = -value.per_training_minute * float(np.mean(self.seconds)) / 60
        if gain >= cost:
            return ""
        return f"another trial costs {cost:.3g} {value.currency} and may be expected to earn {gain:.3g}"

    def _finished(self, digest: str, stopped: str) -> SearchFinished:
        known = self.trainers[0].known

        def model(identity: str) -> ModelTrained | None:
            kept = known(identity)
            return kept.fact if kept is not None else None

        compare = on_rows(self.system, self.spec, self.newest.valid, self.blobs, model)
        choice = choose(self.spec, self.done, compare)
        chosen = choice.chosen
        if chosen is None:
            nearest = min(self.done, key=lambda t: sum(t.broken.values()), default=None)
            broken = ", ".join(nearest.broken) if nearest is not None else "everything"
            stopped += f"; no trial holds all requirements, the nearest one misses {broken}"
        fact = SearchFinished(
            search=digest,
            declared=declared_search(self.spec),
            objectives=self.spec.objectives,
            trials=len(self.done),
            feasible=sum(trial.feasible for trial in self.done),
            front=tuple(trial.number for trial in choice.front),
            chosen=chosen.number if chosen is not None else None,
            params=dict(chosen.params) if chosen is not None else {},
            figures={name: chosen.figures[name] for name in self._told()} if chosen is not None else {},
            stopped=stopped,
            rule=choice.rule,
            passed_over=dict(choice.passed_over),
        )
        other = "" if self.spec.choose == "best" else f":{self.spec.choose}:{self.spec.cheapest}"
        self.ledger.append(f"search:{digest}:{len(self.done)}{other}", fact, at=self.now)
        return fact

    def _told(self) -> tuple[str, ...]:
        cheapest = (self.spec.cheapest,) if self.spec.choose == "simplest" else ()
        return tuple(dict.fromkeys((*self.spec.objectives, *cheapest)))


def trials_of(ledger: Ledger, search: str) -> Sequence[TrialFinished]:
    """The trials of a search, in order of their numbers."""
    found = ledger.entries(TrialFinished, prefix=f"trial:{search}:")
    return sorted((entry.fact for entry in found), key=lambda trial: trial.number)
