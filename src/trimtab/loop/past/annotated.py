"""What annotators say becomes a dataset of its own, and what it comes to becomes the label column of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from trimtab.data.port import Page, PagedSource, Source
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.home import Home, home_at
from trimtab.data.store.versions import DatasetStore
from trimtab.declaration.system import System
from trimtab.labels.annotations import Said, first, rows_of, standing, withdrawn
from trimtab.labels.measure import Contested, agreement, contested, coverage
from trimtab.labels.port import LabelsError, LabelTool, Value
from trimtab.labels.resolve import resolve
from trimtab.labels.spec import LabelsSpec
from trimtab.measures.judge import judge
from trimtab.records.durable import write_atomically
from trimtab.records.facts import DatasetCommitted
from trimtab.records.metric import Place
from trimtab.records.requirement import Estimate, Requirement, Verdict

_NAMED = 3
_CURSOR = "cursor.json"


@dataclass(frozen=True)
class LabelSet:
    """What annotators said as of one version of their dataset, and what it comes to by the declared policy. `said` is
    what stands and `first` what each said at first; `touched` are the items of which anything was ever said."""

    version: str
    said: tuple[Said, ...]
    first: tuple[Said, ...]
    touched: frozenset[str]
    resolved: Mapping[str, Value]


class Labelling:
    """The labels of one system. What it keeps between passes can be rebuilt from the stores."""

    def __init__(self, system: System, root: Path | Home, tool: Callable[[], LabelTool]) -> None:
        """`root` holds the datasets; `tool` opens the tool that people label in, when it is first asked."""
        spec, annotations = system.labels, system.annotations
        if spec is None or annotations is None:
            raise LabelsError("nothing is labelled here", hint="declare [labels]")
        self.spec: LabelsSpec = spec
        self.of: DatasetSpec = next(one for one in system.data if one.name == spec.data)
        self.store = DatasetStore(root, annotations)
        self._revising = DatasetStore(root, msgspec.structs.replace(self.of, changes="replace"))
        self._cursor = home_at(root).beside(annotations.name) / _CURSOR
        self._open = tool
        self._tool: LabelTool | None = None
        self._set: LabelSet | None = None
        self._done: tuple[str, str] | None = None
        self._covered: tuple[str, Estimate] | None = None
        self._estimates: dict[tuple[str, str], Estimate] = {}

    @property
    def tool(self) -> LabelTool:
        """The tool that people label in."""
        if self._tool is None:
            self._tool = self._open()
        return self._tool

    def pull(self, dataset: DatasetStore, now: datetime) -> DatasetCommitted | None:
        """Take in what annotators said of the rows of `dataset` since the last pull, as a new version of their own; the
        newest one's fact, None where there is none yet. The cursor moves once the rows are stored: a process that was
        killed asks again."""
        pulled = self.tool.pull(self._known_cursor())
        said = list(pulled.annotations)
        if self.store.current() is not None:
            said += withdrawn(self._said_so_far(), pulled.items, pulled.annotations)
        rows = self._with_people(rows_of(said), dataset)
        self.store.collect(rows, until=now, now=now)
        if not rows.filter(pl.col("at") > now).height:  # what was said by a clock ahead of ours is asked for again
            self._keep_cursor(pulled.cursor)
        version = self.store.current()
        return version.fact if version is not None else None

    def labels(self) -> LabelSet:
        """What the annotations that were pulled so far come to."""
        version = self.store.current()
        identity = version.id if version is not None else ""
        if self._set is None or self._set.version != identity:
            rows = self._said_so_far()
            said = tuple(standing(rows))
            self._set = LabelSet(
                version=identity,
                said=said,
                first=tuple(first(rows)),
                touched=frozenset(rows.filter(pl.col("state") == "said")["item"]),
                resolved=resolve(said, self.spec),
            )
        return self._set

    def _said_so_far(self) -> pl.DataFrame:
        """All that was said, less what was said of people who were forgotten."""
        rows = self.store.read() if self.store.current() is not None else rows_of(())
        return rows.filter(pl.col("item").is_not_null())

    def _with_people(self, said: pl.DataFrame, dataset: DatasetStore) -> pl.DataFrame:
        """Answers with whose row each is of, where rows are of people; one of a row that is not here is its own."""
        if self.of.subject is None:
            return said
        column = self.of.subject
        rows = (
            dataset.read(columns=list(dict.fromkeys([*self.of.key, column]))) if dataset.current() is not None else None
        )
        people = pl.DataFrame(schema={"item": pl.String, "subject": pl.String})
        if rows is not None:
            people = pl.DataFrame({"item": items_of(rows, self.of), "subject": rows[column].cast(pl.String)})
        joined = said.join(people.unique("item"), on="item", how="left", maintain_order="left")
        return joined.with_columns(pl.coalesce("subject", "item"))

    def complete(self, dataset: DatasetStore, now: datetime) -> None:
        """Write resolved labels into the stored rows of `dataset`: new ones, revised ones, and null where what was
        resolved came into conflict. Rows of which nobody said anything are left as they are."""
        version, labels = dataset.current(), self.labels()
        if version is None or not labels.touched or self._done == (version.id, labels.version):
            return
        if self.spec.column in version.columns:
            rows = dataset.read(gone="left out")
            after = self.with_labels(rows)
            changed = after.filter(~after[self.spec.column].eq_missing(rows[self.spec.column]))
            if changed.height:
                self._revising.collect(changed, until=version.until, now=now)
        newest = dataset.current()
        self._done = (newest.id if newest is not None else "", labels.version)

    def with_labels(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of the dataset with the label column as annotators have settled it; the column is added if missing."""
        column, labels = self.spec.column, self.labels()
        if column not in rows.columns:
            rows = rows.with_columns(pl.lit(None, dtype=pl.Float64 if self._numeric else pl.String).alias(column))
        if not labels.touched or rows.is_empty():
            return rows
        items = items_of(rows, self.of)
        mine = items.is_in(list(labels.touched))
        told = pl.DataFrame(
            {"item": list(labels.resolved), "label": [self._cell(value) for value in labels.resolved.values()]},
            schema={"item": pl.String, "label": pl.Float64 if self._numeric else pl.String},
        )
        found = pl.DataFrame({"item": items}).join(told, on="item", how="left", maintain_order="left")["label"]
        cells = self._as_stored(found, rows.schema[column])
        return rows.with_columns(pl.when(mine).then(cells).otherwise(pl.col(column)).alias(column))

    def contested(self) -> list[Contested]:
        """The items on which annotators differ."""
        return contested(self.labels().said, self.spec)

    def verdicts(
        self, requirements: Sequence[Requirement], dataset: DatasetStore, *, error_rate: Callable[[], Estimate]
    ) -> tuple[Verdict, ...]:
        """Verdicts on the `labels.` requirements among these; `error_rate` is asked only where it is required."""
        measures: dict[str, Callable[[], Estimate]] = {
            "labels.agreement": lambda: self._agreement("standing"),
            "labels.first_agreement": lambda: self._agreement("first"),
            "labels.coverage": lambda: self._coverage(dataset),
            "labels.error_rate": error_rate,
        }
        return tuple(
            _verdict(req, measures[req.metric](), self._most_contested, "data")
            for req in requirements
            if req.metric in measures
        )

    def _agreement(self, which: str) -> Estimate:
        labels = self.labels()
        key = (labels.version, which)
        if key not in self._estimates:
            early = which == "first"
            self._estimates[key] = agreement(labels.first if early else labels.said, self.spec, settle=not early)
        return self._estimates[key]

    def _coverage(self, dataset: DatasetStore) -> Estimate:
        version = dataset.current()
        if version is None or self.spec.column not in version.columns:
            return coverage(0, version.rows if version is not None else 0)
        if self._covered is None or self._covered[0] != version.id:
            cells = dataset.read(columns=[self.spec.column])[self.spec.column]
            self._covered = version.id, coverage(len(cells) - cells.null_count(), len(cells))
        return self._covered[1]

    def _most_contested(self) -> str:
        open_ones = [c for c in self.contested() if c.settled is None]
        if not open_ones:
            return ""
        named = "; ".join(
            f"{c.item} ({', '.join(f'{name}: {_brief(value)}' for name, value in c.labels.items())})"
            for c in open_ones[:_NAMED]
        )
        return f"{len(open_ones):,} contested, most of all {named}"

    @property
    def _numeric(self) -> bool:
        return self.spec.kind == "regression"

    def _cell(self, value: Value) -> float | str:
        if self._numeric or isinstance(value, str):
            return value  # type: ignore[no-any-return]
        return msgspec.json.encode(value).decode()

    def _as_stored(self, labels: pl.Series, stored: pl.DataType) -> pl.Series:
        if labels.dtype == stored or isinstance(stored, pl.Null):
            return labels
        if stored == pl.Boolean:
            truth = {"true": True, "false": False}
            cells = labels.replace_strict(truth, default=None, return_dtype=pl.Boolean)
        else:
            cells = labels.cast(stored, strict=False)
        lost = labels.filter(labels.is_not_null() & cells.is_null())
        if len(lost):
            raise LabelsError(
                f"the label {lost[0]!r} cannot stand in column {self.spec.column!r}, which holds {stored}",
                hint="let the classes of [labels] be written as the column's values are",
            )
        return cells

    def _known_cursor(self) -> str:
        """Where the last pull of the same tool and place ended; empty where that is not known."""
        try:
            kept = msgspec.json.decode(self._cursor.read_bytes(), type=dict[str, str])
        except (OSError, msgspec.DecodeError):
            return ""
        return kept.get("cursor", "") if kept.get("tool") == self._place else ""

    def _keep_cursor(self, cursor: str) -> None:
        if cursor and cursor != self._known_cursor():
            write_atomically(self._cursor, msgspec.json.encode({"tool": self._place, "cursor": cursor}))

    @property
    def _place(self) -> str:
        return f"{self.spec.tool} {self.spec.url} {self.spec.project}"


class _Labelled:
    """A dataset's own source, with the labels that annotators have settled so far."""

    def __init__(self, source: Source, labelling: Labelling) -> None:
        self._source = source
        self._labelling = labelling

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        return self._labelling.with_labels(self._source.fetch(since, until))

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        self._source.expect(schema)


class _LabelledPages(_Labelled):
    """The same of a source of pages."""

    def __init__(self, source: PagedSource, labelling: Labelling) -> None:
        super().__init__(source, labelling)
        self._paged = source

    def pages(self, cursor: str, since: datetime | None, until: datetime) -> Iterator[Page]:
        for page in self._paged.pages(cursor, since, until):
            yield replace(page, rows=self._labelling.with_labels(page.rows))


def labelled_source(source: Source, labelling: Labelling) -> Source:
    """The source of the rows that are labelled, with the labels that annotators have settled so far."""
    return _LabelledPages(source, labelling) if isinstance(source, PagedSource) else _Labelled(source, labelling)


def items_of(rows: pl.DataFrame, spec: DatasetSpec) -> pl.Series:
    """The name of each row among annotators: its key, or its keys as JSON where there are several."""
    if len(spec.key) == 1:
        return rows[spec.key[0]].cast(pl.String)
    keys = rows.select(pl.col(name).cast(pl.String) for name in spec.key)
    return keys.select(pl.struct(pl.all()).struct.json_encode()).to_series()


def _verdict(req: Requirement, found: Estimate, contested: Callable[[], str], place: Place) -> Verdict:
    """The verdict; one that is not met says beside its figure what is contested most."""
    verdict = judge(req, found, place=place)
    said = [verdict.reason] if verdict.reason else []
    if found.reason and found.reason not in said:
        said.append(found.reason)
    if verdict.status != "met" and req.metric == "labels.agreement" and (named := contested()):
        said.append(named)
    return msgspec.structs.replace(verdict, reason="; ".join(said))


def _brief(value: Value) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 24 else f"{text[:21]}..."
