"""What a training leaves beside its model: what it logged, what it ran on, what it used, and the code it ran.

Nearly all of it differs between two trainings of the same thing, so it is no fact: a Training is kept as a blob, found
by the ref `trainings/<identity>`, as what was `measured` is kept beside a fact.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from trimtab.records.base import Record

Fit = Literal["evaluated", "shipped", "system"]
"""Where a point comes from: the fit that is evaluated, the second one on all rows, or the machine that both ran on."""


def ref_of(identity: str) -> str:
    """The name in the blob store under which what a training left is found."""
    return f"trainings/{identity}"


class Gpu(Record, kw_only=True):
    """One GPU: its name, bytes of memory, and the version of its driver."""

    name: str
    memory: int
    driver: str = ""


class Environment(Record, kw_only=True):
    """What a training ran on. `cores` are those it could use, `threads` how many of them it may; `memory` in bytes;
    `libraries` every installed distribution with its version."""

    python: str
    system: str
    processor: str
    cores: int
    threads: int
    memory: int
    gpus: tuple[Gpu, ...] = ()
    libraries: dict[str, str] = {}  # noqa: RUF012 - msgspec copies an empty default


class Load(Record, kw_only=True):
    """What a training used, of the whole process tree: seconds of all cores together, the cores that were busy on
    average, bytes. Of GPUs: the mean share of time that one was busy and the most memory, over all of the machine (a
    GPU does not tell whose work it does); None without one."""

    cpu_seconds: float
    cores_busy: float
    memory_mean: float
    memory_peak: float
    gpu_busy: float | None = None
    gpu_memory_peak: float | None = None


class Energy(Record, kw_only=True):
    """An estimate of the electrical energy that a training took, in joules, without cooling. `basis` says what it was
    told from: counters of the hardware, or usual powers with their source."""

    joules: float
    basis: str


class SourceState(Record, kw_only=True):
    """The code that was run against the last commit. `commit` is empty where there is no repository, and `why` says so.
    `changed` are reached files that differ from the commit, `untracked` those it does not hold; `patch` is the blob of
    the difference in the unified form (empty: none)."""

    commit: str = ""
    branch: str = ""
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    patch: str = ""
    why: str = ""

    @property
    def uncommitted(self) -> bool:
        """Whether what was run is not what the commit holds."""
        return bool(self.changed or self.untracked)


class Artifact(Record, kw_only=True):
    """A file that the training saved: `digest` is its blob, `size` its bytes."""

    name: str
    digest: str
    size: int


class Series(Record, kw_only=True):
    """One metric by step, in short: its first and last step, its last value, the least and the greatest (None where no
    value is finite)."""

    fit: Fit
    name: str
    points: int
    first_step: int
    last_step: int
    last: float | None
    least: float | None
    greatest: float | None


class Training(Record, kw_only=True):
    """What one training left. `id` is the identity of what it trained, whether or not that came to a model.

    `figures` are the final ones, by metric; `points` is the blob that holds every logged point, empty where there are
    none, and `series` tells them in short. `private` rows are of people: what the code saved is then not kept.
    `dropped` says in words what was not kept, and why.
    """

    id: str
    outcome: Literal["trained", "failed"]
    started: datetime
    seconds: float
    reason: str = ""
    params: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies an empty default
    figures: dict[str, float] = {}  # noqa: RUF012 - msgspec copies an empty default
    environment: Environment | None = None
    load: Load | None = None
    energy: Energy | None = None
    source: SourceState = SourceState()
    artifacts: tuple[Artifact, ...] = ()
    points: str = ""
    series: tuple[Series, ...] = ()
    private: bool = False
    dropped: tuple[str, ...] = ()
