"""The shared suite of `FeatureLookup`: what every store of features must hold.

A test module derives from it and says how a store is made and filled:

    class TestMyStore(FeatureLookupSuite):
        def open(self, folder): return MyStore(folder)
        def publish(self, store, view, version, rows): store.load(view, rows)
"""

from __future__ import annotations

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trimtab.errors import PermanentError
from trimtab.inference.lookup.port import FeatureLookup, Key, Known, View

Rows = Iterable[tuple[Key, int, Sequence[Any]]]
SKY = View(name="sky", entity=("place", "lane"), columns=("wind", "word", "wet"))
_SECOND = 1_000_000


class FeatureLookupSuite(ABC):
    """Run by pytest; each test gets a folder of its own."""

    @abstractmethod
    def open(self, folder: Path) -> FeatureLookup:
        """A store in an empty folder, or another one on what lies there."""

    @abstractmethod
    def publish(self, store: FeatureLookup, view: View, version: str, rows: Rows) -> None:
        """Puts rows in place of the view's former ones: entity, moment in microseconds, values in the view's order."""

    def test_an_empty_store_tells_of_no_views(self, tmp_path: Path) -> None:
        """There is nothing to look up, and no error."""
        assert list(self.open(tmp_path).views()) == []

    def test_views_are_told_as_published(self, tmp_path: Path) -> None:
        """To every reader, also one that was open before."""
        store, other = self.open(tmp_path), self.open(tmp_path)
        assert list(other.views()) == []
        second = View(name="lanes", entity=("lane",), columns=("length",), ttl=3600.0, since=5)
        self.publish(store, SKY, "1", [])
        self.publish(store, second, "1", [])
        assert sorted(other.views(), key=lambda view: view.name) == [second, SKY]

    def test_the_newest_row_known_then_is_told_and_nothing_later(self, tmp_path: Path) -> None:
        """Against a plain search, for every moment around every row."""
        draw = random.Random(7)
        rows = {
            (("a" if draw.random() < 0.5 else "b", draw.randrange(3)), draw.randrange(40) * _SECOND): (
                draw.choice([None, draw.random(), -1.5]),
                draw.choice([None, "grey", "blue"]),
                draw.choice([None, True, False]),
            )
            for _ in range(120)
        }
        store = self.open(tmp_path)
        self.publish(store, SKY, "1", [(key, at, values) for (key, at), values in rows.items()])
        keys = [(place, lane) for place in "abc" for lane in range(4)]
        for moment in [second * _SECOND + shift for second in range(-1, 41) for shift in (-1, 0, 1)]:
            expected = []
            for key in keys:
                known = [at for (whose, at) in rows if whose == key and at <= moment]
                expected.append(Known(max(known), rows[key, max(known)]) if known else None)
            assert store.read("sky", keys, [moment] * len(keys)) == expected, moment

    def test_each_key_has_its_own_moment(self, tmp_path: Path) -> None:
        """Also when one key is asked twice."""
        store = self.open(tmp_path)
        self.publish(store, SKY, "1", [(("a", 1), 10, (1.0, "x", True)), (("a", 1), 20, (2.0, "y", None))])
        found = store.read("sky", [("a", 1)] * 3, [9, 10, 25])
        assert found == [None, Known(10, (1.0, "x", True)), Known(20, (2.0, "y", None))]
        assert store.read("sky", [], []) == []

    def test_numbers_of_one_value_are_one_entity(self, tmp_path: Path) -> None:
        """JSON does not tell 1 from 1.0; a text of the same digits is another entity, and null is nobody's."""
        store = self.open(tmp_path)
        self.publish(store, SKY, "1", [(("a", 1), 10, (1.0, "x", True))])
        found = store.read("sky", [("a", 1.0), ("a", "1"), ("a", None), ("a", True)], [10] * 4)
        assert [one is not None for one in found] == [True, False, False, False]

    def test_a_new_version_takes_the_place_of_the_former_whole(self, tmp_path: Path) -> None:
        """What it does not have is gone."""
        store, reader = self.open(tmp_path), self.open(tmp_path)
        self.publish(store, SKY, "1", [(("a", 1), 10, (1.0, "x", True)), (("b", 1), 10, (1.0, "x", True))])
        assert reader.read("sky", [("b", 1)], [10]) != [None]
        self.publish(store, SKY, "2", [(("a", 1), 10, (5.0, "z", False))])
        assert reader.read("sky", [("a", 1), ("b", 1)], [10, 10]) == [Known(10, (5.0, "z", False)), None]

    def test_a_view_that_there_is_not_is_an_error(self, tmp_path: Path) -> None:
        """Not an answer of nothing."""
        store = self.open(tmp_path)
        self.publish(store, SKY, "1", [])
        try:
            store.read("ground", [("a", 1)], [10])
        except PermanentError as error:
            assert "ground" in error.message
        else:
            raise AssertionError("it answered for a view that there is not")

    def test_readers_in_threads_see_whole_versions_while_one_publishes(self, tmp_path: Path) -> None:
        """Every read is of one version, though versions follow each other all the while."""
        store, entities = self.open(tmp_path), 40
        keys = [("a", number) for number in range(entities)]
        versions: list[set[float]] = []
        over = threading.Event()

        def fill(version: int) -> None:
            self.publish(store, SKY, str(version), [(key, 10, (float(version), "x", True)) for key in keys])

        def read() -> None:
            while not over.is_set():
                found = store.read("sky", keys, [10] * entities)
                versions.append({known.values[0] for known in found if known is not None})
                if None in found:
                    versions.append(set())

        fill(0)
        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        version, until = 0, time.monotonic() + 30.0
        while version < 14 or (len(versions) <= 3 and time.monotonic() < until):
            version += 1
            fill(version)
        over.set()
        for thread in threads:
            thread.join()
        assert len(versions) > 3
        assert {len(seen) for seen in versions} == {1}

    def test_it_can_be_closed_and_opened_again(self, tmp_path: Path) -> None:
        """What was published lasts."""
        store = self.open(tmp_path)
        self.publish(store, SKY, "1", [(("a", 1), 10, (1.0, "x", True))])
        store.close()
        assert self.open(tmp_path).read("sky", [("a", 1)], [11]) == [Known(10, (1.0, "x", True))]
