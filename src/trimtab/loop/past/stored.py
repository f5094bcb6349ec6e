"""Datasets as they were collected: versions in the store, and their rows with features joined, kept up as they grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from trimtab.data.port import Opener, Source
from trimtab.data.quality.check import Other
from trimtab.data.quality.measure import longest_window, measure
from trimtab.data.sources.opening import open_source
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.home import Home
from trimtab.data.store.state import Commit, Taken
from trimtab.data.store.versions import DatasetStore
from trimtab.data.values.moments import known_until
from trimtab.declaration.system import System
from trimtab.errors import DeclarationError, PermanentError, TemporaryError, TrimtabError
from trimtab.loop.past.history import KNOWN_AT, MOMENT, join_features, rows_version, with_digests, with_moments
from trimtab.loop.people.personal import has_people, open_to_training
from trimtab.loop.ports import PartlyCollected
from trimtab.measures.judge import judge
from trimtab.records.facts import DataExpired, DatasetCommitted, ModelTrained
from trimtab.records.journal import Draft
from trimtab.records.ledger import Ledger
from trimtab.records.requirement import Estimate, Verdict

if TYPE_CHECKING:
    from trimtab.loop.past.annotated import Labelling


@dataclass(frozen=True)
class Collected:
    """What collecting one dataset came to: the commit, the fact the ledger lacks, its rows and how many are new."""

    commit: Commit | None
    draft: Draft | None
    rows: int
    added: int


class StoredDatasets:
    """The declared datasets below one folder, or in a home of theirs. The joined rows are kept in memory and only what
    is new is read."""

    def __init__(
        self,
        system: System,
        root: Path | Home,
        ledger: Ledger,
        *,
        remember: bool = False,
        opener: Opener = open_source,
        labelling: Labelling | None = None,
        error_rate: Callable[[pl.DataFrame], Estimate] | None = None,
    ) -> None:
        """`remember`: leave what the next process needs to find nothing new at little cost; `opener`: opens sources;
        `labelling`: what annotators say of a dataset; `error_rate`: the share of labelled rows that is likely wrong."""
        self._open = opener
        self._system = system
        self._remember = remember
        self._ledger = ledger
        self.stores = {spec.name: DatasetStore(root, spec) for spec in system.data}
        self._sources: dict[str, Source] = {}
        self.labelling = labelling
        self._error_rate = error_rate
        self._wrong: tuple[tuple[str, str], Estimate] | None = None
        self._joined: pl.DataFrame | None = None
        self._version: str | None = None
        self._others: dict[str, tuple[str, Other]] = {}
        self._notes: list[str] = []

    def collect(self, now: datetime) -> Sequence[DatasetCommitted]:
        commits, wrong = list[DatasetCommitted](), list[TrimtabError]()
        self._notes.clear()
        if self.labelling is not None:
            self._take_labels(self.labelling, now, commits, wrong)
        for spec in self._system.data:
            store, commit = self.stores[spec.name], None
            try:
                commit = self._collect(spec, now)
            except (PermanentError, DeclarationError, TemporaryError) as error:  # its source had its own patience
                wrong.append(error)
            self._expire(store, now)
            fact = self._untold(store, commit)
            if fact is not None:
                commits.append(fact)
        if wrong:
            raise PartlyCollected("; ".join(e.message for e in wrong), commits, hint=wrong[0].hint) from wrong[0]
        return commits

    def notes(self) -> Sequence[str]:
        return tuple(self._notes)

    def collect_one(self, name: str, now: datetime, told: Callable[[Taken], None]) -> Collected:
        """Collect one dataset, and hear how far it has come. Raises what the source and the store raise; what was
        committed before that stays, and is told by the next one."""
        spec = next(spec for spec in self._system.data if spec.name == name)
        store = self.stores[name]
        before = store.current()
        commit = self._collect(spec, now, told)
        fact, after = self._untold(store, commit), store.current()
        rows = after.rows if after is not None else 0
        draft = Draft(key=f"data:{name}:{fact.version}", fact=fact, at=now) if fact is not None else None
        return Collected(commit, draft, rows, rows - (before.rows if before is not None else 0))

    def _collect(self, spec: DatasetSpec, now: datetime, told: Callable[[Taken], None] | None = None) -> Commit | None:
        if spec.name not in self._sources:
            self._sources[spec.name] = self._source(spec)
        source = self._sources[spec.name]

        def heard(taken: Taken) -> None:
            self._notes.extend(note for note in taken.notes if note not in self._notes)
            if told is not None:
                told(taken)

        return self.stores[spec.name].collect(source, until=known_until(now, spec), now=now, told=heard)

    def _untold(self, store: DatasetStore, commit: Commit | None) -> DatasetCommitted | None:
        """The newest version as a fact, where the ledger has none of it: also after a pass that was killed between the
        store's commit and the ledger's."""
        version = store.current()
        if version is None or self._ledger.get(f"data:{store.spec.name}:{version.id}") is not None:
            return None
        changes = commit.changes if commit is not None else version.changes
        return msgspec.structs.replace(version.fact, changes=changes)

    def _take_labels(
        self, labelling: Labelling, now: datetime, commits: list[DatasetCommitted], wrong: list[TrimtabError]
    ) -> None:
        """Pull what annotators said and complete the stored rows by it, before their source is asked again: rows then
        say the same from both. A tool that is away costs nothing but its news."""
        try:
            said = labelling.pull(self.stores[labelling.of.name], now)
            if said is not None and self._ledger.get(f"data:{said.dataset}:{said.version}") is None:
                commits.append(said)
        except (PermanentError, DeclarationError, TemporaryError) as error:
            wrong.append(error)
        try:
            labelling.complete(self.stores[labelling.of.name], now)
        except PermanentError as error:
            wrong.append(error)

    def _source(self, spec: DatasetSpec) -> Source:
        source = self._open(spec, Path(self._system.folder))
        if self.labelling is not None and self.labelling.of.name == spec.name:
            from trimtab.loop.past.annotated import labelled_source  # here: most systems have no labels to wait for

            return labelled_source(source, self.labelling)
        return source

    def _expire(self, store: DatasetStore, now: datetime) -> None:
        """Shred what is older than the dataset may keep readable; the ledger is told before."""
        if store.personal is None or store.spec.retention is None:
            return
        before, keys = store.personal.sealing.expiring(now)
        if keys:
            name = store.spec.name
            key = f"expired:{name}:{before:%Y-%m-%dT%H:%M}"
            if self._ledger.get(key) is None:
                self._ledger.append(key, DataExpired(dataset=name, before=before, keys=keys), at=now)
            store.personal.sealing.expire(now)

    def known(self, now: datetime) -> tuple[int, datetime | None]:
        spec = self._system.labelled
        if self.labelling is not None and self.labelling.of.name == spec.name:
            told = self.labelled(now)
            told = told.filter(told[str(spec.label)].is_not_null()) if told.height else told
            return told.height, told[spec.time].max() if told.height else None  # type: ignore[return-value]
        version = self.stores[spec.name].current()
        if version is None:
            return 0, None
        if version.time_max <= known_until(now, spec):  # told by the version itself, without reading a row
            return version.rows, version.time_max
        rows = self.labelled(now)
        return rows.height, rows[spec.time][-1] if rows.height else None

    def labelled(self, now: datetime) -> pl.DataFrame:
        rows = self._all()
        return rows.filter(rows[KNOWN_AT] <= now) if rows.height else rows

    def contents(self, rows: pl.DataFrame) -> pl.DataFrame:
        spec = self._system.labelled
        for name in spec.media:
            column = rows.get_column(name) if name in rows.columns else None
            if column is None or column.dtype != pl.Binary:
                continue
            there = column.drop_nulls().unique().to_list()
            bytes_of = dict(zip(there, self.stores[spec.name].contents(there), strict=True))
            filled = [None if cell is None else bytes_of[cell] for cell in column.to_list()]
            rows = rows.with_columns(pl.Series(name, filled, dtype=pl.Binary))
        return rows

    def _all(self) -> pl.DataFrame:
        spec = self._system.labelled
        store = self.stores[spec.name]
        version = store.current()
        if version is None:
            return pl.DataFrame(schema={spec.time: pl.Datetime("us", "UTC"), KNOWN_AT: pl.Datetime("us", "UTC")})
        state = version.id if store.personal is None else f"{version.id}:{store.personal.sealing.generation}"
        if self._joined is not None and state == self._version:
            return self._joined
        grown = self._joined is not None and not has_people(self._system) and self._only_grew(store)
        since = self._joined[spec.time].max() if grown and self._joined is not None else None
        rows = with_moments(self._read(store, since), self._system)  # type: ignore[arg-type]
        if grown and self._joined is not None and rows.height != version.rows - self._joined.height:
            grown, rows = (
                False,
                with_moments(self._read(store), self._system),
            )  # rows came that are older than those we have
        joined = with_digests(join_features(rows, self._views(rows), self._system))
        if grown and self._joined is not None:
            joined = pl.concat([self._joined, joined])
        self._joined, self._version = joined.sort(MOMENT, *spec.key), state
        return self._joined

    def _read(self, store: DatasetStore, since: datetime | None = None) -> pl.DataFrame:
        """What training may see of a dataset: of the people who were not forgotten."""
        if store.personal is None:
            return store.read(since=since)
        columns = open_to_training(self._system, store, store.version().columns)
        return store.read(columns=columns, since=since, gone="left out")

    def _only_grew(self, store: DatasetStore) -> bool:
        """Whether no row that we have was filled in since the version that was joined last."""
        versions = store.versions()
        position = next((i for i, v in enumerate(versions) if v.id == self._version), None)
        return position is not None and not any(v.completed for v in versions[position + 1 :])

    def _views(self, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """Of each view's dataset, what the rows can see: from the first moment less the view's life on."""
        first: datetime | None = rows[MOMENT].min()  # type: ignore[assignment]
        frames: dict[str, pl.DataFrame] = {}
        for view in self._system.features:
            old = view.ttl is None or first is None
            since = None if old or first is None else first - timedelta(seconds=(view.ttl or 0.0) + 1.0)
            if view.source not in frames:
                frames[view.source] = self._read(self.stores[view.source], since)
        return frames

    def version(self, now: datetime) -> str:
        return rows_version(self.labelled(now))

    def verdicts(self, now: datetime) -> tuple[Verdict, ...]:
        found = (*self._verdicts(now), *self.label_verdicts(now))
        if self._remember:
            for store in self.stores.values():
                if store.current() is not None:
                    store.remember()
        return found

    def label_verdicts(self, now: datetime) -> tuple[Verdict, ...]:
        labelling, measured = self.labelling, self._error_rate
        if labelling is None:
            return ()

        def error_rate() -> Estimate:
            return self._likely_wrong(measured, now) if measured is not None else Estimate(figure=None)

        return labelling.verdicts(self._system.requirements, self.stores[labelling.of.name], error_rate=error_rate)

    def _likely_wrong(self, measured: Callable[[pl.DataFrame], Estimate], now: datetime) -> Estimate:
        """The share of likely wrong labels, worked out again when there are other rows or another model."""
        version, model = self.stores[self._system.labelled.name].current(), self._ledger.last(ModelTrained)
        state = (version.id if version is not None else "", model.key if model is not None else "")
        if self._wrong is None or self._wrong[0] != state:
            self._wrong = state, measured(self.labelled(now))
        return self._wrong[1]

    def _verdicts(self, now: datetime) -> tuple[Verdict, ...]:
        spec = self._system.labelled
        wanted = [r for r in self._system.requirements if r.metric.startswith("data.")]
        if not wanted:
            return ()
        version = self.stores[spec.name].current()
        if version is None:
            nothing = Estimate(figure=None, reason="nothing was collected yet")
            return tuple(judge(requirement, nothing, place="data") for requirement in wanted)
        window = longest_window(wanted, self._system.policy.window)
        since = known_until(now, spec) - timedelta(seconds=window)
        recent = self.stores[spec.name].recent(since)
        refused, newest = version.quarantined, version.time_max
        found = measure(
            recent,
            spec,
            wanted,
            now=now,
            quarantined=refused,
            newest=newest,
            others=self._other,
            window=self._system.policy.window,
        )
        return tuple(found)

    def _other(self, name: str) -> Other:
        """The newest version of another dataset; it is read again only when there is a newer one."""
        store = self.stores[name]
        version = store.version()
        kept = self._others.get(name)
        if kept is None or kept[0] != version.id:
            kept = self._others[name] = (version.id, Other(store.read(version.id), store.spec.key))
        return kept[1]
