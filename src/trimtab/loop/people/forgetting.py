"""Forget a person: find all that holds them, take out what no key protects, destroy their key, and leave proof.

The key goes last. Until then the person's own cells can be read, by which they are found where no key protects them; a
run that is killed is run again and finds what is left. What was found stands in the ledger before anything is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
from blake3 import blake3

from trimtab.data.port import DIGEST
from trimtab.data.privacy.keys import KeyStore
from trimtab.data.privacy.sealing import sealed_columns
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.home import Home
from trimtab.data.store.personal import key_store
from trimtab.data.store.versions import DatasetStore
from trimtab.declaration.system import System
from trimtab.errors import DeclarationError, PermanentError
from trimtab.inference.lookup.snapshot import FeatureSnapshot
from trimtab.records.facts import Holding, ModelTrained, PersonForgetting, PersonForgotten
from trimtab.records.journal import Draft
from trimtab.records.layout import Layout
from trimtab.records.ledger import Ledger
from trimtab.serving.telemetry.maintenance.erasure import Erased, Traces, erase, holding, prepare
from trimtab.training.process import sweep

_LEAST_WORD = 4
"""A shorter cell (an age, a country) tells nobody by itself, and would be found in rows of others."""


_LEAST_DIGITS = 6


class UnknownPersonError(PermanentError):
    """Nobody is called so here."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What holds a person, and by which texts they are told; `rows` are the times of their labelled rows."""

    person: str
    versions: dict[str, tuple[Holding, ...]]
    models: tuple[str, ...]
    telemetry: tuple[Holding, ...]
    traces: Traces


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `left` are files of the state in which the person's own texts still stand: what Trimtab does not
    keep itself, such as a server's log."""

    person: str
    at: datetime
    already: bool
    keys: int
    versions: dict[str, tuple[Holding, ...]]
    models: tuple[str, ...]
    telemetry: tuple[Holding, ...]
    features: int
    left: tuple[str, ...]


@dataclass
class Forgetting:
    """Forgets people of one system."""

    system: System
    layout: Layout
    ledger: Ledger
    data: Home
    turn: Callable[[], None]
    """Has a server that runs end the telemetry segments that it writes."""

    def find(self, subject: str) -> Found | Outcome:
        """All that holds a person; an Outcome where they were forgotten already. Changes nothing that counts.

        Raises DeclarationError where no dataset says whose its rows are, UnknownPersonError where nobody is called so.
        """
        keys = self._keys()
        person = keys.pseudonym(subject) if keys.exists() else b""
        told = blake3(person).hexdigest(16)
        done = self.ledger.get(f"forgotten:{told}")
        if done is not None and isinstance(done.fact, PersonForgotten):
            return _outcome(done.fact, done.at, already=True, left=())
        if not person or not keys.is_known(person):
            raise UnknownPersonError(
                "nobody is called so in any dataset of this state",
                hint="give what the column `subject` holds, just as it stands there",
            )
        rows = self._rows(person)
        traces = self._traces(subject, rows)
        prepare(self.layout.telemetry, traces, self.turn)
        begun = self.ledger.get(f"forgetting:{told}")
        if begun is not None and isinstance(begun.fact, PersonForgetting):  # a run that was killed had found this
            fact = begun.fact
            return Found(
                person=told, versions=fact.versions, models=fact.models, telemetry=fact.telemetry, traces=traces
            )
        return Found(
            person=told,
            versions={name: self._versions(store, person) for name, store in self._stores().items() if name in rows},
            models=self._models(rows),
            telemetry=_held(holding(self.layout.telemetry, traces)),
            traces=traces,
        )

    def carry_out(self, subject: str, found: Found, now: datetime) -> Outcome:
        """Forget the person that was found. Doing so again, also after a kill, changes nothing."""
        begun = PersonForgetting(
            person=found.person, versions=found.versions, models=found.models, telemetry=found.telemetry
        )
        if self.ledger.get(f"forgetting:{found.person}") is None:
            self.ledger.append_all([Draft(key=f"forgetting:{found.person}", fact=begun, at=now)])
        keys = self._keys()
        person = keys.pseudonym(subject)
        traces = found.traces
        erase(self.layout.telemetry, traces)
        features, texts = FeatureSnapshot(self.layout.features), {*traces.ids, *traces.words}
        removed = features.erase(lambda cell: isinstance(cell, (str, int)) and str(cell) in texts)
        features.close()
        sweep(self.layout.work)
        _remove_reports(self.layout.reports, traces)
        destroyed = keys.forget(person)
        fact = PersonForgotten(
            person=found.person,
            keys=destroyed,
            versions=found.versions,
            models=found.models,
            telemetry=found.telemetry,
            features=removed,
        )
        self.ledger.append_all([Draft(key=f"forgotten:{found.person}", fact=fact, at=now)])
        return _outcome(fact, now, already=False, left=self._left(traces))

    def again(self, subject: str, done: Outcome, now: datetime) -> Outcome:
        """Take out what callers have told of a forgotten person since: telemetry that names them as `subject`."""
        traces = Traces(ids=frozenset({subject}), words=(subject,) if _tells(subject) else ())
        prepare(self.layout.telemetry, traces, self.turn)
        removed = _held(erase(self.layout.telemetry, traces))
        if removed:
            fact = PersonForgotten(person=done.person, keys=0, versions={}, models=(), telemetry=removed, features=0)
            count = sum(1 for _ in self.ledger.entries(PersonForgotten, prefix=f"forgotten:{done.person}"))
            self.ledger.append_all([Draft(key=f"forgotten:{done.person}:{count + 1}", fact=fact, at=now)])
        return msgspec.structs.replace(done, telemetry=(*done.telemetry, *removed), left=self._left(traces))

    def _keys(self) -> KeyStore:
        for spec in self.system.data:
            if spec.subject is not None:
                return key_store(self.layout.data, spec)
        raise DeclarationError(
            "no dataset says whose data its rows are, so nobody can be forgotten",
            path=self.system.path,
            hint='write subject = "..." in the [[data]] tables that hold people',
        )

    def _stores(self) -> Mapping[str, DatasetStore]:
        return {spec.name: DatasetStore(self.data, spec) for spec in self._specs() if spec.subject is not None}

    def _specs(self) -> Sequence[DatasetSpec]:
        """The declared datasets, and what annotators said of them."""
        said = self.system.annotations
        return self.system.data if said is None else (*self.system.data, said)

    def _rows(self, person: bytes) -> dict[str, pl.DataFrame]:
        """The person's rows of each dataset that has some, as any of its versions holds them."""
        found = {}
        for name, store in self._stores().items():
            parts, seen = [], set[bytes]()
            for version in reversed(store.versions()):
                digests = set(store.of_person(person, version.id, read=False).get_column(DIGEST).to_list())
                if not digests <= seen:
                    parts.append(store.of_person(person, version.id))
                    seen |= digests
            if parts:
                found[name] = pl.concat(parts, how="diagonal").unique(DIGEST, maintain_order=True)
        return found

    def _versions(self, store: DatasetStore, person: bytes) -> tuple[Holding, ...]:
        held = [(version.id, store.of_person(person, version.id, read=False).height) for version in store.versions()]
        return tuple(Holding(name=name, rows=count) for name, count in held if count)

    def _traces(self, subject: str, rows: Mapping[str, pl.DataFrame]) -> Traces:
        ids, words = {subject}, {subject}
        for spec in self._specs():
            mine = rows.get(spec.name)
            if mine is None:
                continue
            key = [pl.col(name).cast(pl.String) for name in spec.key]
            for separator in (" ", "|", "-", "_", ":", "/", ","):
                ids.update(mine.select(pl.concat_str(key, separator=separator)).to_series().drop_nulls().to_list())
            for name in sealed_columns(spec):
                if name in mine.columns and mine.schema[name] == pl.String:
                    words.update(word for word in mine.get_column(name).drop_nulls().to_list())
        return Traces(
            ids=frozenset(ids),
            words=tuple(sorted(word for word in words if _tells(word))),
        )

    def _models(self, rows: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
        """The models that may have learned from these rows: those whose span of training reaches them, and where the
        person's rows feed features, those that were trained later than the first of them."""
        labelled = self.system.labelled
        ahead = timedelta(seconds=labelled.predict_before)
        own = rows.get(labelled.name)
        moments = [moment - ahead for moment in own.get_column(labelled.time).to_list()] if own is not None else []
        fed: list[datetime] = [
            rows[view.source].get_column(view.time).drop_nulls().min()  # type: ignore[misc]
            for view in self.system.features
            if view.source in rows
        ]
        found = []
        for entry in self.ledger.entries(ModelTrained):
            model = entry.fact
            learned = any(model.train_from <= at <= model.valid_to for at in moments)
            if learned or any(at <= model.valid_to for at in fed):
                found.append(model.identity.id)
        return tuple(found)

    def _left(self, traces: Traces) -> tuple[str, ...]:
        """Files of the state that still have a text of the person in the open."""
        long = [word.encode("utf-8", "surrogatepass") for word in traces.words]
        found = []
        for path in sorted(self.layout.root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                if any(one in data for one in long):
                    found.append(str(path.relative_to(self.layout.root)))
        return tuple(found)


def _tells(word: str) -> bool:
    """Whether a text within another tells someone: not where it is short, or a number as a year is."""
    return len(word) >= _LEAST_WORD and not (word.isdecimal() and len(word) < _LEAST_DIGITS)


def _remove_reports(folder: Path, traces: Traces) -> None:
    """A report that tells the person goes; it can be written again."""
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.is_file() and traces.maybe_in(path.read_bytes()):
            path.unlink()


def _held(erased: Sequence[Erased]) -> tuple[Holding, ...]:
    return tuple(Holding(name=one.segment, rows=one.answers + one.truths) for one in erased)


def _outcome(fact: PersonForgotten, at: datetime, *, already: bool, left: tuple[str, ...]) -> Outcome:
    return Outcome(
        person=fact.person,
        at=at,
        already=already,
        keys=fact.keys,
        versions=fact.versions,
        models=fact.models,
        telemetry=fact.telemetry,
        features=fact.features,
        left=left,
    )
