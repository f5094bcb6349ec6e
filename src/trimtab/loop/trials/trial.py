"""One trial of a search: fitted, judged by the requirements, and measured on the server where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trimtab.declaration.requirements.catalog import metrics
from trimtab.declaration.system import System
from trimtab.errors import PermanentError
from trimtab.loop.passes.gate import release_verdicts
from trimtab.loop.passes.jobs import job_of
from trimtab.loop.ports import Bench
from trimtab.loop.trials.quiet import Quiet
from trimtab.loop.trials.rungs import Rung
from trimtab.measures.judge import acceptable, judge
from trimtab.records.facts import ModelTrained
from trimtab.records.requirement import Verdict
from trimtab.serving.spec import BEFOREHAND
from trimtab.training.search.pruning import Reached, behind
from trimtab.training.search.sampling import excess
from trimtab.training.spec import SearchSpec
from trimtab.training.trainer import Refused, Trainer

SECONDS = "resources.train_time"


@dataclass(frozen=True)
class Outcome:
    """One trial: its figures as measured, by how much requirements are missed, and why there is no model."""

    figures: dict[str, float]
    broken: dict[str, float]
    model: str = ""
    why: str = ""
    given_up: bool = False
    rungs: tuple[float, ...] = ()
    seconds: float = 0.0


@dataclass
class Attempt:
    """Trials of one search. `bench` measures what only a server shows; None where nothing of that is asked for.
    `others` tells how far the other trials have come."""

    system: System
    spec: SearchSpec
    version: str
    bench: Bench | None
    others: Callable[[], Sequence[Reached]]
    quiet: Quiet = field(default_factory=Quiet)

    def __post_init__(self) -> None:
        self._known = metrics()
        self._sign = 1.0 if self._known[self.spec.objectives[0]].better == "higher" else -1.0

    def run(self, number: int, system: System, rungs: Sequence[Rung], trainer: Trainer) -> Outcome:
        """Fit on one rung after the other, as `system` declares it by now. A trial that is behind the others is given
        up, and one that misses a requirement is not put on a server."""
        found: list[dict[str, float]] = []
        reached: list[float] = []
        broken: dict[str, float] = {}
        first: ModelTrained | None = None
        seconds = 0.0
        for position, rung in enumerate(rungs):
            with self.quiet.busy():
                job = job_of(system, self.version, "search")
                result = trainer.train(job, rung.part.train, rung.part.valid)
            seconds += result.measured.get(SECONDS, 0.0)
            if isinstance(result, Refused):
                return Outcome({}, {"trained": 1.0}, why=result.fact.reason, seconds=seconds)
            figures = {name: e.figure for name, e in result.fact.metrics.items() if e.figure is not None}
            measured = {name: figure for name, figure in result.measured.items() if name in self._known}
            figures |= {name: figure for name, figure in measured.items() if name not in self._served}
            missing = [name for name in self._of_training if name not in figures]
            if missing:
                return Outcome({}, {"measured": 1.0}, why=f"{missing[0]} could not be measured", seconds=seconds)
            if rung.whole:
                found.append(figures)
                if first is None:
                    first = result.fact
                    verdicts = release_verdicts(self.system, result.fact, result.measured)
                    broken = _missed(v for v in verdicts if v.metric not in self._served)
            if self.spec.objectives[0] in figures:
                reached.append(figures[self.spec.objectives[0]] if not found else self._mean(found))
            if position < len(rungs) - 1 and self._behind(number, reached, len(rungs)):
                told = f"behind after {_so_far(rung, len(found))}"
                model = first.identity.id if first is not None else ""
                return Outcome(figures, broken, model, told, True, tuple(reached), seconds)
        assert first is not None
        mean = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
        why = ""
        if self.bench is not None and (not broken or self._objective_served):
            served, why = self._on_server(self.bench, first, _newest(rungs), broken)
            mean |= served
            if any(name not in mean for name in self.spec.objectives):
                return Outcome({}, broken or {"served": 1.0}, why=why, seconds=seconds)
        return Outcome(mean, broken, first.identity.id, why, rungs=tuple(reached), seconds=seconds)

    @property
    def _of_training(self) -> list[str]:
        return [name for name in self.spec.objectives if self.bench is None or name not in BEFOREHAND]

    @property
    def _served(self) -> tuple[str, ...]:
        return () if self.bench is None else BEFOREHAND

    @property
    def _objective_served(self) -> bool:
        return any(name in BEFOREHAND for name in self.spec.objectives)

    def _on_server(
        self, bench: Bench, model: ModelTrained, rung: Rung, broken: dict[str, float]
    ) -> tuple[dict[str, float], str]:
        """The figures on the server, and what of it is missed added to `broken`. Nothing else is measured or trained
        meanwhile."""
        try:
            with self.quiet.alone():
                estimates = bench.measure(model.identity.id, model.bundle, rung.part.valid)
        except PermanentError as error:
            broken["served"] = 1.0
            return {}, error.in_one_line()
        wanted = [r for r in self.system.requirements if r.metric in BEFOREHAND and r.metric in estimates]
        broken |= _missed(judge(r, estimates[r.metric], place="release") for r in wanted)
        return {name: e.figure for name, e in estimates.items() if e.figure is not None}, ""

    def _mean(self, found: Sequence[Mapping[str, float]]) -> float:
        return float(np.mean([each[self.spec.objectives[0]] for each in found]))

    def _behind(self, number: int, reached: Sequence[float], rungs: int) -> bool:
        if len(self.spec.objectives) > 1 or not reached or self.spec.prune == "none":
            return False
        sign = self._sign
        others = [(n, [sign * figure for figure in figures]) for n, figures in self.others() if n != number]
        return behind(self.spec.prune, (number, [sign * figure for figure in reached]), others, rungs - 1)


def needs_server(system: System, spec: SearchSpec) -> bool:
    """Whether anything is required, or searched for, that only a server shows."""
    required = [r.metric for r in system.requirements]
    return any(name in BEFOREHAND for name in (*required, *spec.objectives, spec.cheapest))


def requests_of(system: System) -> int:
    """How many requests a round of measuring takes, for every requirement to have the rows that it asks for."""
    return max((r.min_rows for r in system.requirements if r.metric in BEFOREHAND), default=0)


def _newest(rungs: Sequence[Rung]) -> Rung:
    return next(rung for rung in rungs if rung.whole)


def _missed(verdicts: Iterable[Verdict]) -> dict[str, float]:
    found: dict[str, float] = {}
    for v in verdicts:
        if not acceptable(v):
            found[v.metric] = max(found.get(v.metric, 0.0), excess(v.figure, v.comparison, v.limit))
    return found


def _so_far(rung: Rung, whole: int) -> str:
    if not rung.whole:
        return f"{rung.part.train.height:,} of the rows"
    return f"{whole} period" if whole == 1 else f"{whole} periods"
