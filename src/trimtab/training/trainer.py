"""Trains models in worker processes, never the same one twice, and keeps what they are made of."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from msgspec import UNSET

from trimtab.errors import PermanentError
from trimtab.records.base import canonical_json
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained, TrainingFailed
from trimtab.records.model import ModelBundle, ModelIdentity
from trimtab.records.tensors import MediaModel
from trimtab.records.tracking import Environment
from trimtab.training import identity as identities
from trimtab.training.build import Builder, Built, Failure, Profile
from trimtab.training.checkpoints import Checkpoints, tracked_in
from trimtab.training.code.snapshot import dotted
from trimtab.training.evaluate import threshold_of
from trimtab.training.identity import CodeIdentity
from trimtab.training.job import Fitted, TrainingJob
from trimtab.training.process import sweep
from trimtab.training.split import moments
from trimtab.training.tracking.keep import keep_training

_WITHHELD = "withheld: the rows are of people, and the code may have printed some"


@dataclass(frozen=True)
class Trained:
    """A model, and what was measured beside the fact. `again` is true when it had been trained before."""

    fact: ModelTrained
    measured: dict[str, float]
    again: bool = False


@dataclass(frozen=True)
class Refused:
    """A training without a model, and why."""

    fact: TrainingFailed
    measured: dict[str, float] = field(default_factory=dict)


class Trainer:
    """Trains in folder `work`; a worker may use that many `threads`. Folders of trainers that died are removed."""

    def __init__(self, blobs: Blobs, work: Path, *, threads: int = 1) -> None:
        self._blobs = blobs
        self._work = work
        self._builder = Builder(work, threads=threads)
        self._checkpoints = Checkpoints(work)
        sweep(work)
        self._checkpoints.sweep(lambda identity: blobs.get_ref(f"model-{identity}") is not None)

    def identify(
        self, job: TrainingJob, train: pl.DataFrame, valid: pl.DataFrame
    ) -> tuple[ModelIdentity, CodeIdentity]:
        """The identity that a model of this job and these rows has. Raises DeclarationError for code that is missing
        or does not parse."""
        code = identities.code_digest(Path(job.code), Path(job.root))
        return identity_of(job, code, train, valid), code

    def known(self, identity: str) -> Trained | None:
        """The model of that identity, if it was trained before."""
        return kept_model(self._blobs, identity)

    def train(
        self, job: TrainingJob, train: pl.DataFrame, valid: pl.DataFrame, *, profile: Profile | None = None
    ) -> Trained | Refused:
        """Train, check and keep one model; the same code, parameters and data give the model that is kept already.

        `train` and `valid` are a Split's frames, in order of time. `profile` makes the profile that is kept with the
        model, of all rows that the shipped model was fitted on. A model that cannot be had is Refused, with the reason;
        only the record of its training is kept. Raises DeclarationError for code that is missing or does not parse.
        """
        identity, code = self.identify(job, train, valid)
        known = self.known(identity.id)
        if known is not None:
            return known
        with self._alone(identity.id), self._checkpoints.of(identity.id) as checkpoints:
            known = self.known(identity.id)
            if known is not None:  # another process has just trained it
                return known
            tracked = tracked_in(checkpoints)
            built = self._builder.build(
                job, code, train, valid, profile=profile, checkpoints=checkpoints, tracked=tracked
            )
            self._keep_tracked(job, identity.id, code, built, tracked)
            if isinstance(built, Failure):
                log = _WITHHELD if job.private and built.log else built.log
                fact = TrainingFailed(identity=identity, reason=built.reason, log=log, outside=built.passing or UNSET)
                return Refused(fact=fact, measured=built.measured)
            return self._keep(job, identity, code, built)

    @contextmanager
    def _alone(self, identity: str) -> Iterator[None]:
        """Hold the right to train one identity, across processes; it is given back when this process dies."""
        self._work.mkdir(parents=True, exist_ok=True)
        path = self._work / f"{identity}.lock"
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)  # one that waits on the old file finds the model kept

    def build(
        self,
        job: TrainingJob,
        code: CodeIdentity,
        train: pl.DataFrame,
        valid: pl.DataFrame,
        *,
        profile: Profile | None = None,
        checkpoints: Path | None = None,
    ) -> Built | Failure:
        """Train in a worker, whatever is kept already, and keep nothing. Code that can goes on after what it left in
        folder `checkpoints` before it was killed."""
        return self._builder.build(job, code, train, valid, profile=profile, checkpoints=checkpoints)

    def environment(self) -> Environment:
        """What its workers run on."""
        return self._builder.environment()

    def warm(self) -> None:
        """Start the next worker now, so that its imports are done when it is needed. It dies with this thread."""
        self._builder.warm()

    def close(self) -> None:
        """End the worker that waits, if any."""
        self._builder.close()

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep_tracked(
        self, job: TrainingJob, identity: str, code: CodeIdentity, built: Built | Failure, folder: Path
    ) -> None:
        """Keep what the training left beside its model, before there is a model: no model is without it."""
        assert built.used is not None
        figures = {name: figure for name, figure in built.measured.items() if not name.startswith("seconds.")}
        if isinstance(built, Built):
            found = {name: estimate.figure for name, estimate in built.done.metrics.items()}
            figures |= {name: figure for name, figure in found.items() if figure is not None}
        keep_training(
            self._blobs,
            job=job,
            identity=identity,
            code=code,
            used=built.used,
            figures=figures,
            reason=built.reason if isinstance(built, Failure) else "",
            environment=self._builder.environment(),
            folder=folder,
        )

    def _keep(self, job: TrainingJob, identity: ModelIdentity, code: CodeIdentity, built: Built) -> Trained:
        """Keep all parts, then the name that makes them a model: a trainer that is killed between leaves no model."""
        done = built.done
        features = self._blobs.put(built.features) if built.features is not None else None
        hook = self._blobs.put(built.postprocess) if built.postprocess is not None else UNSET
        entry = dotted(code.entry) if features or hook else ""
        explainer = self._blobs.put(built.explainer) if built.explainer is not None else None

        def bundle(onnx: bytes, fitted: Fitted) -> ModelBundle:
            return ModelBundle(
                onnx=self._blobs.put(onnx),
                signature=fitted.signature,
                features_code=features,
                entry=entry,
                postprocess_code=hook,
                explainer=explainer if explainer and fitted.explainer else UNSET,
            )

        fact = ModelTrained(
            identity=identity,
            bundle=bundle(built.onnx, done.shipped),
            evaluated=bundle(built.evaluated, done.evaluated) if job.refit else None,
            dataset=job.dataset,
            dataset_version=job.versions.get(job.dataset, ""),
            rows=done.rows,
            train_from=done.train_from,
            train_to=done.train_to,
            valid_from=done.valid_from,
            valid_to=done.valid_to,
            params=job.params,
            code_files={path: self._blobs.put(content) for path, content in code.contents.items()},
            libraries=code.libraries,
            metrics=done.metrics,
            baseline=done.baseline,
            slices=done.slices,
            profile=self._blobs.put(built.profile) if built.profile is not None else "",
            parity=max(done.shipped.parity, done.evaluated.parity),
            personal=job.personal or UNSET,
            threshold=done.threshold if done.threshold is not None else UNSET,
        )
        self._blobs.set_ref(f"job-{identity.id}", self._blobs.put(canonical_json(job)))
        kept = self._blobs.put(msgspec.json.encode(_Kept(fact=fact, measured=built.measured)))
        self._blobs.set_ref(f"model-{identity.id}", kept)
        return Trained(fact=fact, measured=built.measured)


class _Kept(msgspec.Struct, frozen=True):
    fact: ModelTrained
    measured: dict[str, float]


def kept_model(blobs: Blobs, identity: str) -> Trained | None:
    """The model of that identity as it was kept when it was trained, for the loop or for a trial; None where none
    was."""
    kept = blobs.get_ref(f"model-{identity}")
    if kept is None:
        return None
    stored = msgspec.json.decode(blobs.get(kept), type=_Kept)
    return Trained(fact=stored.fact, measured=stored.measured, again=True)


def identity_of(job: TrainingJob, code: CodeIdentity, train: pl.DataFrame, valid: pl.DataFrame) -> ModelIdentity:
    """The identity of the model that `job` makes of these rows with this code."""
    settings: dict[str, Any] = {
        "params": job.params,
        "seed": job.seed,
        "task": job.task,
        "inputs": list(job.inputs),
        "label": job.label,
        "not_inputs": [*job.key, job.time],
        # The rule is part of what a model is, and not the number that comes of it.
        "threshold": [threshold_of(job.task, job.value), "value"]
        if job.threshold == "value"
        else threshold_of(job.task, job.value, job.threshold),
        "refit": job.refit,
    }
    if isinstance(job.media, MediaModel):
        settings["media"] = msgspec.to_builtins(job.media)
    rows = {name: _bounds(job, frame) for name, frame in (("train", train), ("valid", valid))}
    return identities.model_identity(code.digest, settings, identities.data_digest(job.versions, rows))


def _bounds(job: TrainingJob, frame: pl.DataFrame) -> list[Any]:
    if not frame.height:
        raise PermanentError("there are no rows to train on")
    when = moments(frame, job.time, job.predict_before)
    keys = frame.select(job.key).row(0), frame.select(job.key).row(-1)
    return [when[0], when[-1], frame.height, [[str(cell) for cell in key] for key in keys]]
