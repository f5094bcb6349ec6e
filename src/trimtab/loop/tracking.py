"""Trainings as the ledger tells them: brought into the index, and copied to the trackers that are declared.

This is the only place that writes to outside trackers, and only what stands in the ledger. A tracker that is down fails
nothing: what it lacks is found in the index at the next pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import blake3
import msgspec

from trimtab.declaration.system import System
from trimtab.errors import PermanentError, TrimtabError, end_if_told
from trimtab.experiments.index import Index, Indexed
from trimtab.experiments.port import Contents, Told, Tracker
from trimtab.experiments.spec import TrackerSpec
from trimtab.experiments.trainings import KeptContents, training_of
from trimtab.loop.releases import fold
from trimtab.records.base import canonical_json
from trimtab.records.blobs import Blobs
from trimtab.records.fact import Fact
from trimtab.records.facts import ModelTrained, ReleaseMoved, TrainingFailed
from trimtab.records.ledger import Ledger
from trimtab.records.model import Stage
from trimtab.records.studies import ExperimentFinished, TrialFinished
from trimtab.records.tracking import Training, ref_of
from trimtab.training.trainer import kept_model

_KINDS = (ModelTrained, TrainingFailed, TrialFinished, ExperimentFinished)
_BUDGET = 30.0
"""Seconds that one pass gives to one tracker: a long queue must not keep the loop from its work."""
_LONGEST_WAIT = 600.0
_MOST_REFUSED = 50


def refresh(index: Index, ledger: Ledger, blobs: Blobs) -> None:
    """Bring into the index what the ledger holds beyond it."""
    head, _ = ledger.head()
    if index.cursor() == head:
        return
    with index.writing():
        after = index.cursor()
        if after > head:  # of another ledger, or of one that was restored from a backup
            after = 0
        for entry in ledger.entries(_KINDS, after=after):
            for identity, group, outcome in _named(entry.fact):
                record = blobs.get_ref(ref_of(identity)) or ""
                training = training_of(blobs, identity) if record else None
                found = Indexed(
                    id=identity,
                    seq=entry.seq,
                    at=entry.at.isoformat(),
                    group=group,
                    outcome=training.outcome if training is not None else outcome,
                    record=record,
                )
                index.put(found, training)
        index.set("cursor", str(head))


def _named(fact: Fact) -> Iterator[tuple[str, str, str]]:
    """The identities that a fact names, what they were trained for, and what they came to."""
    match fact:
        case ModelTrained():
            yield fact.identity.id, "loop", "trained"
        case TrainingFailed():
            yield fact.identity.id, "loop", "failed"
        case TrialFinished():
            if fact.model:
                yield fact.model, f"search:{fact.search}", "trained"
        case ExperimentFinished():
            for model in dict.fromkeys(model for each in fact.rounds for pair in each.models for model in pair):
                yield model, f"experiment:{fact.name}", "trained"


@dataclass(frozen=True)
class Copied:
    """How one tracker stands after a pass: what was written in it, what it holds and lacks in all, and why it lacks
    it."""

    tracker: str
    written: int
    held: int
    waiting: int
    trouble: str = ""


class Copying:
    """Copies the trainings of one system to its trackers. `opened` opens the tracker of a line; `clock` gives seconds
    since 1970."""

    def __init__(
        self,
        system: System,
        *,
        ledger: Ledger,
        blobs: Blobs,
        index: Index,
        opened: Callable[[TrackerSpec], Tracker],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._system = system
        self._ledger = ledger
        self._blobs = blobs
        self._index = index
        self._opened = opened
        self._clock = clock

    def copy(self, *, at_once: bool = False) -> list[Copied]:
        """Write what trackers lack, each for a while; one that failed is left alone for a time that grows with each
        failure, unless `at_once`."""
        refresh(self._index, self._ledger, self._blobs)
        return [self._copy(spec, at_once) for spec in self._system.tracking.to]

    def stands(self) -> list[Copied]:
        """How trackers stand; nothing is written to them."""
        refresh(self._index, self._ledger, self._blobs)
        return [self._stand_of(spec.text, 0) for spec in self._system.tracking.to]

    def _stand_of(self, name: str, written: int) -> Copied:
        held, waiting = self._index.counts(name)
        trouble = self._index.trouble(name)
        return Copied(name, written, held, waiting, trouble.said if trouble else "")

    def _copy(self, spec: TrackerSpec, at_once: bool) -> Copied:
        name, written, said = spec.text, 0, ""
        trouble = self._index.trouble(name)
        if trouble is not None and not at_once:
            pause = min(_LONGEST_WAIT, 5.0 * 2 ** min(trouble.tries, 10))
            if self._clock() - trouble.at < pause:
                return self._stand_of(name, 0)
        standing = self._standing()
        told = blake3.blake3(canonical_json(standing)).hexdigest(16)
        if not self._index.waiting(name, 1) and self._index.get(f"stand:{name}") == told:
            return self._stand_of(name, 0)
        try:
            tracker = self._opened(spec)
            try:
                written, said, whole = self._written(tracker, name)
                if whole:
                    lacking = {found.id for found in self._index.waiting(name, _MOST_REFUSED)}
                    held = {release: each for release, each in standing.items() if each[1] not in lacking}
                    tracker.stand(self._system.name, held)
                    self._index.set(f"stand:{name}", told if not lacking else "")
            finally:
                tracker.close()
        except TrimtabError as error:
            end_if_told(error)
            said = error.in_one_line()
        except Exception as error:  # whatever another library raises, a training must not fail by it
            end_if_told(error)
            said = f"{type(error).__name__}: {error}"[:500]
        if said:
            self._index.failed(name, self._clock(), said)
        else:
            self._index.answers(name)
        return self._stand_of(name, written)

    def _written(self, tracker: Tracker, name: str) -> tuple[int, str, bool]:
        """Write what the tracker lacks: how many it took, what it said of the first that it refused, and whether the
        time was enough for all. One that it refuses keeps no other from it; where it refuses one after another, the
        trouble is not with them, and the error is raised."""
        began, written = time.monotonic(), 0
        refused: dict[str, str] = {}
        while True:
            batch = [found for found in self._index.waiting(name, 20 + len(refused)) if found.id not in refused]
            for found in batch:
                try:
                    place = tracker.write(*self._told(found))
                except PermanentError as error:
                    refused[found.id] = f"{found.id}: {error.in_one_line()}"
                    if len(refused) >= _MOST_REFUSED or (len(refused) > 2 and not written):
                        raise
                    continue
                self._index.written(name, found, place)
                written += 1
                if time.monotonic() - began > _BUDGET:
                    return written, next(iter(refused.values()), ""), False
            if not batch:
                return written, next(iter(refused.values()), ""), True

    def _standing(self) -> dict[str, tuple[Stage, str]]:
        releases = fold((entry.at, entry.fact) for entry in self._ledger.entries(ReleaseMoved))
        return {each.release: (each.stage, each.model) for each in releases.all}

    def _told(self, found: Indexed) -> tuple[Told, Contents]:
        training = training_of(self._blobs, found.id)
        model = kept_model(self._blobs, found.id)
        fact = None if model is None else model.fact
        contents = KeptContents(self._blobs, training, fact)
        if not self._system.tracking.artifacts:
            training = msgspec.structs.replace(training, artifacts=())
        shown: Contents = contents
        if training.private:
            training, shown = _without_people(training), _WithoutModel(contents)
        told = Told(
            system=self._system.name,
            group=found.group,
            training=training,
            dataset="" if fact is None else fact.dataset,
            version="" if fact is None else fact.dataset_version,
            rows=0 if fact is None else fact.rows,
            identity=None if fact is None else fact.identity,
            measured={} if fact is None else fact.metrics,
            study=self._study(found),
        )
        if fact is not None and not training.private:
            told = msgspec.structs.replace(told, signature=fact.bundle.signature, slices=fact.slices)
        return told, shown

    def _study(self, found: Indexed) -> dict[str, str]:
        """What the experiment came to that a training was for; nothing of another training."""
        kind, _, name = found.group.partition(":")
        entry = self._ledger.last(ExperimentFinished, f"experiment:{name}:") if kind == "experiment" else None
        if entry is None:
            return {}
        fact = entry.fact
        changed = any(found.id == pair[1] for each in fact.rounds for pair in each.models)
        told = {"arm": "changed" if changed else "reference", "hypothesis": fact.hypothesis, "expect": fact.expect}
        return told | {"verdict": fact.verdict, "why": fact.why, "changed_by": "; ".join(fact.changed_by)}


def _without_people(training: Training) -> Training:
    """Rows are of people: what goes out holds no text that could have been told from them. (Their files, and metrics
    that may be called after them, were not kept in the first place.)"""
    return msgspec.structs.replace(
        training,
        artifacts=(),
        reason="it failed; `trimtab log` says why" if training.reason else "",
        dropped=("some of what it logged or saved",) if training.dropped else (),
    )


class _WithoutModel:
    """Contents without the model, which could not be called back once a person is to be forgotten."""

    def __init__(self, contents: KeptContents) -> None:
        self.curves, self.artifact, self.patch = contents.curves, contents.artifact, contents.patch

    def model(self) -> bytes | None:
        return None
