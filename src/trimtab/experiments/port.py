"""The port for outside experiment trackers: what they are told of a training, and what they promise.

The ledger is the truth and a tracker is a copy of it: trainings are written to it from one place only, after their
facts stand in the ledger. One that is down fails nothing; what it missed is written to it at a later pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.experiments.spec import TrackerSpec
from trimtab.records.base import Record
from trimtab.records.model import ModelIdentity, Signature, Stage
from trimtab.records.requirement import Estimate
from trimtab.records.tracking import Artifact, Fit, Training


class TrackerError(PermanentError):
    """A tracker refuses, or is not what it must be."""


@dataclass(frozen=True)
class Curve:
    """One metric by step: `steps` int64 [points], ascending and each once; `values` float64 [points], which may be NaN
    or infinite; `at` int64 [points], microseconds since 1970 in UTC."""

    fit: Fit
    name: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    at: NDArray[np.int64]

    @property
    def title(self) -> str:
        """The name under which trackers show it: that of the second fit and of the machine have a prefix."""
        return self.name if self.fit == "evaluated" else f"{self.fit}/{self.name}"


class Contents(Protocol):
    """What is too large for the record of a training: read when it is asked for."""

    def curves(self) -> Sequence[Curve]:
        """Every metric by step."""
        ...

    def artifact(self, artifact: Artifact) -> Path:
        """A file on this machine with the artifact's bytes, checked against its digest. It is the blob itself: read
        it, never write or move it; it is not called as the artifact is."""
        ...

    def patch(self) -> str:
        """How the code that was run differs from the commit, in the unified form; empty where it does not."""
        ...

    def model(self) -> bytes | None:
        """The shipped model as ONNX; None where the training came to none."""
        ...


class Told(Record, kw_only=True):
    """What a tracker is told of one training. `system` is the name of the system; `group` what it was trained for:
    `loop`, `experiment:<name>` or `search:<id>`; `rows` how many it was trained on; `dataset` and `version` which.

    Of one that came to a model: `identity` its three digests, `signature` what goes in and out, `measured` its figures
    with their intervals, and `slices` those of parts of the rows, as `metric|column=value`. Of one that an experiment
    needed, `study` says in texts which arm it was of, what was supposed, and the verdict."""

    system: str
    group: str
    training: Training
    dataset: str = ""
    version: str = ""
    rows: int = 0
    identity: ModelIdentity | None = None
    signature: Signature | None = None
    measured: dict[str, Estimate] = {}  # noqa: RUF012 - msgspec copies an empty default
    slices: dict[str, Estimate] = {}  # noqa: RUF012 - msgspec copies an empty default
    study: dict[str, str] = {}  # noqa: RUF012 - msgspec copies an empty default


class Tracker(Protocol):
    """A place outside that shows trainings.

    Guarantees an implementation gives:
    - `write` is idempotent by (`system`, `training.id`): written again, also after it was killed half way or from
      another process, there is one run with every hyper-parameter, figure, point and artifact exactly once;
    - it sends what it was given and nothing else: no arguments, environment variables, host names, user names, source
      files or output that the tool's own library would gather by itself;
    - it holds the outcome, the moment of start and the duration, the hyper-parameters, the final figures under their
      names, every curve under its `title` with its steps, values (NaN and infinities included where the tool has them,
      else left out) and moments, and the artifacts under their names;
    - it prints nothing, changes no environment variable or directory, leaves no thread or process behind, and keeps
      keys out of every message;
    - what cannot be reached within the adapter's time limit raises TemporaryError, what is refused (a wrong key, no
      such project) TrackerError.
    """

    def write(self, told: Told, contents: Contents) -> str:
        """Write one training; returns where a person finds it (an address, a path, a run's name)."""
        ...

    def stand(self, system: str, releases: Mapping[str, tuple[Stage, str]]) -> None:
        """Let the tool's model registry say where releases stand: by name of release, its stage and the identity of
        its training, all of which were written. Called when that has changed; again is harmless. A tool without a
        registry does nothing."""
        ...

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        ...


TrackerOpener = Callable[[TrackerSpec, Path], Tracker]
"""Opens the tracker of one line of `[tracking]`; paths are relative to the folder of the declaration. Opening reaches
nothing yet; it raises DeclarationError for a place that cannot be meant."""
