"""Runs a declared experiment: both arms trained on the same rows and scored on the same later ones, look by look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import blake3
import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.declaration.system import System
from trimtab.declaration.units import format_duration, format_quantity
from trimtab.errors import DeclarationError, PermanentError
from trimtab.experiments.spec import Change, Expectation, ExperimentSpec
from trimtab.inference.encode import encode_frame
from trimtab.inference.features_code import apply_features
from trimtab.inference.model import load_model
from trimtab.loop.passes.evidence import truth_of
from trimtab.loop.passes.jobs import job_of
from trimtab.loop.ports import Datasets
from trimtab.measures.comparison.hypothesis import Effect, Fold, Look, effect_of, look
from trimtab.measures.comparison.spending import shared, spent
from trimtab.records.base import canonical_json
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.ledger import Ledger
from trimtab.records.studies import ExperimentFinished, Round
from trimtab.training.evaluate import days_of
from trimtab.training.job import TrainingJob
from trimtab.training.split import Split, moments, split
from trimtab.training.trainer import Trained, Trainer

Tell = Callable[[str, int, int], None]
"""What is being done, and how many trainings of how many are done."""


@dataclass(frozen=True)
class Arm:
    """One way of training."""

    code: str
    params: dict[str, Any]
    inputs: tuple[str, ...]
    window: float | None

    def with_change(self, change: Change, system: System, columns: Sequence[str]) -> Arm:
        """This arm, changed; `columns` are those of the rows. DeclarationError for one that is not there."""
        data = system.labelled
        free = tuple(name for name in columns if name not in {*data.key, data.time, data.label})
        inputs = change.inputs or self.inputs or free
        if change.inputs or change.add or change.leave_out:
            gone = _spread(change.leave_out, system)
            more = [name for name in _spread(change.add, system) if name not in inputs]
            inputs = tuple(name for name in (*inputs, *more) if name not in gone)
        else:
            inputs = self.inputs
        for name in (*inputs, *_spread(change.leave_out, system)):
            if name not in columns:
                raise DeclarationError(
                    f"an experiment names the input {name!r}, which the rows do not have",
                    path=system.path,
                    hint=f"they have {', '.join(columns)}",
                )
        window = self.window if change.window is None else change.window or None
        return Arm(change.code or self.code, {**self.params, **change.params}, inputs, window)


def _spread(names: tuple[str, ...], system: System) -> tuple[str, ...]:
    """Names of views replaced by their columns."""
    views = {view.view: view.columns for view in system.features}
    for name in names:
        if name in views and not views[name]:
            raise DeclarationError(
                f"an experiment names the view {name!r}, whose columns are not declared",
                path=system.path,
                hint="write columns = [...] in its [[features]]",
            )
    return tuple(column for name in names for column in views.get(name, (name,)))


def run_experiment(
    spec: ExperimentSpec,
    *,
    system: System,
    datasets: Datasets,
    now: datetime,
    ledger: Ledger,
    blobs: Blobs,
    trainer: Trainer,
    tell: Tell,
) -> tuple[ExperimentFinished, bool]:
    """The result, and whether it was there before. It is run on the rows of `datasets` whose truth is known at
    `now`.

    Each look adds one period to test on, the newest first, and stops where the answer is sure. Trainings are kept by
    their identity, so that an experiment that was killed goes on with the next one. A finished experiment whose arms
    and data are the same is not run again.

    Raises PermanentError where a model cannot be trained or the rows do not reach back far enough for one period.
    """
    rows, version = datasets.labelled(now), datasets.version(now)
    return _Experiment(spec, system, rows, version, now, ledger, blobs, trainer, tell).run()


@dataclass
class _Experiment:
    spec: ExperimentSpec
    system: System
    rows: pl.DataFrame
    version: str
    now: datetime
    ledger: Ledger
    blobs: Blobs
    trainer: Trainer
    tell: Tell
    done: int = 0
    seeds_say_nothing: bool = False

    def run(self) -> tuple[ExperimentFinished, bool]:
        spec, system = self.spec, self.system
        declared = Arm(system.model.code, system.model.params, system.model.inputs, system.model.window)
        columns = [name for name in self.rows.columns if not name.startswith("_")]  # what begins so is not the user's
        self.reference = declared.with_change(spec.baseline, system, columns)
        self.changed = self.reference.with_change(spec.change, system, columns)
        periods = self._periods()
        key = f"experiment:{spec.name}:{self._digest(periods[0])}"
        entry = self.ledger.get(key)
        if entry is not None and isinstance(entry.fact, ExperimentFinished):
            return entry.fact, True
        fact = self._finished(periods)
        self.ledger.append(key, fact, at=self.now)
        return fact, False

    def _periods(self) -> list[tuple[Split, Split]]:
        """For each fold the reference's and the changed arm's split; their test rows are the same."""
        spec, model, data = self.spec, self.system.model, self.system.labelled
        period = model.holdout if spec.period is None else spec.period
        found: list[tuple[Split, Split]] = []
        at = min(self.now, self._newest())
        for _ in range(spec.folds):
            try:
                sides = tuple(
                    split(self.rows, spec=data, now=at, window=arm.window, holdout=period, task=self.system.task)
                    for arm in (self.reference, self.changed)
                )
            except PermanentError:
                if not found:
                    raise
                break
            found.append((sides[0], sides[1]))
            first = moments(sides[0].valid, data.time, data.predict_before)[0]
            at = first + timedelta(seconds=data.label_delay, microseconds=-1)
        return found

    def _newest(self) -> datetime:
        """When the truth of the newest row became known: looking back is counted from there, not from today."""
        data = self.system.labelled
        last: datetime | None = self.rows.get_column(data.time).max()  # type: ignore[assignment]
        if last is None:
            raise PermanentError("no row's truth is known yet", hint="collect first: `trimtab run`")
        return last + timedelta(seconds=data.known_after)

    def _digest(self, newest: tuple[Split, Split]) -> str:
        """Of all that the result follows from: the arms with the code they reach, the rows, and the design."""
        spec = msgspec.structs.replace(self.spec, line=0, hypothesis="", name="")
        arms = [
            self.trainer.identify(self._job(arm, 0), part.train, part.valid)[0].id
            for arm, part in zip((self.reference, self.changed), newest, strict=True)
        ]
        said = canonical_json([spec, arms, self.version, len(self.system.experiments), self.system.value])
        return blake3.blake3(said).hexdigest()[:16]

    def _finished(self, periods: list[tuple[Split, Split]]) -> ExperimentFinished:
        spec, expect = self.spec, self.spec.expect
        levels = spent(shared(spec.level, len(self.system.experiments)), len(periods))
        folds: list[Fold] = []
        rounds: list[Round] = []
        effect: Effect | None = None
        found: Look | None = None
        for number, (period, level) in enumerate(zip(periods, levels, strict=True), 1):
            fold, models = self._fold(period, len(periods) - number)
            folds.append(fold)
            effect = effect_of(expect.metric, folds, value=self.system.value, task=self.system.task, seed=number)
            wanted = {"at_least" if expect.comparison == ">=" else "at_most": expect.margin}
            found = look(effect, level=level, **wanted)
            rounds.append(
                Round(
                    folds=number,
                    difference=effect.difference,
                    low=_finite(found.low),
                    high=_finite(found.high),
                    level=level,
                    rows=effect.rows,
                    blocks=effect.blocks,
                    answer=found.answer,
                    models=models,
                )
            )
            if found.answer != "inconclusive":
                break
        assert effect is not None
        assert found is not None
        return ExperimentFinished(
            name=spec.name,
            hypothesis=spec.hypothesis,
            expect=expect.text,
            metric=expect.metric,
            margin=expect.margin,
            verdict=found.answer,
            why=self._why(effect, found),
            reference=effect.reference,
            changed=effect.changed,
            difference=effect.difference,
            low=rounds[-1].low,
            high=rounds[-1].high,
            smallest_detectable=found.smallest_detectable,
            dataset=self.system.labelled.name,
            dataset_version=self.version,
            changed_by=tuple(self._words()),
            rounds=tuple(rounds),
        )

    def _fold(self, period: tuple[Split, Split], more: int) -> tuple[Fold, tuple[tuple[str, str], ...]]:
        """Both arms trained from every seed and scored on the period's test rows. Where the second seed changes neither
        arm's scores, seeds say nothing and no more are tried, here and in later periods."""
        data = self.system.labelled
        test = period[0].valid
        scores: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])
        models: list[tuple[str, str]] = []
        fitted: tuple[ModelTrained, ...] = ()
        for seed in range(1 if self.seeds_say_nothing else self.spec.seeds):
            fitted = tuple(
                self._model(arm, part, seed, more)
                for arm, part in zip((self.reference, self.changed), period, strict=True)
            )
            found = [self._scores(model, test) for model in fitted]
            models.append((fitted[0].identity.id, fitted[1].identity.id))
            if seed == 1 and all(np.array_equal(new, kept[0]) for new, kept in zip(found, scores, strict=True)):
                self.seeds_say_nothing = True
                break
            for kept, new in zip(scores, found, strict=True):
                kept.append(new)
        blocks = (
            days_of(moments(test, data.time, data.predict_before))
            if self.spec.cluster is None
            else self._cluster(test, self.spec.cluster)
        )
        fold = Fold(
            y=truth_of(test, self.system, fitted[0]),
            blocks=blocks,
            reference=scores[0],
            changed=scores[1],
            threshold_reference=fitted[0].bundle.signature.threshold,
            threshold_changed=fitted[1].bundle.signature.threshold,
        )
        return fold, tuple(models)

    def _cluster(self, test: pl.DataFrame, column: str) -> NDArray[Any]:
        if column not in test.columns:
            raise DeclarationError(
                f"experiment {self.spec.name!r}: the rows have no column {column!r} to cluster by",
                path=self.system.path,
                line=self.spec.line,
                hint=f"they have {', '.join(test.columns)}",
            )
        return test.get_column(column).cast(pl.String).fill_null("null").rank("dense").to_numpy()

    def _model(self, arm: Arm, part: Split, seed: int, more: int) -> ModelTrained:
        which = "changed" if arm is self.changed else "reference"
        seeds = 1 if self.seeds_say_nothing else self.spec.seeds
        total = self.done + 2 * (seeds * (more + 1) - seed) - (arm is self.changed)
        self.tell(f"{which}, seed {seed}", self.done, total)
        result = self.trainer.train(self._job(arm, seed), part.train, part.valid)
        self.done += 1
        self.tell(f"{which}, seed {seed}", self.done, total)
        if not isinstance(result, Trained):
            raise PermanentError(
                f"experiment {self.spec.name!r}: the {which} arm cannot be trained: {result.fact.reason}",
                hint="the experiment goes on from here once that is mended",
            )
        return result.fact

    def _job(self, arm: Arm, seed: int) -> TrainingJob:
        return msgspec.structs.replace(
            job_of(self.system, self.version, f"experiment:{self.spec.name}"),
            code=str(Path(self.system.folder) / arm.code),
            inputs=arm.inputs,
            params=arm.params,
            seed=self.system.model.seed + seed,
            requirements=(),
        )

    def _scores(self, model: ModelTrained, rows: pl.DataFrame) -> NDArray[np.float64]:
        matrix = encode_frame(apply_features(self.blobs, model.bundle, rows), model.bundle.signature)
        return np.asarray(load_model(self.blobs, model.bundle).scores(matrix), dtype=np.float64)

    def _why(self, effect: Effect, found: Look) -> str:
        if effect.reason:
            return effect.reason
        expect = self.spec.expect
        sign = "+" if effect.difference >= 0 else ""
        said = (
            f"{expect.metric} {sign}{_shown(effect.difference, expect)} "
            f"[{_shown(found.low, expect)}..{_shown(found.high, expect)}], "
            f"expected {expect.comparison} {_shown(expect.margin, expect)}"
        )
        if found.answer == "inconclusive" and found.smallest_detectable is not None:
            least = _shown(found.smallest_detectable, expect)
            said += f"; {least} from there is the least that could have been seen"
        return said

    def _words(self) -> Iterator[str]:
        """What the changed arm has that the reference has not."""
        old, new = self.reference, self.changed
        if old.code != new.code:
            yield f"code {old.code} -> {new.code}"
        for name in new.params:
            if new.params[name] != old.params.get(name):
                yield f"{name} {old.params.get(name)} -> {new.params[name]}"
        if more := [name for name in new.inputs if name not in old.inputs]:
            yield f"with {', '.join(more)}"
        if gone := [name for name in old.inputs if name not in new.inputs]:
            yield f"without {', '.join(gone)}"
        if old.window != new.window:
            yield f"window {_span(old.window)} -> {_span(new.window)}"


def _shown(figure: float, expect: Expectation) -> str:
    return format_quantity(figure, expect.unit, expect.scale, digits=3)


def _span(seconds: float | None) -> str:
    return "all" if seconds is None else format_duration(seconds)


def _finite(bound: float) -> float:
    """A bound as a fact can hold it: JSON has no infinity."""
    return float(np.clip(bound, -1e300, 1e300))
