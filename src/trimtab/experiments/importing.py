"""Runs that another tool tracked, taken over into the ledger: the port for such stores, and how they are taken in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Protocol

import msgspec
from blake3 import blake3

from trimtab.errors import PermanentError
from trimtab.records.base import Record, canonical_json
from trimtab.records.blobs import Blobs
from trimtab.records.imported import ImportedFile, Points, RunImported
from trimtab.records.journal import Draft
from trimtab.records.ledger import Ledger

Copied = Literal["none", "models", "all"]
"""Which files of a run are copied: none (each is only known by its path), ONNX models, or all."""
_BATCH = 20
_LONGEST = 10_000
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


class ImportingError(PermanentError):
    """A store of runs that cannot be read, or not what it must be."""


class FoundRun(Record, kw_only=True):
    """A run as a store tells it at a glance. `outcome` is `finished`, `failed`, `running`, `deleted`, or
    `damaged` where the store cannot tell the rest of it; `metrics` are
    the last values, those that are no finite numbers among them as None."""

    id: str
    name: str
    experiment: str
    outcome: Literal["finished", "failed", "running", "deleted", "damaged"]
    started: datetime
    ended: datetime | None = None
    params: dict[str, str] = {}  # noqa: RUF012 - msgspec copies an empty default
    metrics: dict[str, float | None] = {}  # noqa: RUF012 - msgspec copies an empty default
    tags: dict[str, str] = {}  # noqa: RUF012 - msgspec copies an empty default
    datasets: tuple[str, ...] = ()
    registered: tuple[str, ...] = ()
    files_at: str = ""


class RunStore(Protocol):
    """Another tool's store of runs, only read.

    Guarantees an implementation gives:
    - `runs` gives every run of an experiment (of all of them for ""), each once, deleted ones among them as such;
    - what it gives is in one order that does not depend on when it is asked;
    - names and addresses of people are left out, and nothing is written to the store;
    - a store that cannot be reached now raises TemporaryError, any other trouble ImportingError.
    """

    tool: str
    place: str
    """What is imported from, without keys."""

    def runs(self, experiment: str) -> Iterator[FoundRun]:
        """What there is. Raises ImportingError for an experiment that is not there, with the names of those that
        are."""
        ...

    def history(self, run: FoundRun) -> Mapping[str, Points]:
        """Every point of every metric of a run."""
        ...

    def files(self, run: FoundRun) -> list[ImportedFile] | None:
        """The files of a run in order of their paths; None where they cannot be reached from here."""
        ...

    def copy(self, run: FoundRun, path: str, target: Path) -> None:
        """Bring one of these files to `target`."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Taken(Record, kw_only=True):
    """What an import came to: runs that are new, that have changed since an earlier import, that were known already;
    what was not taken over, counted by reason."""

    place: str
    new: int = 0
    changed: int = 0
    known: int = 0
    copied: int = 0
    left_out: dict[str, int] = {}  # noqa: RUF012 - msgspec copies an empty default


def take_in(
    store: RunStore,
    ledger: Ledger,
    blobs: Blobs,
    *,
    experiment: str,
    copied: Copied,
    now: datetime,
    tell: Callable[[int], None] = lambda _count: None,
) -> Taken:
    """Write every finished run that the ledger does not hold yet. Killed and started again, it goes on where it was."""
    counts = {"new": 0, "changed": 0, "known": 0, "copied": 0}
    left: dict[str, int] = {}
    drafts: list[Draft] = []

    def write() -> None:
        ledger.append_all(drafts)
        drafts.clear()
        tell(sum(counts.values()) - counts["copied"])

    for run in store.runs(experiment):
        if run.outcome in ("running", "deleted", "damaged"):
            _count(left, f"{run.outcome} runs", 1)
            continue
        prefix = f"imported:{store.tool}:{run.id}:"
        key = prefix + blake3(canonical_json([run, copied])).hexdigest()[:16]
        before = ledger.last(RunImported, prefix)
        if ledger.get(key) is not None:
            counts["known"] += 1
            continue
        fact = _fact(store, blobs, run, copied)
        for reason, count in fact.left_out.items():
            _count(left, reason, count)
        counts["copied"] += sum(bool(file.digest) for file in fact.files)
        counts["new" if before is None else "changed"] += 1
        drafts.append(Draft(key=key, fact=fact, at=now))
        if len(drafts) == _BATCH:
            write()
    write()
    return Taken(place=store.place, left_out=left, **counts)


def imported(ledger: Ledger) -> list[RunImported]:
    """The imported runs, each as it was last told, in the order of their first import."""
    return list({(e.fact.tool, e.fact.run): e.fact for e in ledger.entries(RunImported)}.values())


def _fact(store: RunStore, blobs: Blobs, run: FoundRun, copied: Copied) -> RunImported:
    left: dict[str, int] = {}
    history = store.history(run)
    holes = sum(value is None for points in history.values() for value in points.values)
    _count(left, "points that are no finite numbers (kept as holes)", holes)
    _count(left, "metrics whose last value is no finite number", sum(v is None for v in run.metrics.values()))
    files = _files(store, blobs, run, copied, left)
    return RunImported(
        tool=store.tool,
        store=store.place,
        run=run.id,
        name=run.name,
        experiment=run.experiment,
        outcome=run.outcome,
        started=run.started,
        ended=run.ended,
        params=_texts(run.params, left),
        metrics={name: value for name, value in run.metrics.items() if value is not None},
        tags=_texts(run.tags, left),
        datasets=run.datasets,
        registered=run.registered,
        history=blobs.put(msgspec.json.encode(history, order="deterministic")) if history else "",
        points=sum(len(points.steps) for points in history.values()),
        files_at=_CREDENTIALS.sub("", run.files_at),
        files=tuple(files),
        left_out=left,
    )


def _files(
    store: RunStore, blobs: Blobs, run: FoundRun, copied: Copied, left: dict[str, int]
) -> Iterator[ImportedFile]:
    found = store.files(run)
    if found is None:
        _count(left, "runs whose files cannot be reached from here", 1)
        return
    for file in found:
        if copied == "all" or (copied == "models" and fnmatch(file.path, "*.onnx")):
            with TemporaryDirectory() as folder:
                target = Path(folder) / "file"
                store.copy(run, file.path, target)
                yield ImportedFile(path=file.path, size=target.stat().st_size, digest=blobs.put_file(target))
        else:
            yield file


def _texts(values: Mapping[str, str], left: dict[str, int]) -> dict[str, str]:
    """Without the credentials that addresses may hold, and without the ends of what is very long."""
    _count(left, "texts cut after 10,000 characters", sum(len(value) > _LONGEST for value in values.values()))
    return {name: _CREDENTIALS.sub("", value[:_LONGEST]) for name, value in values.items()}


def _count(counts: dict[str, int], reason: str, count: int) -> None:
    if count:
        counts[reason] = counts.get(reason, 0) + count
