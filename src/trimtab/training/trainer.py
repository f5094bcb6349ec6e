"""Trains models in worker processes, never the same one twice, and keeps what they are made of."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from msgspec import UNSET
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.records.base import canonical_json
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained, TrainingFailed
from trimtab.records.model import ModelBundle, ModelIdentity, Signature
from trimtab.training import identity as identities
from trimtab.training.checkpoints import Checkpoints
from trimtab.training.evaluate import threshold_of
from trimtab.training.identity import CodeIdentity
from trimtab.training.job import DAYS, MATRIX, Fitted, TrainingJob, WorkDone, WorkOrder, WorkRefused
from trimtab.training.process import Ended, WorkerProcess, sweep
from trimtab.training.snapshot import code_of, dotted, modules_only, write_files, zip_of
from trimtab.training.split import moments
from trimtab.training.stored_code import WHOLE

Profile = Callable[[NDArray[np.float32], Signature, NDArray[np.int64]], bytes]
"""From the rows a model was fitted on [n, features], as its signature codes them, and the day of each [n]: a blob."""

_ATTEMPTS = 3
_FROM_OUTSIDE = frozenset((signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
"""Signals that a process does not raise by its own fault, as it does SIGSEGV."""
_WITHHELD = "withheld: the rows are of people, and the code may have printed some"
_LOG_LINES = 40
_LOG_BYTES = 8_000
_LIBRARIES = {
    "scikit-learn": ("sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline"),
    "lightgbm": ("lightgbm",),
    "torch": ("torch",),
}


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


@dataclass(frozen=True)
class Built:
    """What a worker left: its result and the files it names."""

    done: WorkDone
    onnx: bytes
    evaluated: bytes
    features: bytes | None
    postprocess: bytes | None
    profile: bytes | None
    explainer: bytes | None
    measured: dict[str, float]


@dataclass(frozen=True)
class Failure:
    """Why a worker left nothing, the end of its log, and what was measured. `outside`: the work was not at fault."""

    reason: str
    log: str
    measured: dict[str, float]
    outside: bool = False


class Trainer:
    """Trains in folder `work`; a worker may use that many `threads`. Folders of trainers that died are removed."""

    def __init__(self, blobs: Blobs, work: Path, *, threads: int = 1) -> None:
        self._blobs = blobs
        self._work = work
        self._threads = threads
        self._numbers = count()
        self._waiting: WorkerProcess | None = None
        self._libraries: tuple[str, ...] = ()
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
        kept = self._blobs.get_ref(f"model-{identity}")
        if kept is None:
            return None
        stored = msgspec.json.decode(self._blobs.get(kept), type=_Kept)
        return Trained(fact=stored.fact, measured=stored.measured, again=True)

    def train(
        self, job: TrainingJob, train: pl.DataFrame, valid: pl.DataFrame, *, profile: Profile | None = None
    ) -> Trained | Refused:
        """Train, check and keep one model; the same code, parameters and data give the model that is kept already.

        `train` and `valid` are a Split's frames, in order of time. `profile` makes the profile that is kept with the
        model, of all rows that the shipped model was fitted on. A model that cannot be had is Refused, with the reason;
        nothing of it is kept. Raises DeclarationError for code that is missing or does not parse.
        """
        identity, code = self.identify(job, train, valid)
        known = self.known(identity.id)
        if known is not None:
            return known
        with self._alone(identity.id), self._checkpoints.of(identity.id) as checkpoints:
            known = self.known(identity.id)
            if known is not None:  # another process has just trained it
                return known
            built = self.build(job, code, train, valid, profile=profile, checkpoints=checkpoints)
            if isinstance(built, Failure):
                log = _WITHHELD if job.private and built.log else built.log
                fact = TrainingFailed(identity=identity, reason=built.reason, log=log)
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
        folder `checkpoints` before it was killed.

        A worker that somebody else killed (a person, or the machine in need of memory) says nothing about the model, so
        the work is begun again; what is killed time after time is a failure.
        """
        self._libraries = tuple(m for name in code.libraries for m in _LIBRARIES.get(name, ()))
        for _ in range(_ATTEMPTS - 1):
            built = self._attempt(job, code, train, valid, profile=profile, checkpoints=checkpoints)
            if isinstance(built, Built) or not built.outside:
                return built
        return self._attempt(job, code, train, valid, profile=profile, checkpoints=checkpoints)

    def _attempt(
        self,
        job: TrainingJob,
        code: CodeIdentity,
        train: pl.DataFrame,
        valid: pl.DataFrame,
        *,
        profile: Profile | None,
        checkpoints: Path | None,
    ) -> Built | Failure:
        worker = self._worker()
        folder = worker.folder
        try:
            order = WorkOrder(
                job=job,
                entry=code.entry,
                has_features=code.has_features,
                has_postprocess=code.has_postprocess,
                keep_matrix=profile is not None,
                threads=self._threads,
                checkpoints=str((checkpoints or folder / "checkpoints").absolute()),
                torch="torch" in code.libraries,
            )
            write_files(folder / "code", code.contents)
            own = [name for name, there in _own_functions(code) if there]
            for name in own:
                entry = folder / "code" / code.entry
                (folder / f"{name}.zip").write_bytes(zip_of(code_of(name, entry, folder / "code")))
            if own:
                (folder / WHOLE).write_bytes(zip_of(modules_only(code.contents)))
            (folder / "job.json").write_bytes(msgspec.json.encode(order))
            train.write_ipc(folder / "train.arrow", compression="uncompressed")
            valid.write_ipc(folder / "valid.arrow", compression="uncompressed")
            ended = worker.work(job.time_limit, job.memory_limit)
            return self._outcome(folder, ended, profile)
        finally:
            worker.end()
            shutil.rmtree(folder, ignore_errors=True)

    def warm(self) -> None:
        """Start the next worker now, so that its imports are done when it is needed. It dies with this thread."""
        if self._waiting is None or not self._waiting.alive:
            self._drop()
            self._waiting = self._start()

    def close(self) -> None:
        """End the worker that waits, if any."""
        self._drop()

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drop(self) -> None:
        if self._waiting is not None:
            self._waiting.end()
            shutil.rmtree(self._waiting.folder, ignore_errors=True)
            self._waiting = None

    def _worker(self) -> WorkerProcess:
        if self._waiting is not None and not self._waiting.alive:
            self._drop()
        waiting, self._waiting = self._waiting, None
        return self._start() if waiting is None else waiting

    def _start(self) -> WorkerProcess:
        folder = self._work / f"training-{os.getpid()}-{next(self._numbers)}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        threads = str(self._threads)
        environment = {
            "ORT_DISABLE_TELEMETRY": "1",  # a model's own code may import ONNX Runtime before we do
            **os.environ,
            **dict.fromkeys(
                (
                    "OMP_NUM_THREADS",
                    "OPENBLAS_NUM_THREADS",
                    "MKL_NUM_THREADS",
                    "POLARS_MAX_THREADS",
                    "LOKY_MAX_CPU_COUNT",  # what scikit-learn and LightGBM take for the number of cores
                ),
                threads,
            ),
            "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait by spinning starve the rest of the machine
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        return WorkerProcess(folder, environment, self._libraries)

    def _outcome(self, folder: Path, ended: Ended, profile: Profile | None) -> Built | Failure:
        measured = {"resources.train_time": ended.seconds, "resources.train_memory": float(ended.peak)}
        path = folder / "result.json"
        log = _tail(folder / "log.txt")
        if ended.killed:
            return Failure(reason=f"the training was ended: {ended.killed}", log=log, measured=measured)
        if not path.is_file():
            return Failure(reason=_death(ended.code), log=log, measured=measured, outside=-ended.code in _FROM_OUTSIDE)
        result = msgspec.json.decode(path.read_bytes(), type=WorkDone | WorkRefused)
        if isinstance(result, WorkRefused):
            reason = f"{result.reason} (hint: {result.hint})" if result.hint else result.reason
            return Failure(reason=reason, log=log, measured=measured)
        measured = {**result.measured, **measured}
        measured["resources.train_memory"] = max(ended.peak, result.measured["resources.train_memory"])
        kept = None
        if profile is not None:
            matrix, days = (np.load(folder / name, allow_pickle=False) for name in (MATRIX, DAYS))
            kept = profile(matrix, result.shipped.signature, days)
        return Built(
            done=result,
            onnx=(folder / result.shipped.onnx).read_bytes(),
            evaluated=(folder / result.evaluated.onnx).read_bytes(),
            features=(folder / result.shipped.code).read_bytes() if result.shipped.code else None,
            postprocess=(folder / result.postprocess).read_bytes() if result.postprocess else None,
            profile=kept,
            explainer=(folder / result.shipped.explainer).read_bytes() if result.shipped.explainer else None,
            measured=measured,
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
        )
        self._blobs.set_ref(f"job-{identity.id}", self._blobs.put(canonical_json(job)))
        kept = self._blobs.put(msgspec.json.encode(_Kept(fact=fact, measured=built.measured)))
        self._blobs.set_ref(f"model-{identity.id}", kept)
        return Trained(fact=fact, measured=built.measured)


def _own_functions(code: CodeIdentity) -> tuple[tuple[str, bool], ...]:
    return ("features", code.has_features), ("postprocess", code.has_postprocess)


class _Kept(msgspec.Struct, frozen=True):
    fact: ModelTrained
    measured: dict[str, float]


def identity_of(job: TrainingJob, code: CodeIdentity, train: pl.DataFrame, valid: pl.DataFrame) -> ModelIdentity:
    """The identity of the model that `job` makes of these rows with this code."""
    settings: dict[str, Any] = {
        "params": job.params,
        "seed": job.seed,
        "task": job.task,
        "inputs": list(job.inputs),
        "label": job.label,
        "not_inputs": [*job.key, job.time],
        "threshold": threshold_of(job.task, job.value),
        "refit": job.refit,
    }
    rows = {name: _bounds(job, frame) for name, frame in (("train", train), ("valid", valid))}
    return identities.model_identity(code.digest, settings, identities.data_digest(job.versions, rows))


def _bounds(job: TrainingJob, frame: pl.DataFrame) -> list[Any]:
    if not frame.height:
        raise PermanentError("there are no rows to train on")
    when = moments(frame, job.time, job.predict_before)
    keys = frame.select(job.key).row(0), frame.select(job.key).row(-1)
    return [when[0], when[-1], frame.height, [[str(cell) for cell in key] for key in keys]]


def _death(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        often = f" {_ATTEMPTS} times in a row" if -code in _FROM_OUTSIDE else ""
        why = "; the machine may have run out of memory" if code == -signal.SIGKILL else ""
        return f"the training process was killed by signal {-code} ({name}){often}{why}"
    return f"the training process ended with status {code} and left no result"


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    folder = str(path.parent)
    return "\n".join(line.replace(folder, "") for line in text.splitlines()[-_LOG_LINES:])
