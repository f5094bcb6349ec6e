"""The shared suite of dataset stores: what every place that dataset versions lie in must hold.

A test module derives from it and says where that is:

    class TestMyPlace(DatasetStoreSuite):
        def home(self, folder, machine="one"): return Home(folder / machine, "s3://bucket/" + folder.name, keys)

`folder` is a test's own and names the place; each `machine` has a folder of its own in front of it, unless the place is
a folder that they share.
"""

from __future__ import annotations

import multiprocessing
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from trimtab.data.port import DIGEST, DataError
from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.data.store.home import Home
from trimtab.data.store.state import DatasetVersion
from trimtab.data.store.versions import DatasetStore
from trimtab.data.values.digest import content_digest

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=400)
TRIPS = DatasetSpec(
    name="trips",
    source="trips.parquet",
    key=("id",),
    time="at",
    label="late",
    label_delay=7200.0,
    valid=(ColumnRule(column="fare", high=900),),
)
PICTURES = DatasetSpec(
    name="pictures", source="pictures", key=("path",), time="at", media=("content",), changes="replace"
)
NOT_KNOWN = pl.Series([None] * 10, dtype=pl.Boolean)
_HOURS = 96


def hours(count: float) -> datetime:
    """So many hours after the start."""
    return START + timedelta(hours=count)


def trips(first: int, last: int, **columns: Any) -> pl.DataFrame:
    """One trip an hour; `columns` replaces or adds."""
    numbers = range(first, last)
    rows: dict[str, Any] = {
        "id": [f"trip-{n}" for n in numbers],
        "at": [hours(n) for n in numbers],
        "fare": [n * 1.25 for n in numbers],
        "town": ["Ulm" if n % 3 else None for n in numbers],
        "late": [bool(n % 2) for n in numbers],
    }
    return pl.DataFrame(rows | columns)


def pictures(contents: dict[str, bytes], at: float = 0) -> pl.DataFrame:
    """Files with their content."""
    cells = pl.Series(list(contents.values()), dtype=pl.Binary)
    return pl.DataFrame({"path": list(contents), "at": [hours(at)] * len(contents), "content": cells})


class Trips:
    """A source of trips whose labels come two hours late; some are refused, and one column comes on the second day."""

    def __init__(self) -> None:
        rows = trips(0, _HOURS).with_columns(
            fare=pl.when(pl.int_range(pl.len()) % 31 == 7).then(9999.0).otherwise("fare"),
        )
        self.rows = rows.with_columns(wind=pl.when(pl.int_range(pl.len()) >= 30).then(pl.lit(1.5)))

    def expect(self, schema: Any) -> None:
        """Typed already."""

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        """What could be known at `until`."""
        low = pl.lit(since) if since is not None else pl.lit(hours(-1))
        found = self.rows.filter((pl.col("at") > low) & (pl.col("at") <= until))
        if until < hours(30):
            found = found.drop("wind")
        return found.with_columns(late=pl.when(pl.col("at") <= pl.lit(until) - pl.duration(hours=2)).then("late"))


def collect_all(home: Home, steps: Sequence[float]) -> None:
    """Collect the trips step by step."""
    store, source = DatasetStore(home, TRIPS), Trips()
    for step in steps:
        store.collect(source, until=hours(step), now=hours(step))


def collect_share(home: Home, share: int, shares: int) -> None:
    """Collect every so many-th trip, a few at a time."""
    store = DatasetStore(home, TRIPS)
    mine = trips(0, _HOURS).gather_every(shares, offset=share)
    for start in range(0, mine.height, 6):
        store.collect(mine.slice(start, 6), until=hours(_HOURS), now=LATER)


def add_pictures(home: Home, share: int) -> None:
    """Files of one's own and files that the other one brings too."""
    store = DatasetStore(home, PICTURES)
    for number in range(8):
        files = {f"own-{share}-{number}": bytes([share, number]) * 40, f"both-{number}": bytes([number]) * 50}
        store.collect(pictures(files), until=LATER, now=LATER)


def linear(store: DatasetStore) -> list[DatasetVersion]:
    """The versions, each of which follows the one before it, and all of which are as they were stored."""
    versions = store.versions()
    assert [version.parent for version in versions] == [None, *(version.id for version in versions[:-1])]
    for version in versions:
        assert store.verify(version.id).sound, version
    for before, after in pairwise(versions):
        assert after.rows == before.rows + after.added
    return versions


class DatasetStoreSuite(ABC):
    """Run by pytest; each test gets a folder of its own."""

    @abstractmethod
    def home(self, folder: Path, machine: str = "one") -> Home:
        """The place that `folder` stands for, as one machine sees it."""

    def store(self, folder: Path, spec: DatasetSpec = TRIPS, machine: str = "one") -> DatasetStore:
        """A store there, as a fresh process has it."""
        return DatasetStore(self.home(folder, machine), spec)

    def test_an_empty_place_says_so(self, tmp_path: Path) -> None:
        """And is none the worse for being asked."""
        store = self.store(tmp_path)
        assert store.current() is None
        assert store.versions() == []
        assert store.branches() == []
        assert store.tags() == {}
        assert store.quarantined().total == 0
        assert said(store.read).startswith("dataset 'trips' has no version yet")

    def test_step_by_step_is_all_at_once(self, tmp_path: Path) -> None:
        """Rows, labels that come later, a column more, refusals: told the same to a fresh reader."""
        collect_all(self.home(tmp_path), range(24, _HOURS + 25, 24))
        there = self.store(tmp_path, machine="two")
        versions = linear(there)
        assert len(versions) >= 4
        assert there.version().fact == versions[-1].fact
        sound = Trips().rows.filter(pl.col("fare") < 900).sort("at")
        rows = there.read(digests=True)
        assert rows.drop(DIGEST).equals(sound.cast({"at": pl.Datetime("us", "UTC")}))
        assert content_digest(rows) == versions[-1].id
        assert versions[1].completed > 0
        assert versions[1].new_columns == ("wind",)
        refused = there.quarantined()
        assert refused.rows["key"].n_unique() == _HOURS - sound.height
        assert sum(sum(version.quarantined.values()) for version in versions) == refused.total
        assert there.collect(Trips(), until=hours(_HOURS + 24), now=LATER) is None

    def test_an_older_version_stays_as_it_was(self, tmp_path: Path) -> None:
        """Also when its rows were completed since."""
        store = self.store(tmp_path)
        first = store.collect(trips(0, 10, late=NOT_KNOWN), until=hours(10), now=LATER)
        store.collect(trips(0, 12), until=hours(12), now=LATER)
        assert first is not None
        assert store.read(first.version.id).get_column("late").null_count() == 10
        assert store.read().get_column("late").null_count() == 0
        found = store.diff(first.version.id)
        assert (found.added, found.removed, found.changed, found.same) == (2, 0, 10, 0)

    def test_names_find_versions(self, tmp_path: Path) -> None:
        """By id, by the beginning of one, by tag; a tag can be moved and taken away."""
        store = self.store(tmp_path)
        first = store.collect(trips(0, 3), until=hours(3), now=LATER)
        second = store.collect(trips(3, 6), until=hours(6), now=LATER)
        assert first is not None
        assert second is not None
        store.tag("good", first.version.id[:10])
        for name in (first.version.id, first.version.id[:8], "good"):
            assert self.store(tmp_path, machine="two").version(name) == first.version
        store.tag("good")
        assert store.tags() == {"good": second.version}
        store.untag("good")
        assert store.tags() == {}
        assert said(lambda: store.version("good")).startswith("dataset 'trips' has no version 'good'")

    def test_contents_come_back(self, tmp_path: Path) -> None:
        """The bytes of media, of the version that is asked for."""
        store = self.store(tmp_path, PICTURES)
        first = store.collect(pictures({"a": b"old", "b": b"", "c": b"same" * 9}), until=LATER, now=LATER)
        store.collect(pictures({"a": b"new"}, at=1), until=LATER, now=LATER)
        assert first is not None
        there = self.store(tmp_path, PICTURES, machine="two")
        for version, wanted in ((first.version.id, [b"old", b"", b"same" * 9]), (None, [b"new", b"", b"same" * 9])):
            rows = there.read(version).sort("path")
            assert there.contents(rows["content"].to_list()) == wanted
        linear(there)

    def test_a_branch_leaves_the_trunk_alone_and_can_be_merged(self, tmp_path: Path) -> None:
        """Its versions become the trunk's, under the same ids."""
        store = self.store(tmp_path)
        store.collect(trips(0, 10, late=NOT_KNOWN), until=hours(10), now=LATER)
        trunk = store.version()
        branch = store.create_branch("try")
        assert branch.current() == trunk
        branch.collect(trips(5, 15), until=hours(15), now=LATER)
        branch.collect(trips(15, 20, wind=[0.5] * 5), until=hours(20), now=LATER)
        assert self.store(tmp_path).version() == trunk
        assert [found.name for found in store.branches()] == ["try"]
        other = self.store(tmp_path, machine="two").on("try")
        assert [version.rows for version in linear(other)[1:]] == [15, 20] or other.versions()[0].parent is None
        done = store.merge("try")
        assert [version.id for version in done] == [version.id for version in branch.versions()[1:]]
        assert store.version().fact == branch.version().fact
        assert store.read(digests=True).equals(branch.read(digests=True))
        assert store.merge("try") == []
        linear(store)
        store.delete_branch("try")
        assert store.branches() == []
        assert len(linear(self.store(tmp_path, machine="two"))) == 3

    def test_a_branch_that_was_overtaken_is_not_merged(self, tmp_path: Path) -> None:
        """And says so, whichever of the two goes on afterwards."""
        store = self.store(tmp_path)
        store.collect(trips(0, 10), until=hours(10), now=LATER)
        branch = store.create_branch("try")
        store.collect(trips(10, 12), until=hours(12), now=LATER)
        branch.collect(trips(10, 15), until=hours(15), now=LATER)
        before = store.versions()
        assert "has gone on since it began" in said(lambda: store.merge("try"))
        assert store.versions() == before
        assert "there is a branch 'try' already" in said(lambda: store.create_branch("try"))
        assert "there is no branch 'tri'" in said(lambda: store.on("tri"))

    def test_two_processes_collect_the_same(self, tmp_path: Path) -> None:
        """No row is lost and none comes twice, whoever commits first."""
        _together(
            (collect_all, self.home(tmp_path, "one"), tuple(range(8, _HOURS + 9, 8))),
            (collect_all, self.home(tmp_path, "two"), tuple(range(4, _HOURS + 9, 12))),
        )
        store = self.store(tmp_path)
        versions = linear(store)
        sound = Trips().rows.filter(pl.col("fare") < 900).sort("at")
        assert store.read().equals(sound.cast({"at": pl.Datetime("us", "UTC")}))
        refused = store.quarantined()
        assert refused.rows["key"].n_unique() == _HOURS - sound.height
        assert sum(sum(version.quarantined.values()) for version in versions) <= refused.total

    def test_two_processes_collect_each_its_own(self, tmp_path: Path) -> None:
        """Everything of both is there."""
        _together(*((collect_share, self.home(tmp_path, name), n, 2) for n, name in enumerate(("one", "two"))))
        store = self.store(tmp_path)
        linear(store)
        assert store.read().equals(trips(0, _HOURS).cast({"at": pl.Datetime("us", "UTC")}))

    def test_two_processes_add_contents(self, tmp_path: Path) -> None:
        """Also the same ones."""
        _together(*((add_pictures, self.home(tmp_path, name), n) for n, name in enumerate(("one", "two"))))
        store = self.store(tmp_path, PICTURES)
        versions = linear(store)
        assert versions[-1].rows == 24
        assert all(store.contents(store.read()["content"].to_list()))


def said(work: Any) -> str:
    """What a DataError said."""
    try:
        work()
    except DataError as error:
        return error.message
    raise AssertionError("there was no error")


def _together(*works: tuple[Any, ...]) -> None:
    """Each in a process of its own, at once."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=tuple(args)) for work, *args in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in processes] == [0] * len(processes)
