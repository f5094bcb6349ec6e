"""One model built in a worker process: the order written, the worker watched, and what it left read."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.records.model import Signature
from trimtab.records.tracking import Environment
from trimtab.training.code.snapshot import code_of, modules_only, write_files, zip_of
from trimtab.training.code.stored_code import WHOLE
from trimtab.training.identity import CodeIdentity
from trimtab.training.job import DAYS, MATRIX, TrainingJob, WorkDone, WorkOrder, WorkRefused
from trimtab.training.process import Ended, WorkerProcess
from trimtab.training.tracking.environment import environment
from trimtab.training.tracking.gpu import Gpus
from trimtab.training.tracking.meter import Meter, Used

Profile = Callable[[NDArray[np.float32], Signature, NDArray[np.int64]], bytes]
"""From the rows a model was fitted on [n, features], as its signature codes them, and the day of each [n]: a blob."""

_ATTEMPTS = 3
_FROM_OUTSIDE = frozenset((signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
"""Signals that a process does not raise by its own fault, as it does SIGSEGV."""
_NO_ROOM = os.strerror(errno.ENOSPC)
_LOG_LINES = 40
_LOG_BYTES = 8_000
_LIBRARIES = {
    "scikit-learn": ("sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline"),
    "lightgbm": ("lightgbm",),
    "torch": ("torch",),
    "xgboost": ("xgboost",),
    "xgboost-cpu": ("xgboost",),
}


@dataclass(frozen=True)
class Built:
    """What a worker left: its result and the files it names, and what it used."""

    done: WorkDone
    onnx: bytes
    evaluated: bytes
    features: bytes | None
    postprocess: bytes | None
    profile: bytes | None
    explainer: bytes | None
    measured: dict[str, float]
    used: Used | None = None


@dataclass(frozen=True)
class Failure:
    """Why a worker left nothing, the end of its log, and what was measured. `outside`: somebody else killed it."""

    reason: str
    log: str
    measured: dict[str, float]
    outside: bool = False
    used: Used | None = None

    @property
    def passing(self) -> bool:
        """Whether the work was not at fault, so that it may come to a model another time."""
        return self.outside or _NO_ROOM in self.reason or _NO_ROOM in self.log


class Builder:
    """Builds models in workers, each in a folder of its own under `work`; a worker may use that many `threads`."""

    def __init__(self, work: Path, *, threads: int = 1) -> None:
        self._work = work
        self._threads = threads
        self._waiting: WorkerProcess | None = None
        self._libraries: tuple[str, ...] = ()
        self._gpus: tuple[Gpus | None] | None = None  # looked for when the first is trained

    def build(
        self,
        job: TrainingJob,
        code: CodeIdentity,
        train: pl.DataFrame,
        valid: pl.DataFrame,
        *,
        profile: Profile | None = None,
        checkpoints: Path | None = None,
        tracked: Path | None = None,
    ) -> Built | Failure:
        """Train in a worker, whatever is kept already, and keep nothing. Code that can goes on after what it left in
        folder `checkpoints` before it was killed; what it logs comes into folder `tracked`.

        A worker that somebody else killed (a person, or the machine in need of memory) says nothing about the model, so
        the work is begun again; what is killed time after time is a failure.
        """
        self._libraries = tuple(m for name in code.libraries for m in _LIBRARIES.get(name, ()))
        meter = Meter(self._found_gpus())
        for attempt in range(_ATTEMPTS):
            built = self._attempt(
                job, code, train, valid, profile=profile, checkpoints=checkpoints, tracked=tracked, meter=meter
            )
            if isinstance(built, Built) or not built.outside or attempt == _ATTEMPTS - 1:
                break
        return replace(built, used=meter.end())

    def environment(self) -> Environment:
        """What the workers run on."""
        return environment(self._threads, self._found_gpus())

    def _found_gpus(self) -> Gpus | None:
        if self._gpus is None:
            self._gpus = (Gpus.found(),)
        return self._gpus[0]

    def _attempt(
        self,
        job: TrainingJob,
        code: CodeIdentity,
        train: pl.DataFrame,
        valid: pl.DataFrame,
        *,
        profile: Profile | None,
        checkpoints: Path | None,
        tracked: Path | None,
        meter: Meter,
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
                tracked=str((tracked or folder / "tracked").absolute()),
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
            ended = worker.work(job.time_limit, job.memory_limit, meter.look)
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
        if self._gpus is not None and self._gpus[0] is not None:
            self._gpus[0].close()
        self._gpus = None

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
        self._work.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"training-{os.getpid()}-", dir=self._work))  # others may train here too
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


def _own_functions(code: CodeIdentity) -> tuple[tuple[str, bool], ...]:
    return ("features", code.has_features), ("postprocess", code.has_postprocess)


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
