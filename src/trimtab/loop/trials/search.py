"""Searches hyper-parameters: each trial a training like any other, judged by the requirements, kept in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import blake3
import msgspec
import numpy as np

from trimtab.declaration.catalog import metrics
from trimtab.declaration.system import System
from trimtab.errors import PermanentError
from trimtab.loop.passes.gate import release_verdicts
from trimtab.loop.passes.jobs import job_of
from trimtab.loop.ports import Datasets
from trimtab.loop.trials.tuned import declared_search
from trimtab.measures.front import expected_gain, pareto
from trimtab.measures.judge import acceptable
from trimtab.records.base import canonical_json
from trimtab.records.ledger import Ledger
from trimtab.records.studies import SearchFinished, TrialFinished
from trimtab.training.search import Sampler, excess
from trimtab.training.spec import SearchSpec
from trimtab.training.split import Split, moments, split
from trimtab.training.trainer import Refused, Trainer

Tell = Callable[[str, int, int], None]
"""The best so far in words, and how many trials of how many are done."""
MakeTrainer = Callable[[], Trainer]

_LEAST_TRIALS = 10
"""Before it is judged whether more can pay, or whether a trial is behind the others."""
_SECONDS = "resources.train_time"


def run_search(
    system: System, *, datasets: Datasets, now: datetime, ledger: Ledger, trainer: MakeTrainer, tell: Tell
) -> SearchFinished:
    """Try hyper-parameters until the declared number of trials is reached or more of them cannot pay.

    Trial 0 is what is declared, so that the choice is never worse on the rows it is made by. These rows end before the
    holdout that the release gate judges by, which the search never sees. Each finished trial is a fact: a search that
    was killed goes on with the next one, and one that is done is done.

    Raises PermanentError where there are too few rows, Optuna is missing, or nothing is declared to search.
    """
    if system.model.search is None:
        raise PermanentError("no search is declared", hint="write [model.search]: docs/search.md")
    return _Search(system, system.model.search, datasets, now, ledger, trainer, tell).run()


@dataclass(frozen=True)
class _Outcome:
    """One trial: its figures as measured, by how much requirements are missed, and why there is no model."""

    figures: dict[str, float]
    broken: dict[str, float]
    model: str = ""
    why: str = ""
    given_up: bool = False
    seconds: float = 0.0


@dataclass
class _Search:
    system: System
    spec: SearchSpec
    datasets: Datasets
    now: datetime
    ledger: Ledger
    trainer: MakeTrainer
    tell: Tell
    done: list[TrialFinished] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def run(self) -> SearchFinished:
        spec = self.spec
        self.rows, self.version = self.datasets.labelled(self.now), self.datasets.version(self.now)
        self.periods = self._periods()
        self.signs = [1.0 if metrics()[name].better == "higher" else -1.0 for name in spec.objectives]
        self.trainers = [self.trainer() for _ in range(spec.workers)]
        try:
            digest = self._digest()
            self._restore(digest)
            stopped = self._go_on(digest)
        finally:
            for trainer in self.trainers:
                trainer.close()
        return self._finished(digest, stopped)

    def _periods(self) -> list[Split]:
        """What trials are fitted and judged on, the newest first; all before the gate's holdout."""
        system, spec = self.system, self.spec
        data, model = system.labelled, system.model
        at = self.now
        found: list[Split] = []
        for number in range(spec.folds + 1):
            span = model.holdout if number == 0 or spec.period is None else spec.period
            try:
                part = split(self.rows, spec=data, now=at, window=model.window, holdout=span, task=system.task)
            except PermanentError:
                if len(found) < 2:
                    raise
                break
            found.append(part)
            first: datetime = moments(part.valid, data.time, data.predict_before)[0]
            at = first + timedelta(seconds=data.label_delay, microseconds=-1)
        return found[1:]

    def _digest(self) -> str:
        """Of all that a trial follows from but its own hyper-parameters."""
        part = self.periods[0]
        job = job_of(self.system, self.version, "search")
        identity, _ = self.trainers[0].identify(job, part.train, part.valid)
        said = canonical_json([identity.id, declared_search(self.spec), self.system.requirements])
        return blake3.blake3(said).hexdigest()[:16]

    def _restore(self, digest: str) -> None:
        entries = self.ledger.entries(TrialFinished, prefix=f"trial:{digest}:")
        found = sorted(entries, key=lambda entry: entry.fact.number)
        self.done = [entry.fact for entry in found]
        self.seconds = [entry.measured.get(_SECONDS, 0.0) for entry in found]

    def _go_on(self, digest: str) -> str:
        """Run what is missing; why it ended."""
        spec = self.spec
        sampler = Sampler(spec, seed=self.system.model.seed, before=len(self.done))
        for trial in self.done:
            if trial.number or self._inside(trial.params):
                sampler.restore(trial.params, self._oriented(trial), trial.broken)
        most = min(spec.trials, sampler.most + 1) if sampler.most is not None else spec.trials
        taken = {trial.number for trial in self.done}
        waiting = [number for number in range(most) if number not in taken]
        running: dict[Future[_Outcome], tuple[int, Any, dict[str, Any], Trainer]] = {}
        free = list(self.trainers)
        stopped = ""
        with ThreadPoolExecutor(len(free)) as pool:
            while (waiting and not stopped) or running:
                while free and waiting and not stopped:
                    number = waiting.pop(0)
                    ticket, params = (None, self._declared()) if number == 0 else sampler.ask(number - 1)
                    trainer = free.pop()
                    running[pool.submit(self._try, params, trainer)] = (number, ticket, params, trainer)
                    if number == 0 and not self.done:
                        break  # whatever else is wrong shows here first
                over, _ = wait(running, return_when=FIRST_COMPLETED)
                for each in over:
                    number, ticket, params, trainer = running.pop(each)
                    free.append(trainer)
                    trial = self._keep(digest, number, params, each.result())
                    if number == 0 and self._inside(params):
                        sampler.restore(params, self._oriented(trial), trial.broken)
                    sampler.tell(ticket, self._oriented(trial), trial.broken)
                self.tell(self._best_in_words(), len(self.done), most)
                stopped = stopped or self._cannot_pay()
        return stopped or (
            f"all {most} combinations were tried" if sampler.most is not None else f"{most} trials were run"
        )

    def _keep(self, digest: str, number: int, params: dict[str, Any], outcome: _Outcome) -> TrialFinished:
        trial = TrialFinished(
            search=digest,
            number=number,
            params=params,
            model=outcome.model,
            figures=outcome.figures,
            broken=outcome.broken,
            given_up=outcome.given_up,
            why=outcome.why,
        )
        self.ledger.append(f"trial:{digest}:{number}", trial, at=self.now, measured={_SECONDS: outcome.seconds})
        self.done.append(trial)
        self.seconds.append(outcome.seconds)
        return trial

    def _declared(self) -> dict[str, Any]:
        return {d.name: self.system.model.params[d.name] for d in self.spec.space}

    def _inside(self, params: Mapping[str, Any]) -> bool:
        """Whether the sampler's ranges hold these values."""
        return all(
            params[d.name] in d.choices if d.choices else d.low <= float(params[d.name]) <= d.high
            for d in self.spec.space
        )

    def _try(self, params: dict[str, Any], trainer: Trainer) -> _Outcome:
        """Train and measure on each period. A trial whose first objective is below the median of the others' in the
        newest period is not worth the older ones."""
        found: list[dict[str, float]] = []
        broken: dict[str, float] = {}
        model, seconds = "", 0.0
        for position, part in enumerate(self.periods):
            job = job_of(self.system, self.version, "search")
            job = msgspec.structs.replace(job, params={**self.system.model.params, **params})
            result = trainer.train(job, part.train, part.valid)
            seconds += result.measured.get(_SECONDS, 0.0)
            if isinstance(result, Refused):
                return _Outcome({}, {"trained": 1.0}, why=result.fact.reason, seconds=seconds)
            figures = {name: e.figure for name, e in result.fact.metrics.items() if e.figure is not None}
            figures |= {name: figure for name, figure in result.measured.items() if name in metrics()}
            missing = [name for name in self.spec.objectives if name not in figures]
            if missing:
                return _Outcome({}, {"measured": 1.0}, why=f"{missing[0]} could not be measured", seconds=seconds)
            found.append({name: float(figure) for name, figure in figures.items()})
            model = model or result.fact.identity.id
            if position == 0:
                verdicts = release_verdicts(self.system, result.fact, result.measured)
                broken = {v.metric: excess(v.figure, v.comparison, v.limit) for v in verdicts if not acceptable(v)}
                if len(self.periods) > 1 and self._behind(found[0]):
                    return _Outcome(found[0], broken, model, "behind after one period", given_up=True, seconds=seconds)
        mean = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
        return _Outcome(mean, broken, model, seconds=seconds)

    def _behind(self, figures: Mapping[str, float]) -> bool:
        if len(self.spec.objectives) > 1:
            return False
        name, sign = self.spec.objectives[0], self.signs[0]
        others = [sign * t.figures[name] for t in list(self.done) if name in t.figures]
        return len(others) >= _LEAST_TRIALS and sign * figures[name] < float(np.median(others))

    def _oriented(self, trial: TrialFinished) -> list[float] | None:
        """The objectives' figures, greater is better; None without a model."""
        if not trial.figures:
            return None
        return [sign * trial.figures[name] for sign, name in zip(self.signs, self.spec.objectives, strict=True)]

    def _feasible(self) -> list[TrialFinished]:
        return sorted((t for t in self.done if t.feasible), key=lambda t: t.number)

    def _front(self) -> list[TrialFinished]:
        """The feasible trials that nothing beats, the best in the first objective first."""
        trials = self._feasible()
        points = [self._oriented(trial) or [] for trial in trials]
        return [trials[i] for i in sorted(pareto(points), key=lambda i: [-x for x in points[i]])]

    def _best_in_words(self) -> str:
        front = self._front()
        if not front:
            return "none holds all requirements yet"
        name = self.spec.objectives[0]
        return f"{name} {front[0].figures[name]:.4g}"

    def _cannot_pay(self) -> str:
        """Why another trial would cost more than it may be expected to earn; nothing where it may pay, or where answers
        or trainings have no price."""
        value, name = self.system.value, self.spec.objectives[0]
        trials = self._feasible()
        if value is None or name != "value.per_1000" or value.per_training_minute >= 0 or len(trials) < _LEAST_TRIALS:
            return ""
        part = self.periods[0].valid
        span = self.spec.period or self.system.model.holdout
        predictions = part.height / span * self.spec.horizon
        gain = expected_gain([trial.figures[name] for trial in trials]) / 1000 * predictions
        cost = -value.per_training_minute * float(np.mean(self.seconds)) / 60
        if gain >= cost:
            return ""
        return f"another trial costs {cost:.3g} {value.currency} and may be expected to earn {gain:.3g}"

    def _finished(self, digest: str, stopped: str) -> SearchFinished:
        front = self._front()
        chosen = front[0] if front else None
        nearest = min(self.done, key=lambda t: sum(t.broken.values()), default=None)
        if chosen is None:
            broken = ", ".join(nearest.broken) if nearest is not None else "everything"
            stopped += f"; no trial holds all requirements, the nearest one misses {broken}"
        fact = SearchFinished(
            search=digest,
            declared=declared_search(self.spec),
            objectives=self.spec.objectives,
            trials=len(self.done),
            feasible=len(self._feasible()),
            front=tuple(trial.number for trial in front),
            chosen=chosen.number if chosen is not None else None,
            params=dict(chosen.params) if chosen is not None else {},
            figures={name: chosen.figures[name] for name in self.spec.objectives} if chosen is not None else {},
            stopped=stopped,
        )
        self.ledger.append(f"search:{digest}:{len(self.done)}", fact, at=self.now)
        return fact


def trials_of(ledger: Ledger, search: str) -> Sequence[TrialFinished]:
    """The trials of a search, in order of their numbers."""
    found = ledger.entries(TrialFinished, prefix=f"trial:{search}:")
    return sorted((entry.fact for entry in found), key=lambda trial: trial.number)
